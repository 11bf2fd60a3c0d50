"""The admin's work without a browser: jobs and queues."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.answer_output import answer_line
from workers.cli.output import console, fail, local_time, opened_application, print_json
from workers.state.schema import JobState, Priority
from workers.usecases import administer, begin_deliveries, describe
from workers.usecases.export import export_result
from workers.usecases.share_settings import with_site_settings

STATE_STYLES = {
    JobState.CONFIRMED: "green",
    JobState.DELIVERED: "green",
    JobState.FAILED: "bold red",
    JobState.QUARANTINED: "bold red",
    JobState.NOT_ELIGIBLE: "yellow",
    JobState.CANCELLED: "dim",
    JobState.SUPERSEDED: "dim",
}
Wanted = Annotated[str, typer.Argument(help="job number or Series Instance UID")]
AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]

jobs = typer.Typer(help="Look at jobs and act on them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(jobs, name="jobs")


@jobs.command("list")
def list_(
    state: Annotated[JobState | None, typer.Option(help="only this state")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    with opened_application() as app, app.database.read() as session:
        rows = describe.list_jobs(session, state=state, limit=limit)
        counts = describe.count_jobs(session)
    if as_json:
        print_json(rows)
        return
    _print_jobs(rows)
    console.print(" ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "none")


@jobs.command()
def dead(as_json: AsJson = False) -> None:
    """List what stopped and needs a person (dead letters), oldest first."""
    with opened_application() as app, app.database.read() as session:
        rows = describe.list_dead_letters(session)
    if as_json:
        print_json(rows)
        return
    _print_jobs(rows)
    console.print(f"{len(rows)} jobs need a person")


def _print_jobs(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("job", "state", "modality", "instances", "since", "series", "reason"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            f"{row['id']}" + (f" r{row['revision']}" if row["revision"] > 1 else ""),
            _styled(row["state"]),
            row["modality"],
            str(row["instances"]),
            local_time(row["state_since"]),
            f"…{row['series_instance_uid'][-12:]}",
            row["reason"] or "",
        )
    console.print(table)


@jobs.command()
def show(wanted: Wanted, as_json: AsJson = False) -> None:
    """Show one job with its history, objects and deliveries."""
    with opened_application() as app, app.database.read() as session:
        job = describe.show_job(session, wanted)
        if job["findings_path"]:
            job["findings_path"] = app.store.describe(job["findings_path"])
        for item in job["objects"]:
            item["path"] = app.store.describe(item["path"])
        if job["features_path"]:
            job["features_path"] = app.store.describe(job["features_path"])
    if as_json:
        print_json(job)
        return
    _print_job(job)


def _print_job(job: dict[str, Any]) -> None:
    console.print(f"[bold]job {job['id']}[/] revision {job['revision']}: {_styled(job['state'])}")
    if job["correction"]:
        console.print(f"  corrected by a newer copy: {job['correction']}")
    if job["reason"]:
        console.print(f"  reason: {job['reason']} [dim]({job['reason_code']})[/]")
    console.print(f"  study  {job['study_instance_uid']}")
    console.print(f"  series {job['series_instance_uid']}")
    console.print(
        f"  {job['instances']} {job['modality']} instances from {job['calling_ae'] or 'unknown'}"
    )
    for warning in job["warnings"]:
        console.print(f"  [yellow]warning:[/] {warning}")
    for item in job["objects"]:
        dress = ", ".join(item["profiles"] or item["destinations"])
        console.print(
            f"  {item['kind'].upper()} {item['sop_instance_uid']} ({dress}) {item['path']}"
        )
    for item in job["deliveries"]:
        console.print(
            f"  to {item['destination']} ({item['profile']}): {_styled(item['state'])}"
            + (f", {item['reason']}" if item["reason"] else "")
        )
    for item in job["kept_aside"]:
        console.print(f"  kept aside: {item['file']} ({item['reason_code']})")
    for item in job["answers"]:
        console.print(f"  answer {item['id']}: {answer_line(item)}", highlight=False)
    if len(job["revisions"]) > 1:
        console.print(
            "  revisions: "
            + ", ".join(
                f"{item['revision']} {_styled(item['state'])} (job {item['id']})"
                for item in job["revisions"]
            )
        )
    console.print("  history")
    for line in job["history"]:
        console.print(f"    {local_time(line['at'])} {line['state']:<13} {line['message']}")


def _styled(state: str) -> str:
    style = STATE_STYLES.get(JobState(state)) if state in set(JobState) else None
    return f"[{style}]{state}[/]" if style else state


def _act(wanted: str, verb: str) -> None:
    with opened_application() as app:
        state = {
            "retry": administer.retry,
            "cancel": administer.cancel,
            "force": administer.force,
        }[verb](app, wanted)
    console.print(f"job {wanted}: {_styled(state)}")


@jobs.command()
def retry(
    wanted: Annotated[str | None, typer.Argument(help="job number or Series Instance UID")] = None,
    every: Annotated[bool, typer.Option("--all", help="every dead letter")] = False,
    code: Annotated[str | None, typer.Option(help="every dead letter with this reason")] = None,
    destination: Annotated[
        str | None, typer.Option(help="every dead letter that this destination did not take")
    ] = None,
) -> None:
    """Start stopped jobs again where they stopped: one, or dead letters in bulk."""
    in_bulk = every or code is not None or destination is not None
    if (wanted is not None) == in_bulk:
        fail("name one job, or say --all, --code or --destination")
    if wanted is not None:
        _act(wanted, "retry")
        return
    with opened_application() as app:
        outcomes = administer.retry_all(app, code=code, destination=destination)
    for job_id, outcome in outcomes.items():
        console.print(f"job {job_id}: {_styled(outcome)}")
    started = sum(outcome in set(JobState) for outcome in outcomes.values())
    console.print(f"{started} jobs started again")


@jobs.command()
def release(wanted: Wanted) -> None:
    """The radiologist's report is signed: let go what is withheld of the job's study."""
    with opened_application() as app:
        study_uid, count = begin_deliveries.release(app, wanted)
    console.print(
        f"study {study_uid}: {count} deliveries released"
        if count
        else f"study {study_uid}: nothing was withheld; what comes of it later goes at once"
    )


@jobs.command()
def statistics(as_json: AsJson = False) -> None:
    """Count results, nodules and objects per destination, those in shadow included."""
    with opened_application() as app, app.database.read() as session:
        rows = describe.count_deliveries(session, with_site_settings(app).settings)
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("destination", "mode", "state", "results", "positive", "nodules", "objects", "MB"):
        table.add_column(name)
    for row in rows:
        table.add_row(
            row["destination"],
            row["mode"],
            _styled(row["state"]),
            str(row["results"]),
            str(row["with_nodules"]),
            str(row["nodules"]),
            str(row["objects"]),
            f"{row['bytes'] / 1e6:.1f}",
        )
    console.print(table)


@jobs.command()
def priority(
    wanted: Wanted, level: Annotated[str, typer.Argument(help="urgent, normal or off_peak")]
) -> None:
    """Move a job forward or back in the queue."""
    if level.upper() not in Priority.__members__:
        fail(f"no priority {level}: there are {', '.join(Priority.__members__).lower()}")
    with opened_application() as app:
        administer.set_priority(app, wanted, Priority[level.upper()])
    console.print(f"job {wanted}: {level.lower()}")


@jobs.command()
def cancel(wanted: Wanted) -> None:
    """Stop a job; what is under way is discarded."""
    _act(wanted, "cancel")


@jobs.command()
def force(wanted: Wanted) -> None:
    """Analyse a series as it is, without waiting for more slices or a better series."""
    _act(wanted, "force")


@jobs.command()
def export(
    wanted: Wanted,
    out: Annotated[Path, typer.Option(help="folder for findings.json, SR and SEG")],
) -> None:
    """Copy a job's result into a folder."""
    with opened_application() as app:
        with app.database.read() as session:
            job = describe.show_job(session, wanted)
        if job["findings_path"] is None:
            fail(f"job {wanted} is {job['state']} and has no result")
        export_result(app.store, job, out)
    console.print(f"wrote {out}/findings.json and {len(job['objects'])} objects")
