"""The admin's view of the whole: queues, alarms, and the index rebuilt from the files."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.output import console, fail, local_time, opened_application, print_json
from workers.state.schema import PAUSES
from workers.supervisor import hold_folder
from workers.usecases import administer, describe
from workers.usecases.reindex import reindex as rebuild

AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]
QueueName = Annotated[str, typer.Argument(help="analyse or deliver")]

queue = typer.Typer(help="Hold queues back and let them go on.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(queue, name="queue")
    app.command()(alarms)
    app.command()(reindex)


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


def alarms(as_json: AsJson = False) -> None:
    """List what needs a person now; exit code 2 when there is anything."""
    with opened_application() as app, app.database.read() as session:
        rows = describe.list_alarms(session)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            console.print(
                f"[bold red]{row['code']}[/] {row['subject']} since "
                f"{local_time(row['raised_at'])}: {row['message']}",
                highlight=False,
                soft_wrap=True,
            )
        if not rows:
            console.print("no alarm is open")
    if rows:
        raise typer.Exit(2)


def reindex() -> None:
    """Bring the database up to the files, after it was lost or restored (stop the node first)."""
    with opened_application() as app:
        hold_folder(app.settings.data_dir)  # to the end of this process
        found = rebuild(app)
    console.print(
        f"taken up: {found.instances} instances, {found.kept_aside} files kept aside, "
        f"{found.results} results"
    )
    if found.found_again or found.gone:
        console.print(
            f"put right: {found.found_again} instances stand in the object store, "
            f"{found.gone} stand there no more"
        )
