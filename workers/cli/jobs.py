"""The admin's work without a browser: jobs and queues."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.output import console, fail, local_time, opened_application, print_json
from workers.state.schema import PAUSES, JobState
from workers.usecases import administer, describe

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
queue = typer.Typer(help="Hold queues back and let them go on.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(jobs, name="jobs")
    app.add_typer(queue, name="queue")


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
    console.print(" ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "none")


@jobs.command()
def show(wanted: Wanted, as_json: AsJson = False) -> None:
    """Show one job with its history, objects and deliveries."""
    with opened_application() as app, app.database.read() as session:
        job = describe.show_job(session, wanted)
        if job["findings_path"]:
            job["findings_path"] = str(app.results.path(job["findings_path"]))
        for item in job["objects"]:
            item["path"] = str(app.results.path(item["path"]))
    if as_json:
        print_json(job)
        return
    _print_job(job)


def _print_job(job: dict[str, Any]) -> None:
    console.print(f"[bold]job {job['id']}[/] revision {job['revision']}: {_styled(job['state'])}")
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
        console.print(f"  {item['kind'].upper()} {item['sop_instance_uid']} {item['path']}")
    for item in job["deliveries"]:
        console.print(
            f"  to {item['destination']}: {_styled(item['state'])}"
            + (f", {item['reason']}" if item["reason"] else "")
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
def retry(wanted: Wanted) -> None:
    """Start a failed, quarantined or cancelled job again where it stopped."""
    _act(wanted, "retry")


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
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(app.results.path(job["findings_path"]), out / "findings.json")
        for item in job["objects"]:
            shutil.copyfile(app.results.path(item["path"]), out / f"{item['kind']}.dcm")
        (out / "job.json").write_text(json.dumps(job, indent=2) + "\n")
    console.print(f"wrote {out}/findings.json and {len(job['objects'])} objects")


QueueName = Annotated[str, typer.Argument(help="analyse or deliver")]


@queue.command()
def pause(name: QueueName) -> None:
    """Hold a queue back; what runs is not interrupted."""
    _set_pause(name, paused=True)


@queue.command()
def resume(name: QueueName) -> None:
    """Let a queue go on."""
    _set_pause(name, paused=False)


@queue.command()
def status(as_json: AsJson = False) -> None:
    """Show which queues are held back and how many jobs stand in each state."""
    with opened_application() as app, app.database.read() as session:
        paused = administer.paused_queues(session)
        counts = describe.count_jobs(session)
    if as_json:
        print_json({"paused": paused, "jobs": counts})
        return
    for name, held in paused.items():
        console.print(f"{name}: {'[yellow]paused[/]' if held else 'running'}")
    console.print(" ".join(f"{state}: {count}" for state, count in sorted(counts.items())))


def _set_pause(name: str, *, paused: bool) -> None:
    if name not in PAUSES:
        fail(f"no queue {name}: there are {', '.join(PAUSES)}")
    with opened_application() as app:
        administer.set_pause(app, name, paused=paused)
    console.print(f"{name}: {'paused' if paused else 'running'}")
