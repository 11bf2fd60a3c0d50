"""How the bank, its candidates, changes and history are printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from workers.cli.output import console, print_json

if TYPE_CHECKING:  # torch takes seconds to load, and `pulmonode node` needs none of it
    from inference.grading.bank import Bank
    from workers.bank.folder import BankFile
    from workers.bank.history import Event
    from workers.bank.listing import Listed
    from workers.bank.plan import Change

LEVELS = ("I", "II", "III", "IV")
MOVES_SHOWN = 20


def print_cases(
    file: BankFile, bank: Bank, prefix: str | None, *, everything: bool, as_json: bool
) -> None:
    """The bank: how many cases of which level and evidence, then the site's own."""
    if as_json:
        cases = [{**asdict(record), "level": record.level} for record in bank.records]
        known = {"version": bank.version, "number": file.number, "sha256": file.sha256}
        print_json({**known, "modalities": list(bank.table.modalities), "cases": cases})
        return
    where = f"version {file.number} of the site" if file.number else "as shipped"
    _line(f"bank {bank.version} ({where}, sha256 {file.sha256[:8]}): {len(bank)} cases")
    table = _table("level", "reader-rated", "confirmed")
    for level in LEVELS:
        of_level = [record.evidence for record in bank.records if record.level == level]
        counts = (of_level.count("reader-rated"), of_level.count("confirmed"))
        table.add_row(level, *(str(count) for count in counts))
    console.print(table)
    shown = [
        record
        for record in bank.records
        if everything or (prefix is not None and record.case_id.startswith(f"{prefix}-"))
    ]
    if not shown:
        return
    cases_table = _table("case", "level", "evidence", "source")
    for record in shown:
        cases_table.add_row(record.case_id, record.level, record.evidence, escape(record.source))
    console.print(cases_table)


def print_candidates(listed: Iterable[Listed], *, as_json: bool) -> None:
    """Candidates and where they stand."""
    if as_json:
        print_json([_plain(one) for one in listed])
        return
    table = _table("candidate", "nodule", "state", "answer", "added by", "type", "mm", "note")
    for one in listed:
        candidate, answer = one.candidate, one.candidate.answer
        size = candidate.about.get("long_axis_mm")
        table.add_row(
            candidate.case_id,
            "" if one.nodule is None else str(one.nodule),
            one.state,
            "" if answer is None else f"{answer.rating:g}, {answer.basis}",
            escape(candidate.added_by),
            str(candidate.about.get("type") or ""),
            "" if size is None else f"{size:.1f}",
            escape(candidate.note),
        )
    console.print(table)


def print_change(change: Change, *, as_json: bool = False) -> None:
    """What a change did, or would do."""
    preview = change.preview
    if as_json:
        print_json(
            {
                "made": None if change.made is None else change.made.number,
                "cases_before": len(change.before),
                "cases_after": len(change.after),
                "known_already": change.known,
                "preview": None if preview is None else asdict(preview),
            }
        )
        return
    known = f" ({change.known} were there already)" if change.known else ""
    _line(f"cases: {len(change.before)} -> {len(change.after)}{known}")
    if preview is not None:
        _line(f"reference nodules: {preview.compared}, other level: {len(preview.moves)}")
        if preview.largest_case is not None:
            _line(
                f"largest change of suspicion: {preview.largest_change:+.3f} "
                f"({preview.largest_case})"
            )
        for move in preview.moves[:MOVES_SHOWN]:
            _line(f"  {move.case_id}: {move.before} -> {move.after}")
        if len(preview.moves) > MOVES_SHOWN:
            _line(f"  and {len(preview.moves) - MOVES_SHOWN} more (--json)")
    if change.made is not None:
        _line(f"version {change.made.number} counts now (sha256 {change.made.sha256[:8]})")
        return
    if preview is None:
        _line("no trained grader is here: what it does to grades is not known")
    _line("nothing is changed yet: --yes does it")


def print_history(events: Iterable[Event]) -> None:
    """One line for each change."""
    table = _table("when (UTC)", "by", "account", "what", "cases", "version", "why, facts")
    for event in events:
        few = ", ".join(event.cases[:3]) + (" ..." if len(event.cases) > 3 else "")
        version = "" if event.version is None else str(event.version)
        if event.parent is not None:
            version = f"{event.parent} -> {version}"
        facts = ", ".join(
            f"{name} {value}" for name, value in event.facts.items() if value is not None
        )
        table.add_row(
            event.at.replace("T", " ").rstrip("Z"),
            escape(event.by),
            escape(event.account),
            event.what,
            escape(few),
            version,
            escape("; ".join(part for part in (event.why, facts) if part)),
        )
    console.print(table)


def _plain(one: Listed) -> dict[str, Any]:
    plain = asdict(one.candidate)
    del plain["features"]
    return {**plain, "state": one.state, "nodule": one.nodule}


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _line(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
