"""`pulmonode answers`: what radiologists say of our nodules."""

from __future__ import annotations

import getpass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.answer_output import print_answers, print_nodules, print_unclear, styled
from workers.cli.output import console, fail, opened_application, print_json
from workers.state.answer_tables import Verdict
from workers.usecases.answer import Statement
from workers.usecases.answer import add_answer as keep_answer
from workers.usecases.audit import at_the_command_line, record_alone
from workers.usecases.describe_answers import list_answers, list_unclear, show_answers

Wanted = Annotated[str, typer.Argument(metavar="JOB", help="job number or Series Instance UID")]
AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]
Day = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="of the histology, or of the last CT"),
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", formats=["%Y-%m-%d"], help="of the first CT, for stable-2-years"),
]

answers = typer.Typer(
    help="What radiologists say of our nodules, from edited or verified reports (SR) and from "
    "here. No answer changes a grade by itself.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(answers, name="answers")


@answers.command("list")
def list_(
    verdict: Annotated[Verdict | None, typer.Option(help="only this one")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest answers, and reports that could not be understood."""
    with opened_application() as app, app.database.read() as session:
        rows = list_answers(session, verdict=verdict, limit=limit)
        unclear = list_unclear(session, limit=limit)
    if as_json:
        print_json({"answers": rows, "unclear_reports": unclear})
        return
    print_answers(rows)
    print_unclear(unclear)


@answers.command()
def show(wanted: Wanted, as_json: AsJson = False) -> None:
    """Show a job's nodules with everything that was said of them."""
    with opened_application() as app:
        shown = show_answers(app, wanted)
    if as_json:
        print_json(shown)
        return
    print_nodules(shown)


@answers.command()
def add(
    wanted: Wanted,
    nodule: Annotated[
        str, typer.Argument(help="its number in the findings, or its Tracking UID")
    ] = "",
    missed: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="place of a nodule not listed, LPS mm")
    ] = None,
    diameter: Annotated[float | None, typer.Option(help="of that one, mm")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="it is a nodule")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="it is no nodule")] = False,
    level: Annotated[str | None, typer.Option(help="I, II, III or IV")] = None,
    rating: Annotated[
        float | None, typer.Option(help="malignancy, 1 (unlikely) to 5 (suspicious)")
    ] = None,
    lung_rads: Annotated[str | None, typer.Option(help="Lung-RADS v2022 category")] = None,
    outcome: Annotated[str | None, typer.Option(help="benign or malignant")] = None,
    evidence: Annotated[
        str | None, typer.Option(help="of the outcome: histology or stable-2-years")
    ] = None,
    date: Day = None,
    since: Since = None,
    by: Annotated[str | None, typer.Option(help="who answers; your account if not given")] = None,
    comment: Annotated[str, typer.Option(help="free text; it is never exported")] = "",
) -> None:
    """Say something of a nodule; earlier answers stay."""
    grades = (level, rating, lung_rads, outcome)
    if accept and reject:
        fail("say --accept or --reject, not both")
    if not (accept or reject or missed or any(value is not None for value in grades)):
        fail("say --accept, --reject, --missed, a level, a rating, a category or an outcome")
    account = getpass.getuser()
    statement = Statement(
        nodule=nodule,
        place_lps_mm=None if missed is None else _place(missed),
        diameter_mm=diameter,
        reject=reject,
        level=level,
        rating=rating,
        lung_rads=lung_rads,
        outcome=outcome,
        evidence=evidence,
        on=None if date is None else date.date(),
        since=None if since is None else since.date(),
        comment=comment,
    )
    with opened_application() as app:
        made = keep_answer(
            app,
            wanted,
            statement,
            by=account if by is None else by,
            account=account,
            actor=at_the_command_line(),
        )
    console.print(f"answer {made.id}: {styled(made.verdict)}, {made.why}", highlight=False)


def _place(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        fail(f"--missed {text}: three numbers with commas are wanted, LPS mm")
    return x, y, z


@answers.command()
def offer(
    answer: Annotated[int, typer.Argument(help="number of the answer")],
    by: Annotated[str, typer.Option("--by", help="your name; it stays in the bank's history")],
) -> None:
    """Make an answered nodule a candidate of the site's typical-case bank."""
    from workers.bank.folder import BankFolder
    from workers.usecases.offer_answer import offer_answer

    with opened_application() as app:
        if app.settings.bank_dir is None:
            fail("PULMONODE_BANK_DIR is not set: only a site's own bank takes candidates")
        made = offer_answer(app, BankFolder(app.settings.bank_dir), answer, by=by)
        record_alone(app, at_the_command_line(), "answer.offer", subject=str(answer))
    console.print(
        f"candidate {made.case_id}: waits for a second person (bank promote)", highlight=False
    )


@answers.command()
def export(
    out: Annotated[Path, typer.Argument(help="folder for the files", file_okay=False)],
    accepted_levels: Annotated[
        bool,
        typer.Option("--accepted-levels", help="levels left as they were count as ratings"),
    ] = False,
    images: Annotated[
        bool,
        typer.Option("--images", help="also the CT, as received, with a table of places"),
    ] = False,
) -> None:
    """Write the last answer to each nodule for training and testing, without patients."""
    from workers.usecases.export_answers import export_answers

    with opened_application() as app:
        done = export_answers(app, out, accepted_levels=accepted_levels, images=images)
        what = "with images" if images else ""
        record_alone(app, at_the_command_line(), "answer.export", subject=what)
    console.print(
        f"wrote {out}: {done.answers} answers, {done.outcomes} with a rating or an outcome, "
        f"{done.with_features} of these with features in {done.feature_files} files",
        highlight=False,
        soft_wrap=True,
    )
    if done.feature_files > 1:
        console.print("features of several versions have other columns: test each file alone")
    if images:
        console.print(
            f"{done.series} series with images, {done.with_segments} of these with segments: "
            "[yellow]they name the patient, as received[/]"
        )
    if done.left_out:
        console.print(
            f"{done.left_out} series left out: nobody gave the size of a nodule that was added, "
            "or the CT was removed"
        )
