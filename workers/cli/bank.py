"""`pulmonode bank`: the typical cases that nodules are compared with, and who may add to them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.bank_audit import recorded
from workers.cli.bank_output import (
    print_candidates,
    print_cases,
    print_change,
    print_history,
)
from workers.cli.output import console, fail, load_settings, print_json, reported_errors
from workers.settings import Settings

if TYPE_CHECKING:  # torch takes seconds to load, and `pulmonode node` needs none of it
    from workers.bank.answers import Told
    from workers.bank.folder import BankFolder

By = Annotated[str, typer.Option("--by", help="your name; it stays in the history")]
Why = Annotated[str, typer.Option("--why", help="for those who read the history")]
AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]
Yes = Annotated[bool, typer.Option("--yes", help="do it; without this only show what would change")]
Rating = Annotated[
    float | None, typer.Option("--rating", help="an opinion, 1 (benign) to 5 (malignant)")
]
Outcome = Annotated[str | None, typer.Option("--outcome", help="benign or malignant")]
EvidenceOption = Annotated[
    str | None,
    typer.Option("--evidence", help="of the outcome: histology or stable-2-years"),
]
Day = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="of the histology, or of the last CT"),
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", formats=["%Y-%m-%d"], help="of the first CT, for stable-2-years"),
]
Note = Annotated[str, typer.Option("--note", help="free text; nothing that names the patient")]
ExistingFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]
CaseName = Annotated[str, typer.Argument(metavar="CASE")]

bank = typer.Typer(
    help="The typical cases that nodules are compared with. A nodule becomes one only by an "
    "answer and a second person.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(bank, name="bank")


@bank.command()
def init(
    by: By,
    prefix: Annotated[str, typer.Option(help="of the site's case numbers: capitals and digits")],
    source: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="a bank; the shipped one if not given"),
    ] = None,
) -> None:
    """Begin the site's own bank as a copy of another one."""
    from workers.bank.changes import begin
    from workers.bank.current import find_shipped_bank

    settings = load_settings()
    folder = _folder(settings)
    with reported_errors(), recorded(settings, "bank.init", prefix):
        shipped = find_shipped_bank(settings) if source is None else None
        path, sha256 = (shipped.path, shipped.sha256) if shipped else (source or Path(), None)
        begin(folder, path, prefix=prefix, by=by, sha256=sha256)
    console.print(f"version 1 counts now: {folder.path}", soft_wrap=True, highlight=False)


@bank.command()
def add(
    findings: ExistingFile,
    nodule: Annotated[int, typer.Option(help="its number in the findings")],
    features: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="features of the same analysis")
    ],
    by: By,
    rating: Rating = None,
    outcome: Outcome = None,
    evidence: EvidenceOption = None,
    date: Day = None,
    since: Since = None,
    note: Note = "",
) -> None:
    """Make a nodule of FINDINGS (findings.json) a candidate; no grade changes by that."""
    from workers.bank.admit import add_candidate
    from workers.bank.nodule import read_nodule

    settings = load_settings()
    folder = _folder(settings)
    told = _told(rating, outcome, evidence, date, since)
    with reported_errors(), recorded(settings, "bank.add"):
        found = read_nodule(findings, nodule, features)
        made = add_candidate(folder, found, by=by, told=told, note=note)
    missing = "a second person" if made.answer else "an answer (bank outcome), then a second person"
    console.print(f"candidate {made.case_id}: waits for {missing}", highlight=False)


@bank.command()
def outcome(
    case: CaseName,
    by: By,
    rating: Rating = None,
    result: Outcome = None,
    evidence: EvidenceOption = None,
    date: Day = None,
    since: Since = None,
    note: Note = "",
) -> None:
    """Record what became of a candidate."""
    from workers.bank.admit import record_answer

    settings = load_settings()
    folder = _folder(settings)
    with reported_errors(), recorded(settings, "bank.outcome", case):
        told = _told(rating, result, evidence, date, since)
        made = record_answer(folder, case, told, by=by, why=note)
    answer = made.answer
    if answer is not None:
        console.print(
            f"candidate {case}: rating {answer.rating:g}, {answer.evidence}; waits for a second "
            "person (bank promote)",
            highlight=False,
            soft_wrap=True,
        )


