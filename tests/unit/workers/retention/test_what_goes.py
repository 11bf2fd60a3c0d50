"""What goes when its time is over, and what never does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_node import barriers
from dicom_node.barriers import Barrier
from tests.integration.bad_series import plain_series
from tests.unit.workers.retention.cases import (
    ON_BOTH,
    Cut,
    ago,
    confirmed,
    held,
    uid_of,
    with_policy,
)
from tests.unit.workers.rows import (
    change,
    commit,
    count,
    history,
    job_of,
    receive,
    set_state,
)
from workers.application import Application
from workers.state.answer_tables import AnswerReport, ReportOutcome
from workers.state.retention_tables import Removal
from workers.state.schema import (
    Delivery,
    Instance,
    JobState,
    KeptAside,
)
from workers.usecases.describe import show_job
from workers.usecases.export import export_result
from workers.usecases.prune import prune
from workers.usecases.reindex import reindex


@ON_BOTH
def test_instances_go_when_their_result_has_been_confirmed_for_long_enough(
    app: Application, tmp_path: Path
) -> None:
    old = confirmed(app, tmp_path, "old", days=11)
    young = confirmed(app, tmp_path, "young", days=9)

    done = prune(app)

    assert (held(app, old), held(app, young)) == (0, 2)
    assert (done.removals, done.objects) == (1, 2)
    assert done.size_bytes > 0
    job = job_of(app, old)
    assert job.state == JobState.CONFIRMED
    last = history(app, job.id)[-1]
    assert last.startswith("removed by the retention policy: 2 received instances, ")
    assert last.endswith("MB (confirmed, kept for 10 days after that)")
    with app.database.read() as session:
        shown = show_job(session, old)
    assert shown["instances_removed"] == 2
    assert len(app.store.keys("results")) == 3  # of both: findings are shared, a report each
    assert prune(app).removals == 0


@ON_BOTH
def test_older_copies_of_what_goes_go_with_it(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("copied", slices=1)
    receive(app, tmp_path, ds)
    again = copy.deepcopy(ds)
    again.SeriesDescription = "put right"
    receive(app, tmp_path / "again", again)
    job_id = set_state(app, uid_of(ds), JobState.CANCELLED)
    ago(app, job_id, 101)

    assert held(app, uid_of(ds)) == 2
    prune(app)
    assert held(app, uid_of(ds)) == 0


@pytest.mark.parametrize(
    ("states", "days", "goes"),
    [
        ((JobState.NOT_ELIGIBLE,), 99, False),
        ((JobState.NOT_ELIGIBLE,), 101, True),
        ((JobState.CANCELLED,), 101, True),
        ((JobState.FAILED,), 1000, False),  # a person decides
        ((JobState.QUARANTINED,), 1000, False),
        ((), 1000, False),  # still receiving
        ((JobState.COMPLETE, JobState.QUEUED), 1000, False),
    ],
)
def test_what_is_not_confirmed_goes_only_when_it_has_ended_and_after_the_longer_limit(
    app: Application, tmp_path: Path, states: tuple[JobState, ...], days: float, goes: bool
) -> None:
    (ds,) = plain_series("ended", slices=1)
    receive(app, tmp_path, ds)
    job_id = set_state(app, uid_of(ds), *states)
    ago(app, job_id, days)

    prune(app)

    assert held(app, uid_of(ds)) == (0 if goes else 1)


@pytest.mark.parametrize("delivery", ["queued", "failed", "withheld", "awaits proof", "delivered"])
def test_instances_of_an_unconfirmed_result_stay_until_no_proof_can_come(
    app: Application, tmp_path: Path, delivery: str
) -> None:
    (ds,) = plain_series("unconfirmed", slices=1)
    receive(app, tmp_path, ds)
    job_id = commit(app, uid_of(ds))
    state = "delivered" if delivery == "awaits proof" else delivery
    with app.database.write() as session:
        for item in session.scalars(select(Delivery).where(Delivery.job_id == job_id)):
            item.state = state
            item.awaits_commitment_until = 1.0 if delivery == "awaits proof" else None
    if state == "failed":
        set_state(app, uid_of(ds), JobState.FAILED)
    elif state == "delivered":
        set_state(app, uid_of(ds), JobState.DELIVERED)
    ago(app, job_id, 1000)

    prune(app)

    assert held(app, uid_of(ds)) == (0 if delivery == "delivered" else 1)


def test_a_later_revision_under_way_keeps_everything_of_its_series(
    app: Application, tmp_path: Path
) -> None:
    uid = confirmed(app, tmp_path, "revised", days=11)
    late = plain_series("revised", slices=3)[2]
    receive(app, tmp_path / "late", late)

    prune(app)

    assert held(app, uid) == 3


def test_a_report_that_answers_ours_stays(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("answer", slices=1)
    receive(app, tmp_path, ds)
    ago(app, set_state(app, uid_of(ds), JobState.NOT_ELIGIBLE), 1000)
    with app.database.write() as session:
        session.add(
            AnswerReport(
                sop_uid=str(ds.SOPInstanceUID), header_sha256="0", received_at=1.0,
                outcome=ReportOutcome.UNCLEAR,
            )
        )  # fmt: skip

    prune(app)

    assert held(app, uid_of(ds)) == 1


@ON_BOTH
def test_results_go_by_their_own_limit_with_their_record_and_say_so(
    app: Application, tmp_path: Path
) -> None:
    both = with_policy(app, keep_results_days=20)
    old = confirmed(app, tmp_path, "old", days=21)
    young = confirmed(app, tmp_path, "young", days=19)

    prune(both)

    assert app.store.keys("records") == [f"records/{young}/1.json"]
    assert len(app.store.keys("results")) == 2  # the young one's; both share the findings
    job = job_of(app, old)
    assert any("objects of the result" in line for line in history(app, job.id))
    with app.database.read() as session:
        shown = show_job(session, old)
    export_result(app.store, shown, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["job.json"]


def test_results_stay_for_ever_unless_told_otherwise(app: Application, tmp_path: Path) -> None:
    confirmed(app, tmp_path, "old", days=30_000)

    prune(app)

    assert app.store.keys("records")


def sop_name(app: Application) -> str:
    """The one file that is kept aside."""
    with app.database.read() as session:
        return session.scalars(select(KeptAside.name)).one()


def test_history_goes_last_and_the_job_itself_stays(app: Application, tmp_path: Path) -> None:
    uid = confirmed(app, tmp_path, "old", days=31)
    policy = with_policy(app, keep_results_days=20, keep_history_days=30)

    prune(policy)  # instances and result
    assert count(app, Instance) == 2
    assert job_of(app, uid).patient_day != ""
    prune(policy)

    assert count(app, Instance) == 0
    assert job_of(app, uid).patient_day == ""
    assert [line.split(" (")[0] for line in history(app, job_of(app, uid).id)] == [
        "removed by the retention policy: lines of history and the headers of its instances"
    ]
    assert job_of(app, uid).revision == 1


def test_a_series_of_which_every_file_was_kept_aside_leaves_no_digest_of_its_patient(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("known", slices=1)
    (stranger,) = plain_series("stranger", slices=1)
    stranger.StudyInstanceUID, stranger.PatientID = ds.StudyInstanceUID, "of somebody else"
    receive(app, tmp_path / "1", ds)
    receive(app, tmp_path / "2", stranger)
    job_id = set_state(app, uid_of(stranger), JobState.CANCELLED)
    change(app, KeptAside, sop_name(app), at=0.0)
    ago(app, job_id, 201)
    policy = with_policy(app, keep_results_days=150, keep_history_days=200)
    assert job_of(app, uid_of(stranger)).patient_day != ""

    while prune(policy).removals:
        pass

    assert job_of(app, uid_of(stranger)).patient_day == ""


@ON_BOTH
@pytest.mark.parametrize("where", [Barrier.REMOVAL_BEGUN, Barrier.REMOVAL_DELETED])
@pytest.mark.parametrize("ended_by", ["prune", "reindex"])
def test_what_was_cut_off_between_database_and_store_is_ended_later(
    app: Application,
    tmp_path: Path,
    cut_at: Callable[[Barrier], None],
    where: Barrier,
    ended_by: str,
) -> None:
    uid = confirmed(app, tmp_path, "old", days=11)
    cut_at(where)
    with pytest.raises(Cut):
        prune(app)
    barriers.install(None)
    assert count(app, Removal) == 1

    if ended_by == "prune":
        prune(app)
    else:
        found = reindex(app)
        assert (found.instances, found.gone, found.found_again) == (0, 0, 0)

    assert held(app, uid) == 0
    assert count(app, Removal) == 0
    lines = [line for line in history(app, job_of(app, uid).id) if "retention" in line]
    assert len(lines) == 1
    assert job_of(app, uid).state == JobState.CONFIRMED
