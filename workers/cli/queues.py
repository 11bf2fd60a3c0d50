"""The admin's view of the whole: queues, alarms, and the index rebuilt from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.output import console, fail, local_time, opened_application, print_json
from workers.cli.site import Server, TokenFile, reached
from workers.notify.notifier import send_test
from workers.state.schema import PAUSES
from workers.supervisor import hold_folder
from workers.usecases.audit import at_the_command_line, record_alone
from workers.usecases.reindex import reindex as rebuild

AsJson = Annotated[bool, typer.Option("--json", help="for scripts")]
QueueName = Annotated[str, typer.Argument(help="analyse or deliver")]

queue = typer.Typer(help="Hold queues back and let them go on.", no_args_is_help=True)
alarms = typer.Typer(help="What needs a person now, and who is told.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(queue, name="queue")
    app.add_typer(alarms, name="alarms")
    app.command()(reindex)


@queue.command()
def pause(name: QueueName, server: Server = None, token_file: TokenFile = None) -> None:
    """Hold a queue back; what runs is not interrupted."""
    _set_pause(name, server, token_file, paused=True)


@queue.command()
def resume(name: QueueName, server: Server = None, token_file: TokenFile = None) -> None:
    """Let a queue go on."""
    _set_pause(name, server, token_file, paused=False)


@queue.command()
def status(as_json: AsJson = False, server: Server = None, token_file: TokenFile = None) -> None:
    """Show which queues are held back and how many jobs stand in each state."""
    with reached(server, token_file) as site:
        found = site.queues()
    if as_json:
        print_json(found)
        return
    for name, held in found["paused"].items():
        console.print(f"{name}: {'[yellow]paused[/]' if held else 'running'}")
    counts = sorted(found["jobs"].items())
    console.print(" ".join(f"{state}: {count}" for state, count in counts))


def _set_pause(name: str, server: str | None, token_file: Path | None, *, paused: bool) -> None:
    if name not in PAUSES:
        fail(f"no queue {name}: there are {', '.join(PAUSES)}")
    with reached(server, token_file) as site:
        site.set_pause(name, paused=paused)
    console.print(f"{name}: {'paused' if paused else 'running'}")


@alarms.callback()
def list_alarms(
    context: typer.Context,
    as_json: AsJson = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """List what needs a person now; exit code 2 when there is anything."""
    if context.invoked_subcommand is not None:
        return
    with reached(server, token_file) as site:
        rows = site.alarms()
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


@alarms.command()
def test() -> None:
    """Send a test message to webhook and e-mail; exit code 1 when one is not taken."""
    with opened_application() as app:
        sent = send_test(app)
    if not sent:
        fail("nobody is told: set PULMONODE_WEBHOOK or PULMONODE_EMAIL")
    for name, problem in sent:
        console.print(f"{name}: {problem or 'taken'}", highlight=False)
    if any(problem for _, problem in sent):
        raise typer.Exit(1)


def reindex() -> None:
    """Bring the database up to the files, after it was lost or restored (stop the node first)."""
    with opened_application() as app:
        hold_folder(app.settings.data_dir)  # to the end of this process
        found = rebuild(app)
        record_alone(app, at_the_command_line(), "database.reindex")
    console.print(
        f"taken up: {found.instances} instances, {found.kept_aside} files kept aside, "
        f"{found.results} results"
    )
    if found.found_again or found.gone:
        console.print(
            f"put right: {found.found_again} instances stand in the object store, "
            f"{found.gone} stand there no more"
        )