@bank.command()
def promote(case: CaseName, by: By, yes: Yes = False, as_json: AsJson = False) -> None:
    """Make a candidate a typical case, as a second person; first shows what would change."""
    from workers.bank.changes import promote as carry_out
    from workers.bank.preview import load_trained_grader

    settings = load_settings()
    folder = _folder(settings)
    with reported_errors(), recorded(settings, "bank.promote", case, really=yes):
        change = carry_out(folder, case, by=by, grader=load_trained_grader(settings), really=yes)
    print_change(change, as_json=as_json)


@bank.command("import")
def add_bank(source: ExistingFile, by: By, yes: Yes = False, as_json: AsJson = False) -> None:
    """Add another bank's cases; first shows what would change."""
    from workers.bank.changes import import_bank
    from workers.bank.preview import load_trained_grader

    settings = load_settings()
    folder = _folder(settings)
    with reported_errors(), recorded(settings, "bank.import", really=yes):
        change = import_bank(
            folder, source, by=by, grader=load_trained_grader(settings), really=yes
        )
    print_change(change, as_json=as_json)


@bank.command()
def remove(case: CaseName, by: By, why: Why) -> None:
    """Take a case out of the bank, or a candidate back."""
    from workers.bank.candidates import Candidate
    from workers.bank.changes import remove as take_out

    settings = load_settings()
    folder = _folder(settings)
    with reported_errors(), recorded(settings, "bank.remove", case):
        done = take_out(folder, case, by=by, why=why)
    if isinstance(done, Candidate):
        console.print(f"candidate {case} is withdrawn", highlight=False)
    else:
        print_change(done)


@bank.command()
def rollback(
    by: By,
    why: Why,
    to: Annotated[
        int | None, typer.Option(help="version; the one before the current if not given")
    ] = None,
) -> None:
    """Let an earlier version count again, byte for byte."""
    from workers.bank.changes import roll_back

    settings = load_settings()
    folder = _folder(settings)
    with reported_errors(), recorded(settings, "bank.rollback", "" if to is None else str(to)):
        now = roll_back(folder, by=by, why=why, to=to)
    console.print(f"version {now.number} counts now (sha256 {now.sha256[:8]})", highlight=False)


@bank.command("list")
def show(
    candidates: Annotated[bool, typer.Option("--candidates", help="not cases")] = False,
    everything: Annotated[bool, typer.Option("--all", help="also cases from elsewhere")] = False,
    of: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="findings.json: only candidates of that study"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the bank that grades are given with, or the candidates."""
    from workers.bank.current import find_current_bank, open_bank
    from workers.bank.listing import list_candidates

    settings = load_settings()
    with reported_errors():
        if not candidates and of is None:
            file = find_current_bank(settings)
            opened = open_bank(file)
            own = None if settings.bank_dir is None else _folder(settings).prefix()
            print_cases(file, opened, own, everything=everything, as_json=as_json)
            return
        print_candidates(list_candidates(_folder(settings), of), as_json=as_json)


@bank.command()
def history(as_json: AsJson = False) -> None:
    """Show who changed what, when and why."""
    folder = _folder(load_settings())
    with reported_errors():
        events = folder.events()
    if as_json:
        print_json([asdict(event) for event in events])
    else:
        print_history(events)


def _folder(settings: Settings) -> BankFolder:
    from workers.bank.folder import BankFolder

    if settings.bank_dir is None:
        fail(
            "PULMONODE_BANK_DIR is not set: the bank that came with this version is not changed; "
            "name a folder for the site's own"
        )
    return BankFolder(settings.bank_dir)


def _told(
    rating: float | None,
    outcome: str | None,
    evidence: str | None,
    date: datetime | None,
    since: datetime | None,
) -> Told:
    from workers.bank.answers import Told

    return Told(
        rating=rating,
        outcome=outcome,
        evidence=evidence,
        on=None if date is None else date.date(),
        since=None if since is None else since.date(),
    )
