"""How answers are shown at the command line."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from workers.cli.output import console, local_time

STYLES = {
    "accept": "green", "regrade": "yellow", "added": "cyan", "reject": "red", "unclear": "bold red",
}  # fmt: skip
WORDS = {
    "level": "level", "same_level": "still level", "rating": "rating", "lung_rads": "Lung-RADS",
    "type": "type", "outcome": "outcome", "evidence": "by",
}  # fmt: skip


def answer_line(answer: dict[str, Any]) -> str:
    """One answer in one line, without free text."""
    said = said_in_words(answer["said"])
    return (
        f"{local_time(answer['said_at'])} {styled(answer['verdict'])} "
        f"…{answer['tracking_uid'][-8:]}{f' ({said})' if said else ''} by {author(answer)}: "
        f"{escape(answer['why'])}"
    )


def said_in_words(said: dict[str, Any]) -> str:
    """What was said beside the verdict; comments are left out, they may name somebody."""
    parts = [
        f"{word} {said[name]:g}" if isinstance(said[name], float) else f"{word} {said[name]}"
        for name, word in WORDS.items()
        if said.get(name) is not None
    ]
    parts += [
        f"{name.rpartition('_')[0].replace('_', ' ')} {value:.1f}"
        for name, value in said.get("measures", {}).items()
    ]
    if "centre_lps_mm" in said:
        parts.append("at " + ", ".join(f"{value:.1f}" for value in said["centre_lps_mm"]))
    return ", ".join(parts)


def author(answer: dict[str, Any]) -> str:
    """Who said it, and as what."""
    name = answer["author"] or answer["author_id"] or "somebody unnamed"
    return f"{escape(name)} ({answer['role']}{', verified' if answer['verified'] else ''})"


def styled(verdict: str) -> str:
    """A verdict in its colour."""
    return f"[{STYLES[verdict]}]{verdict}[/]"


def print_answers(rows: list[dict[str, Any]]) -> None:
    """A table of answers."""
    table = Table(box=None, pad_edge=False)
    for name in ("answer", "job", "said", "verdict", "nodule", "what", "by", "source"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            str(row["id"]),
            str(row["job"]),
            local_time(row["said_at"]),
            styled(row["verdict"]),
            f"…{row['tracking_uid'][-8:]}",
            said_in_words(row["said"]) or escape(row["why"]),
            author(row),
            row["source"],
        )
    console.print(table)


def print_unclear(rows: list[dict[str, Any]]) -> None:
    """Reports that could not be taken as answers."""
    for row in rows:
        job = "" if row["job"] is None else f" (job {row['job']})"
        what = f"[bold red]{row['outcome']}[/] report {row['sop_instance_uid']}{job}"
        console.print(f"{what}: {escape(row['reason'])}", highlight=False)


def print_nodules(shown: dict[str, Any]) -> None:
    """A job's nodules with the last answer to each, and the answers before."""
    console.print(f"job {shown['job']} revision {shown['revision']}", highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("#", "type", "axis mm", "level", "Lung-RADS", "answer", "what", "by"):
        table.add_column(name, overflow="fold")
    for nodule in shown["nodules"]:
        table.add_row(
            str(nodule["id"]),
            nodule["type"],
            f"{nodule['long_axis_mm']:.1f}",
            nodule["level"] or "-",
            nodule["lung_rads"] or "-",
            *_cells(nodule["answer"]),
        )
    for other in shown["others"]:
        table.add_row("+", "", "", "", "", *_cells(other["answer"]))
    console.print(table)
    for nodule in (*shown["nodules"], *shown["others"]):
        name = f"nodule {nodule['id']}" if "id" in nodule else "other"
        for answer in nodule["answers"]:
            console.print(
                f"  {name}, answer {answer['id']}: {answer_line(answer)}", highlight=False
            )
            if answer["said"].get("comment"):
                console.print(f"    comment: {answer['said']['comment']}", markup=False)
    print_unclear(shown["unclear_reports"])


def _cells(answer: dict[str, Any] | None) -> tuple[str, str, str]:
    if answer is None:
        return "-", "", ""
    return styled(answer["verdict"]), said_in_words(answer["said"]), author(answer)
