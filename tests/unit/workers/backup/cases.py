"""A system with something of everything in it, and how it is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.bad_series import plain_series
from tests.servers.postgresql import PostgresServer
from tests.unit.workers.rows import (
    accept,
    commit,
    receive,
)
from workers.application import Application
from workers.backup_files import open_source, open_target
from workers.settings import Settings
from workers.usecases.back_up import BackedUp, back_up
from workers.usecases.index import index_inbox
from workers.usecases.record import record_due
from workers.usecases.restore import Restored, restore

BUCKET = "pulmonode"


class Cut(Exception):
    """The process ends here."""


def save(app: Application, target: Path) -> BackedUp:
    with open_target(target) as opened:
        return back_up(app, opened)


def put_back(settings: Settings, source: Path) -> Restored:
    with open_source(source) as opened:
        return restore(settings, opened)


def sums_of(source: Path) -> dict[str, str]:
    with open_source(source) as opened:
        return opened.sums()


def fill(app: Application, folder: Path) -> dict[str, str]:
    """A system at work; series by what they are."""
    series = {}
    for name in ("confirmed", "on its way", "unstored"):
        datasets = plain_series(name, slices=2)
        series[name] = str(datasets[0].SeriesInstanceUID)
        if name == "unstored":
            accept(app, folder / name, *datasets)  # acknowledged, and the node knows nothing yet
            continue
        receive(app, folder / name, *datasets)
        commit(app, series[name], name)
    record_due(app)
    app.spool.accept("1.2.3", b"no DICOM")
    (waiting, *rest) = app.spool.inbox()
    for path in (waiting, *rest):
        if path.name.endswith("-1.2.3.dcm"):
            parked = [item for item in app.spool.inbox() if item != path]
            for item in parked:
                item.rename(item.with_suffix(".parked"))
            index_inbox(app)  # only the unreadable one
            for item in parked:
                item.with_suffix(".parked").rename(item)
    return series


def lose(app: Application, request: pytest.FixtureRequest) -> None:
    """Everything: data folder, database, objects."""
    app.database.close()
    shutil.rmtree(app.settings.data_dir)
    if app.settings.state_url is not None:
        database: PostgresServer = request.getfixturevalue("server")
        database.query("DROP SCHEMA public CASCADE")
        database.query("CREATE SCHEMA public AUTHORIZATION pulmonode")
        app.store.remove([key for prefix in ("instances", "results", "records")
                          for key in app.store.keys(prefix)])  # fmt: skip


def away(app: Application) -> None:
    app.database.close()
    shutil.rmtree(app.settings.data_dir)
