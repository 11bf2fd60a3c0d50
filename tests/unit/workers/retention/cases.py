"""What stands in a system of which something may go, and how its age is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import (
    change,
    commit,
    receive,
    set_state,
    with_settings,
)
from workers.application import Application
from workers.state.schema import (
    Delivery,
    DeliveryState,
    Job,
    JobState,
)
from workers.usecases.record import record_due
from workers.usecases.retain import due_removals

DAY_S = 86_400.0


class Cut(Exception):
    """The process ends here."""


ON_BOTH = pytest.mark.parametrize(
    "app", ["folder", pytest.param("s3", marks=pytest.mark.peer)], indirect=True
)


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def ago(app: Application, job_id: int, days: float) -> None:
    change(app, Job, job_id, state_since=app.now() - days * DAY_S)


def confirmed(app: Application, folder: Path, name: str, *, days: float, slices: int = 2) -> str:
    """A series whose result every destination confirmed so long ago."""
    datasets = plain_series(name, slices=slices)
    receive(app, folder / name, *datasets)
    job_id = commit(app, uid_of(datasets[0]), name)
    record_due(app)
    with app.database.write() as session:
        for delivery in session.scalars(select(Delivery).where(Delivery.job_id == job_id)):
            delivery.state = DeliveryState.CONFIRMED
    set_state(app, uid_of(datasets[0]), JobState.CONFIRMED)
    ago(app, job_id, days)
    return uid_of(datasets[0])


def held(app: Application, uid: str) -> int:
    """How many objects of a series stand in the store."""
    return sum(uid in key for key in app.store.keys("instances"))


def kinds_due(app: Application) -> list[tuple[str, str]]:
    with app.database.read() as session:
        due = due_removals(session, app.settings, now=app.now(), limit=100)
    return [(item.series_uid, item.what) for item in due]


def with_policy(app: Application, **changes: Any) -> Application:
    return replace(app, settings=with_settings(app.settings, **changes))
