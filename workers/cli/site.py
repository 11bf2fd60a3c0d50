"""What the admin's commands ask of: this machine's database, or a console elsewhere.

Both answer with the same plain values, so there is one way to print them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from workers.application import Application
from workers.cli.output import load_settings, opened_application, reported_errors
from workers.errors import NoResult
from workers.usecases import administer, describe
from workers.usecases.act import Done, JobAction, act, number_of
from workers.usecases.audit import at_the_command_line, record_alone
from workers.usecases.export import export_result
from workers.usecases.list_queue import QueueFilter, list_queue
from workers.usecases.share_settings import with_site_settings
from workers.usecases.take_upload import take_upload
from workers.usecases.tell_fhir import tell_fhir

Server = Annotated[
    str | None,
    typer.Option(
        envvar="PULMONODE_SERVER",
        help="URL of a console elsewhere, in place of this machine's database",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="PULMONODE_TOKEN_FILE", help="file with a token of that console", dir_okay=False
    ),
]


class Site(Protocol):
    """A running system, as an administrator looks at it and acts on it."""

    def jobs(self, wanted: QueueFilter, limit: int) -> dict[str, Any]:
        """The newest jobs that pass a filter (``items``), and ``counts`` of all by state."""

    def dead_letters(self) -> list[dict[str, Any]]:
        """What stopped and needs a person."""

    def job(self, wanted: str) -> dict[str, Any]:
        """Everything about one job, by number or Series Instance UID."""

    def act(self, action: JobAction, wanted: str) -> Done:
        """Do something to a job."""

    def retry_dead_letters(self, code: str | None, destination: str | None) -> dict[int, str]:
        """Start dead letters again: job number to its new state, or to why it was refused."""

    def export(self, wanted: str, out: Path) -> dict[str, Any]:
        """Copy a job's result into a folder; returns the job."""

    def fhir(self, wanted: str) -> dict[str, Any]:
        """A job's result as a FHIR R4 Bundle."""

    def take_context(self, data: bytes, name: str) -> list[dict[str, Any]]:
        """Take FHIR or HL7; an answer for each message."""

    def statistics(self) -> list[dict[str, Any]]:
        """Results per destination and state."""

    def queues(self) -> dict[str, Any]:
        """Which queues are ``paused``, and ``jobs`` by state."""

    def set_pause(self, queue: str, *, paused: bool) -> None:
        """Hold a queue back, or let it go on."""

    def alarms(self) -> list[dict[str, Any]]:
        """What needs a person now."""


class LocalSite:
    """The system whose database this machine's settings name."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._me = at_the_command_line()

    def jobs(self, wanted: QueueFilter, limit: int) -> dict[str, Any]:
        """See `Site`."""
        with self._app.database.read() as session:
            page = list_queue(session, wanted, limit=limit)
            return {"items": list(page.jobs), "counts": describe.count_jobs(session)}

    def dead_letters(self) -> list[dict[str, Any]]:
        """See `Site`."""
        with self._app.database.read() as session:
            return describe.list_dead_letters(session)

    def job(self, wanted: str) -> dict[str, Any]:
        """See `Site`."""
        with self._app.database.read() as session:
            return describe.show_job(session, wanted, self._app.store)

    def act(self, action: JobAction, wanted: str) -> Done:
        """See `Site`."""
        with self._app.database.read() as session:
            job_id = number_of(session, wanted)
        return act(self._app, action, job_id, by=self._me)

    def retry_dead_letters(self, code: str | None, destination: str | None) -> dict[int, str]:
        """See `Site`."""
        return administer.retry_all(self._app, code=code, destination=destination, by=self._me)

    def export(self, wanted: str, out: Path) -> dict[str, Any]:
        """See `Site`."""
        with self._app.database.read() as session:
            job = describe.show_job(session, wanted)
        if job["findings_path"] is None or job["result_removed_at"] is not None:
            raise NoResult(job["id"], job["state"])
        export_result(self._app.store, job, out)
        record_alone(self._app, self._me, "job.export", job_id=job["id"])
        return job

    def fhir(self, wanted: str) -> dict[str, Any]:
        """See `Site`."""
        return tell_fhir(self._app, wanted, by=self._me)

    def take_context(self, data: bytes, name: str) -> list[dict[str, Any]]:
        """See `Site`."""
        return [asdict(item) for item in take_upload(self._app, data, name=name, by=self._me)]

    def statistics(self) -> list[dict[str, Any]]:
        """See `Site`."""
        with self._app.database.read() as session:
            return describe.count_deliveries(session, with_site_settings(self._app).settings)

    def queues(self) -> dict[str, Any]:
        """See `Site`."""
        with self._app.database.read() as session:
            return {
                "paused": administer.paused_queues(session),
                "jobs": describe.count_jobs(session),
            }

    def set_pause(self, queue: str, *, paused: bool) -> None:
        """See `Site`."""
        administer.set_pause(self._app, queue, paused=paused, by=self._me)

    def alarms(self) -> list[dict[str, Any]]:
        """See `Site`."""
        with self._app.database.read() as session:
            return describe.list_alarms(session)


@contextmanager
def reached(server: str | None, token_file: Path | None) -> Iterator[Site]:
    """The site that a command's options name; errors end the command with one line."""
    if server is None:
        with opened_application() as app:
            yield LocalSite(app)
        return
    with reported_errors():
        from workers.cli.remote import RemoteSite  # here, because most commands need no HTTP

        with RemoteSite.of(server, token_file) as site:
            yield site


def examined(server: str | None, token_file: Path | None) -> list[dict[str, Any]]:
    """What the doctor finds, here or at the console's machine; needs no database that works."""
    if server is None:
        from workers.doctor import examine  # here, because it needs Celery

        return [asdict(check) for check in examine(load_settings())]
    with reported_errors():
        from workers.cli.remote import RemoteSite

        with RemoteSite.of(server, token_file) as site:
            return site.doctor()
