"""The tables of docs/reliability.md from the lines that the fault tests left.

    python -m tests.faults.table        writes them between the document's marks

Every line below ``build/faults`` must be of a run that passed: a line with something wrong in
it is refused rather than shown.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from tests.faults.verdict import Verdict

DOCUMENT = REPOSITORY / "docs/reliability.md"
LINES = REPOSITORY / "build/faults"
ORDER = ("embedded", "servers", "small disk", "two hosts")
BEGIN, END = "<!-- {name}: begin -->", "<!-- {name}: end -->"
CELL_HEAD = (
    "servers", "fault", "stage", "hit", "acknowledged", "lost", "SR", "SEG", "as committed",
    "resent", "stuck", "end", "alarms", "s", "commit",
)  # fmt: skip
STORM_HEAD = (
    "servers", "kills", "which", "acknowledged", "lost", "confirmed", "one SR", "one SEG",
    "as committed", "resent", "s", "commit",
)  # fmt: skip


def read_verdicts() -> list[Verdict]:
    """Every cell that was run, by kind of servers.

    Raises
    ------
    SystemExit
        If a line tells of something lost, doubled or stuck.
    """
    found = [
        Verdict(**json.loads(line))
        for path in sorted(LINES.glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    found.sort(key=lambda verdict: ORDER.index(verdict.servers))
    for verdict in found:
        wrong = verdict.problems()
        if wrong:
            raise SystemExit(f"{verdict.servers}, {verdict.fault}, {verdict.stage}: {wrong}")
    return found


def cell_row(verdict: Verdict) -> tuple[Any, ...]:
    """One line of the matrix."""
    return (
        verdict.servers,
        verdict.fault,
        verdict.stage,
        "-" if verdict.hits == -1 else "yes",
        verdict.acknowledged,
        verdict.lost,
        verdict.reports,
        verdict.segmentations,
        "yes" if verdict.as_committed else "no",
        verdict.resends,
        verdict.stuck,
        verdict.state,
        ", ".join(verdict.alarms) or "-",
        f"{verdict.duration_s:.0f}",
        verdict.commit,
    )


def storm_row(line: dict[str, Any]) -> tuple[Any, ...]:
    """One line of the storms."""
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(line["killed"].items()))
    names = ("acknowledged", "lost", "confirmed", "studies_with_one_sr", "studies_with_one_seg",
             "as_committed", "resends", "duration_s", "commit")  # fmt: skip
    return (line["servers"], line["kills"], kinds, *(line[name] for name in names))


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def put_between(text: str, name: str, content: str) -> str:
    """Replace what stands between a name's marks."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    replaced, count = pattern.subn(lambda _found: f"{begin}\n{content}\n{end}", text)
    if count != 1:
        raise SystemExit(f"{DOCUMENT.name} has the marks of {name} {count} times, must be once")
    return replaced


def between(text: str, name: str) -> str:
    """What stands between a name's marks."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    return text.split(begin, 1)[1].split(end, 1)[0].strip()


def read_storms(folder: Path = LINES) -> list[dict[str, Any]]:
    """Figures of the storms that were run."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("storm_*.json"))]


def main() -> None:
    """Write the tables."""
    verdicts = read_verdicts()
    text = DOCUMENT.read_text()
    text = put_between(text, "cells", markdown(CELL_HEAD, map(cell_row, verdicts)))
    text = put_between(text, "storms", markdown(STORM_HEAD, map(storm_row, read_storms())))
    DOCUMENT.write_text(text)
    sys.stdout.write(f"{len(verdicts)} cells\n")


if __name__ == "__main__":
    main()
