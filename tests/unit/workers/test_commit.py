"""A result is committed once, also when the database has forgotten that it was."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from inference.findings import FollowUp
from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import (
    alarms,
    commit,
    delivery_states,
    empty_result,
    get_job,
    history,
    job_of,
    lose_database,
    receive,
    revisions,
)
from workers.application import Application
from workers.errors import StoreUnavailable
from workers.state.schema import DeliveryState, JobState, Result, ResultObject
from workers.state.store import FolderStore, get_content
from workers.usecases.commit import RECORDED_OTHERWISE, describe_comparison
from workers.usecases.record import record_due
from workers.usecases.reindex import reindex


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def corrected(ds: Dataset) -> Dataset:
    copied = copy.deepcopy(ds)
    copied.PatientName = "Right^Name"
    return copied


def committed_bytes(app: Application, job_id: int) -> list[bytes]:
    """What is delivered for a job."""
    with app.database.read() as session:
        rows = session.scalars(select(ResultObject).where(ResultObject.job_id == job_id)).all()
        return [get_content(app.store, row.path, row.sha256) for row in rows]


def lose_after_result(app: Application, tmp_path: Path, ds: Dataset) -> None:
    """A result is committed and recorded; then the database is lost."""
    receive(app, tmp_path, ds)
    commit(app, uid_of(ds), "first report")
    record_due(app)
    lose_database(app)


def test_a_series_that_comes_again_after_the_database_was_lost_has_its_first_result(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("comes again", slices=1)
    lose_after_result(app, tmp_path, ds)
    receive(app, tmp_path, ds)

    job_id = commit(app, uid_of(ds), "second report")

    assert committed_bytes(app, job_id) == [b"first report of job 1"]
    assert get_job(app, job_id).state == JobState.DELIVERING
    assert delivery_states(app, job_id) == {DeliveryState.QUEUED}
    assert any("has a result already" in line for line in history(app, job_id))
    assert record_due(app) == 0


def test_more_instances_than_the_first_result_covers_begin_the_next_revision(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("comes with more", slices=2)
    lose_after_result(app, tmp_path, first)
    receive(app, tmp_path, first, late)

    commit(app, uid_of(first), "second report")

    assert revisions(app, uid_of(first)) == [(1, JobState.DELIVERING), (2, JobState.RECEIVING)]
    assert job_of(app, uid_of(first)).instance_count == 2


def test_a_first_result_under_other_words_stops_the_job_until_reindex_has_sorted_it_out(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("comes corrected", slices=1)
    lose_after_result(app, tmp_path, ds)
    receive(app, tmp_path, corrected(ds))

    job_id = commit(app, uid_of(ds), "second report")

    job = get_job(app, job_id)
    assert (job.state, job.reason_code, job.transient) == (
        JobState.FAILED,
        RECORDED_OTHERWISE,
        False,
    )
    assert "pulmonode reindex" in (job.reason or "")
    assert committed_bytes(app, job_id) == []

    assert reindex(app).results == 1
    assert revisions(app, uid_of(ds)) == [(1, JobState.SUPERSEDED), (2, JobState.RECEIVING)]
    assert ("job_stopped", str(job_id)) not in alarms(app)


def test_equal_bytes_are_committed_as_if_there_were_no_record(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("comes alike", slices=1)
    lose_after_result(app, tmp_path, ds)
    receive(app, tmp_path, ds)

    job_id = commit(app, uid_of(ds), "first report")

    assert not any("has a result already" in line for line in history(app, job_id))
    assert record_due(app) == 1


def test_a_store_that_cannot_say_postpones_the_commit_and_costs_no_attempt(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ds,) = plain_series("store away", slices=1)
    receive(app, tmp_path, ds)

    def away(_store: FolderStore, key: str) -> bytes:
        raise StoreUnavailable(key, "no answer")

    monkeypatch.setattr(FolderStore, "get_bytes", away)

    job_id = commit(app, uid_of(ds))

    job = get_job(app, job_id)
    assert (job.state, job.attempts, job.transient) == (JobState.QUEUED, 0, True)
    assert job.next_attempt_at > app.now()
    with app.database.read() as session:
        assert session.get(Result, job_id) is None


def test_a_record_is_never_replaced_by_one_of_other_bytes(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("kept record", slices=1)
    receive(app, tmp_path, ds)
    job_id = commit(app, uid_of(ds), "second report")
    key = f"records/{uid_of(ds)}/1.json"
    record_due(app)
    mine = app.store.get_bytes(key)
    with app.database.read() as session:
        (item,) = session.scalars(select(ResultObject)).all()
    other = mine.replace(item.sha256.encode(), b"0" * 64)
    app.store.put_bytes(key, other)
    with app.database.write() as session:
        session.get_one(Result, job_id).recorded = False

    assert (record_due(app), record_due(app)) == (0, 0)

    assert app.store.get_bytes(key) == other
    assert sum("not recorded" in line for line in history(app, job_id)) == 1


def test_the_history_says_how_the_nodules_compare_with_the_earlier_examination() -> None:
    findings = empty_result().findings
    earlier = FollowUp(exam="1.2", days_before=90, source="test", compared=True, why="by place")
    apart = dataclasses.replace(earlier, compared=False, why="overlap 0.41")

    said = [
        describe_comparison(dataclasses.replace(findings, follow_up=follow_up))
        for follow_up in (None, earlier, apart)
    ]

    assert said == [
        "",
        "; since 90 days before: no nodule now",
        "; not compared with 90 days before: overlap 0.41",
    ]
