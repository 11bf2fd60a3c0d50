"""A series of more images than the site allows is never held whole, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.read.eligibility import load_rules
from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import change, get_job, job_of, receive, with_settings
from workers.application import Application
from workers.settings import Settings
from workers.state.schema import Instance, Job, JobState
from workers.usecases import assemble
from workers.usecases.assemble import assemble_due, series_headers
from workers.usecases.notice import give_notice_due

LIMIT = 20


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_settings(settings, maximum_series_instances=LIMIT)


def assembled(app: Application) -> Job:
    datasets_uid = str(plain_series("large", slices=1)[0].SeriesInstanceUID)
    job = job_of(app, datasets_uid)
    assemble_due(app, load_rules(None), now=job.last_instance_at + app.settings.quiet_time_s)
    return get_job(app, job.id)


def test_a_series_above_the_limit_is_refused_without_reading_its_headers(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(app, tmp_path, *plain_series("large", slices=LIMIT + 1))

    def unread(*_: object, **__: object) -> None:
        raise AssertionError("its headers were read")

    with monkeypatch.context() as patch:
        patch.setattr(assemble, "series_headers", unread)
        job = assembled(app)

    assert (job.state, job.reason_code) == (JobState.NOT_ELIGIBLE, "too_many_instances")
    assert "21 images in one series, limit 20" in (job.reason or "")
    assert "PULMONODE_MAXIMUM_SERIES_INSTANCES" in (job.reason or "")


def test_forcing_does_not_lift_the_limit(app: Application, tmp_path: Path) -> None:
    receive(app, tmp_path, *plain_series("large", slices=LIMIT + 1))
    uid = str(plain_series("large", slices=1)[0].SeriesInstanceUID)
    change(app, Job, job_of(app, uid).id, forced=True)

    assert assembled(app).reason_code == "too_many_instances"


def test_a_series_at_the_limit_is_judged_as_any_other(app: Application, tmp_path: Path) -> None:
    receive(app, tmp_path, *plain_series("large", slices=LIMIT))

    assert assembled(app).state == JobState.COMPLETE


def test_what_waits_for_such_a_chest_is_told_and_no_more_headers_are_read(
    app: Application, tmp_path: Path
) -> None:
    receive(app, tmp_path, *plain_series("large", slices=LIMIT + 5))
    job = assembled(app)

    given = give_notice_due(app, load_rules(None), now=job.state_since + 1e4)

    assert given == 1
    with app.database.read() as session:
        assert len(series_headers(session, job.series_uid, at_most=LIMIT)) == LIMIT
        assert session.query(Instance).count() == LIMIT + 5  # all of it is kept
