"""Commands that run until they are stopped: up, node, worker, console, hl7, migrate.

Node and Celery are imported where they are started: no other command waits for them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from workers.application import open_application
from workers.cli.output import console, fail, load_settings, reported_errors
from workers.state.database import Database


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(up)
    app.command()(node)
    app.command()(worker)
    app.command("console")(serve_console)
    app.command()(hl7)
    app.command()(migrate)


def up(
    analysers: Annotated[int, typer.Option(min=1, help="analyses at the same time")] = 1,
) -> None:
    """Run everything on this machine: broker, node, workers and console."""
    from workers.up import run_all

    settings = load_settings()
    with reported_errors():
        run_all(settings, analysers=analysers)


def node() -> None:
    """Run the DICOM node alone (production: one per site)."""
    from workers.roles import run_node

    settings = load_settings()
    with reported_errors():
        run_node(settings)


def worker(
    queues: Annotated[str, typer.Option(help="comma separated")] = "analyse,deliver,maintain",
    concurrency: Annotated[int, typer.Option(min=1, help="tasks at the same time")] = 1,
) -> None:
    """Run a worker alone (production: as many as wanted, on any host)."""
    from workers.roles import run_worker

    settings = load_settings()
    with reported_errors():
        run_worker(settings, tuple(queues.split(",")), concurrency)


def serve_console() -> None:
    """Run the console alone: pages and HTTP API (production: one per site)."""
    from workers.roles import run_console
    from workers.up import console_is_installed

    settings = load_settings()
    if not console_is_installed():
        fail("the console is not installed here: pip install 'pulmonode[console]'")
    with reported_errors():
        run_console(settings)


def hl7() -> None:
    """Run the HL7 port (MLLP) alone, beside the node: what is sent becomes clinical context."""
    from workers.roles import run_hl7

    settings = load_settings()
    with reported_errors():
        run_hl7(settings)


def migrate(
    check: Annotated[bool, typer.Option("--check", help="only say what would be done")] = False,
) -> None:
    """Upgrade the state database to this release's schema: all of it, or nothing.

    Stop node, workers and console first, and take a backup.
    """
    settings = load_settings()
    with reported_errors():
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = Database(settings.database_url)
        before, wanted = database.versions()
        database.close()
        if before == wanted:
            open_application(settings).database.close()  # looks at its tables too
            console.print(f"state database is at schema {wanted}, as this release needs")
            return
        if check:
            console.print(
                f"state database is at schema {before or 'none'}, this release needs {wanted}: "
                "stop node, workers and console, run 'pulmonode backup', then 'pulmonode migrate'"
            )
            raise typer.Exit(2)
        app = open_application(settings, migrate=True)
        app.database.close()
    console.print(f"state database is at schema {wanted} (it was at {before or 'none'})")
    if before is not None and settings.database_url.startswith("sqlite"):
        console.print(f"the file as it was is kept beside it: *.schema-{before}")
