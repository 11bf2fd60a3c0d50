"""A series whose judging fails in a way that nobody foresaw holds no other back."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from dicom_node.read.eligibility import load_rules
from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import alarms, job_of, receive
from workers.application import Application
from workers.state.schema import Instance, JobState
from workers.usecases import assemble
from workers.usecases.assemble import NOT_JUDGED, assemble_due

RULES = load_rules(None)
SLICES = 16
"""The fewest that are a series."""


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def quiet(app: Application, uid: str) -> float:
    """The first moment at which the series counts as quiet."""
    return job_of(app, uid).last_instance_at + app.settings.quiet_time_s


def test_it_is_quarantined_with_the_errors_type_and_the_others_go_on(
    app: Application, tmp_path: Path
) -> None:
    strange, fine = plain_series("strange", SLICES), plain_series("fine", SLICES)
    receive(app, tmp_path, *strange)
    receive(app, tmp_path, *fine)
    with app.database.write() as session:
        (row, *_) = session.scalars(
            select(Instance).where(Instance.series_uid == uid_of(strange[0]))
        )
        row.header = {"nobody": "foresaw this"}

    assert assemble_due(app, RULES, now=quiet(app, uid_of(fine[0]))) == 2

    job = job_of(app, uid_of(strange[0]))
    assert (job.state, job.reason_code) == (JobState.QUARANTINED, NOT_JUDGED)
    assert "KeyError" in (job.reason or "")
    assert alarms(app) == [("job_stopped", str(job.id))]
    assert job_of(app, uid_of(fine[0])).state == JobState.COMPLETE


@pytest.mark.parametrize(
    "error", [OperationalError("SELECT", None, Exception("gone")), OSError(5, "disk")]
)
def test_a_database_or_a_disk_that_fails_meanwhile_blames_no_series(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    datasets = plain_series("away", SLICES)
    receive(app, tmp_path, *datasets)

    def away(*_: object) -> None:
        raise error

    monkeypatch.setattr(assemble, "series_headers", away)

    with pytest.raises(type(error)):
        assemble_due(app, RULES, now=quiet(app, uid_of(datasets[0])))
    assert job_of(app, uid_of(datasets[0])).state == JobState.RECEIVING
