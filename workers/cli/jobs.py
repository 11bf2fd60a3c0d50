"""The admin's work without a browser: jobs and queues."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.answer_output import answer_line
from workers.cli.output import console, fail, local_time, print_json
from workers.cli.site import Server, TokenFile, reached
from workers.state.schema import JobState, Priority
from workers.usecases.act import JobAction
from workers.usecases.list_queue import QueueFilter

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
    state: Annotated[list[JobState], typer.Option(help="only this state; may be repeated")] = [],  # noqa: B006 - Typer copies it
    destination: Annotated[str, typer.Option(help="only what it has not taken")] = "",
    reason: Annotated[str, typer.Option(help="only this reason code")] = "",
    calling_ae: Annotated[str, typer.Option(help="only what this AE sent")] = "",
    modality: Annotated[str, typer.Option(help="only this modality")] = "",
    text: Annotated[str, typer.Option(help="job number, or a piece of a UID")] = "",
    since: Annotated[datetime | None, typer.Option(help="received from then on")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 50,
    as_json: AsJson = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """List the newest jobs."""
    wanted = QueueFilter(
        states=tuple(state),
        destination=destination,
        code=reason,
        calling_ae=calling_ae,
        modality=modality,
        text=text,
        since=None if since is None else since.timestamp(),
    )
    with reached(server, token_file) as site:
        found = site.jobs(wanted, limit)
    if as_json:
        print_json(found["items"])
        return
    _print_jobs(found["items"])
    counts = sorted(found["counts"].items())
    console.print(" ".join(f"{name}: {count}" for name, count in counts) or "none")


@jobs.command()
def dead(as_json: AsJson = False, server: Server = None, token_file: TokenFile = None) -> None:
    """List what stopped and needs a person (dead letters), oldest first."""
    with reached(server, token_file) as site:
        rows = site.dead_letters()
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
def show(
    wanted: Wanted, as_json: AsJson = False, server: Server = None, token_file: TokenFile = None
) -> None:
    """Show one job with its history, objects and deliveries."""
    with reached(server, token_file) as site:
        job = site.job(wanted)
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


def _act(wanted: str, action: JobAction, server: str | None, token_file: Path | None) -> None:
    with reached(server, token_file) as site:
        done = site.act(action, wanted)
    console.print(f"job {wanted}: {_styled(done.state)}")


@jobs.command()
def retry(
    wanted: Annotated[str | None, typer.Argument(help="job number or Series Instance UID")] = None,
    every: Annotated[bool, typer.Option("--all", help="every dead letter")] = False,
    code: Annotated[str | None, typer.Option(help="every dead letter with this reason")] = None,
    destination: Annotated[
        str | None, typer.Option(help="every dead letter that this destination did not take")
    ] = None,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Start stopped jobs again where they stopped: one, or dead letters in bulk."""
    in_bulk = every or code is not None or destination is not None
    if (wanted is not None) == in_bulk:
        fail("name one job, or say --all, --code or --destination")
    if wanted is not None:
        _act(wanted, JobAction.RETRY, server, token_file)
        return
    with reached(server, token_file) as site:
        outcomes = site.retry_dead_letters(code, destination)
    for job_id, outcome in outcomes.items():
        console.print(f"job {job_id}: {_styled(outcome)}")
    started = sum(outcome in set(JobState) for outcome in outcomes.values())
    console.print(f"{started} jobs started again")


@jobs.command()
def release(wanted: Wanted, server: Server = None, token_file: TokenFile = None) -> None:
    """The radiologist's report is signed: let go what is withheld of the job's study."""
    with reached(server, token_file) as site:
        count = site.act(JobAction.RELEASE, wanted).released
        study_uid = site.job(wanted)["study_instance_uid"]
    console.print(
        f"study {study_uid}: {count} deliveries released"
        if count
        else f"study {study_uid}: nothing was withheld; what comes of it later goes at once"
    )


@jobs.command()
def statistics(
    as_json: AsJson = False, server: Server = None, token_file: TokenFile = None
) -> None:
    """Count results, nodules and objects per destination, those in shadow included."""
    with reached(server, token_file) as site:
        rows = site.statistics()
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
    wanted: Wanted,
    level: Annotated[str, typer.Argument(help="urgent, normal or off_peak")],
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Move a job forward or back in the queue."""
    if level.upper() not in Priority.__members__:
        fail(f"no priority {level}: there are {', '.join(Priority.__members__).lower()}")
    with reached(server, token_file) as site:
        site.act(JobAction(level.lower()), wanted)
    console.print(f"job {wanted}: {level.lower()}")


@jobs.command()
def cancel(wanted: Wanted, server: Server = None, token_file: TokenFile = None) -> None:
    """Stop a job; what is under way is discarded."""
    _act(wanted, JobAction.CANCEL, server, token_file)


@jobs.command()
def force(wanted: Wanted, server: Server = None, token_file: TokenFile = None) -> None:
    """Analyse a series as it is, without waiting for more slices or a better series."""
    _act(wanted, JobAction.FORCE, server, token_file)


@jobs.command()
def export(
    wanted: Wanted,
    out: Annotated[Path, typer.Option(help="folder for findings.json, SR and SEG")],
    fhir: Annotated[
        bool, typer.Option("--fhir", help="only fhir.json: the result as a FHIR R4 Bundle")
    ] = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Copy a job's result into a folder."""
    with reached(server, token_file) as site:
        if not fhir:
            job = site.export(wanted, out)
            console.print(f"wrote {out}/findings.json and {len(job['objects'])} objects")
            return
        bundle = site.fhir(wanted)
    out.mkdir(parents=True, exist_ok=True)
    (out / "fhir.json").write_text(json.dumps(bundle, indent=2, ensure_ascii=False) + "\n")
    console.print(f"wrote {out}/fhir.json: {len(bundle['entry'])} resources")
    report = next(
        item["resource"]
        for item in bundle["entry"]
        if item["resource"]["resourceType"] == "DiagnosticReport"
    )
    if report["status"] == "entered-in-error":
        console.print(report["conclusion"])
