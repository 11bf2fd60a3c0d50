"""Results recorded beside their bytes, and taken up by a database that does not know them."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import cast

from pydicom.dataset import Dataset
from sqlalchemy import select

from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import (
    analysed,
    back_up,
    commit,
    count,
    delivery_states,
    get_job,
    history,
    job_of,
    lose_database,
    receive,
    restore,
    revisions,
    set_state,
)
from workers.application import Application
from workers.state.schema import (
    DeliveryState,
    Job,
    JobState,
    Result,
    ResultObject,
)
from workers.state.store import get_content
from workers.usecases.record import record_due
from workers.usecases.reindex import Reindexed, reindex

NOTHING = Reindexed(instances=0, kept_aside=0, results=0)


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def corrected(ds: Dataset) -> Dataset:
    copied = copy.deepcopy(ds)
    copied.PatientName = "Right^Name"
    return copied


def record_of(app: Application, uid: str, revision: int = 1) -> dict[str, object]:
    data = app.store.get_bytes(f"records/{uid}/{revision}.json")
    return json.loads(data)  # type: ignore[no-any-return]


def stored_digests(app: Application) -> dict[str, str]:
    with app.database.read() as session:
        return {row.sop_uid: row.sha256 for row in session.scalars(select(ResultObject))}


def test_a_result_is_recorded_beside_its_bytes_once(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("recorded", slices=1)
    receive(app, tmp_path, ds)
    commit(app, uid_of(ds))

    assert (record_due(app), record_due(app)) == (1, 0)

    record = record_of(app, uid_of(ds))
    assert (record["revision"], record["instance_count"]) == (1, 1)
    items = cast("list[dict[str, str]]", record["objects"])
    (item,) = items
    assert get_content(app.store, item["path"], item["sha256"]) == b"report of job 1"


def test_a_record_names_no_patient(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("discreet", slices=1)
    receive(app, tmp_path, ds)
    commit(app, uid_of(ds))
    record_due(app)

    told = app.store.get_bytes(f"records/{uid_of(ds)}/1.json").decode()

    assert str(ds.PatientName) not in told
    assert str(ds.PatientID) not in told


def test_a_recorded_result_is_taken_up_with_the_same_bytes_and_sent_again(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("taken up", slices=1)
    receive(app, tmp_path, ds)
    commit(app, uid_of(ds))
    record_due(app)
    before = stored_digests(app)
    lose_database(app)

    found = reindex(app)

    assert (found.results, stored_digests(app)) == (1, before)
    job = job_of(app, uid_of(ds))
    assert job.state == JobState.DELIVERING
    assert delivery_states(app, job.id) == {DeliveryState.QUEUED}
    assert record_due(app) == 0


def test_a_result_that_the_backup_did_not_know_wins_over_an_attempt_under_way(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("older backup", slices=1)
    receive(app, tmp_path, ds)
    set_state(app, uid_of(ds), JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING)
    back_up(app, tmp_path / "backup")
    set_state(app, uid_of(ds), JobState.QUEUED, JobState.RECEIVING)
    commit(app, uid_of(ds))
    record_due(app)
    restore(app, tmp_path / "backup")
    before = job_of(app, uid_of(ds))

    reindex(app)

    job = job_of(app, uid_of(ds))
    assert (before.state, job.state) == (JobState.ANALYSING, JobState.DELIVERING)
    assert job.fencing_token > before.fencing_token
    assert count(app, Result) == 1


def test_of_several_recorded_revisions_only_the_newest_is_sent_again(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("revisions", slices=2)
    receive(app, tmp_path, first)
    commit(app, uid_of(first))
    receive(app, tmp_path, late)
    commit(app, uid_of(first))
    record_due(app)
    lose_database(app)

    assert reindex(app).results == 2

    assert revisions(app, uid_of(first)) == [(1, JobState.SUPERSEDED), (2, JobState.DELIVERING)]
    assert count(app, Result) == 2
    with app.database.read() as session:
        (day,) = session.scalars(select(Job.patient_day).distinct())
    assert day


def test_a_recorded_revision_ends_the_earlier_one_that_the_backup_still_delivered(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("backup of rev 1", slices=2)
    receive(app, tmp_path, first)
    old = commit(app, uid_of(first))
    record_due(app)
    back_up(app, tmp_path / "backup")
    receive(app, tmp_path, late)
    commit(app, uid_of(first))
    record_due(app)
    restore(app, tmp_path / "backup")

    reindex(app)

    assert revisions(app, uid_of(first)) == [(1, JobState.SUPERSEDED), (2, JobState.DELIVERING)]
    assert delivery_states(app, old) == {DeliveryState.CANCELLED}


def test_late_instances_that_no_record_covers_are_received_as_the_next_revision(
    app: Application, tmp_path: Path
) -> None:
    first, second = plain_series("uncovered", slices=2)
    receive(app, tmp_path, first)
    commit(app, uid_of(first))
    record_due(app)
    receive(app, tmp_path, second)
    lose_database(app)

    reindex(app)

    assert revisions(app, uid_of(first)) == [(1, JobState.DELIVERING), (2, JobState.RECEIVING)]
    assert job_of(app, uid_of(first)).instance_count == 2


def test_late_instances_are_not_forgotten_after_several_recorded_revisions(
    app: Application, tmp_path: Path
) -> None:
    first, second, third = plain_series("uncovered twice", slices=3)
    receive(app, tmp_path, first)
    commit(app, uid_of(first))
    receive(app, tmp_path, second)
    commit(app, uid_of(first))
    record_due(app)
    receive(app, tmp_path, third)
    lose_database(app)

    reindex(app)

    assert revisions(app, uid_of(first)) == [
        (1, JobState.SUPERSEDED),
        (2, JobState.DELIVERING),
        (3, JobState.RECEIVING),
    ]
    assert job_of(app, uid_of(first)).instance_count == 3


def test_a_recorded_result_under_a_name_that_was_corrected_since_is_not_sent(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("old name", slices=1)
    receive(app, tmp_path, ds)
    commit(app, uid_of(ds))
    record_due(app)
    receive(app, tmp_path, corrected(ds))
    lose_database(app)

    reindex(app)

    assert revisions(app, uid_of(ds)) == [(1, JobState.SUPERSEDED), (2, JobState.RECEIVING)]
    job = job_of(app, uid_of(ds))
    assert (job.correction, job.instance_count) == ("patient_name", 1)


def test_a_record_of_a_series_of_which_no_file_is_left_is_no_job(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("no file left", slices=1)
    receive(app, tmp_path, ds)
    commit(app, uid_of(ds))
    record_due(app)
    lose_database(app)
    shutil.rmtree(Path(app.settings.object_store_url) / "instances")

    assert reindex(app) == NOTHING
    assert count(app, Job) == 0


def test_the_history_says_where_a_result_came_from(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("told", slices=1)
    receive(app, tmp_path, ds)
    analysed(app, uid_of(ds))
    record_due(app)
    lose_database(app)

    reindex(app)

    told = history(app, job_of(app, uid_of(ds)).id)
    assert "result taken up from its record in the object store" in told
    assert get_job(app, job_of(app, uid_of(ds)).id).reason is None
