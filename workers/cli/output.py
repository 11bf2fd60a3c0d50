"""How commands print: tables for people, JSON for scripts, one clear line for an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import DatabaseError

from dicom_node.errors import DicomNodeError
from inference.errors import InferenceError
from workers.application import Application, open_application
from workers.errors import WorkersError
from workers.log import configure_logging
from workers.settings import Settings
from workers.state.database import DATABASE_AWAY, SchemaMismatch

console = Console()
errors = Console(stderr=True)
FiguresFile = Annotated[
    Path | None, typer.Option("--json", dir_okay=False, help="write the figures here, - prints")
]
"""For `wrote_figures`."""


def fail(message: str, code: int = 1) -> NoReturn:
    """Print one line to standard error and end."""
    errors.print(f"[bold red]error:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """Print a value as JSON, for scripts."""
    typer.echo(json.dumps(value, indent=2))


def wrote_figures(figures: Any, path: Path | None) -> bool:
    """Write figures where ``--json`` says; whether they were printed, and all is said with that."""
    if path == Path("-"):
        print_json(figures)
        return True
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n")
    return False


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; a wrong one ends the command with its name and what is wrong."""
    try:
        settings = Settings(**{key: value for key, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"PULMONODE_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        ]
        fail("settings: " + "; ".join(lines))
    configure_logging(settings.log_format, settings.log_level)
    return settings


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn the errors that are raised on purpose into one line and exit code 1."""
    try:
        yield
    except (DicomNodeError, InferenceError, WorkersError, SchemaMismatch) as error:
        fail(str(error))
    except (*DATABASE_AWAY, DatabaseError) as error:  # the latter: a file that is damaged
        fail(f"state database: {getattr(error, 'orig', None) or error}")
    except OSError as error:
        fail(str(error))


@contextmanager
def opened_application() -> Iterator[Application]:
    """The application as the settings say, for commands that look or act."""
    with reported_errors():
        app = open_application(load_settings())
        try:
            yield app
        finally:
            app.database.close()


def local_time(seconds: float | None) -> str:
    """A moment for people, in the local time zone."""
    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
