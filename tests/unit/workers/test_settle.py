"""From deliveries and commitment results to the job's state, and the alarms on the way."""

from __future__ import annotations

import pytest

from dicom_node.receive.commitment import CommitmentReport
from tests.unit.workers.rows import (
    NOW,
    add_delivery,
    add_job,
    add_result,
    alarms,
    change,
    get_delivery,
    get_job,
    history,
)
from workers.application import Application
from workers.node import Node
from workers.state.alarms import NOT_CONFIRMED
from workers.state.schema import Commitment, Delivery, DeliveryState, Job, JobState, ResultObject
from workers.usecases.confirm import expire_commitments, record_commitment
from workers.usecases.retract import REJECTION
from workers.usecases.settle import postpone, roll_up

UID = "2.25.77"
S = DeliveryState


def roll(app: Application, job_state: JobState, *states: DeliveryState, **values: object) -> Job:
    """The job after its deliveries reached these states."""
    job_id = add_job(app, job_state)
    for number, state in enumerate(states):
        add_delivery(app, job_id, f"pacs{number}", state=state, **values)
    with app.database.write() as session:
        roll_up(session, session.get_one(Job, job_id), NOW + 1)
    return get_job(app, job_id)


def add_commitment(app: Application, delivery_id: int, uid: str = UID) -> None:
    with app.database.write() as session:
        session.add(
            Commitment(transaction_uid=uid, delivery_id=delivery_id, requested_at=NOW, failed=[])
        )


def add_object_beside(app: Application, other: str, **values: object) -> None:
    """One more object in the result of another one."""
    with app.database.write() as session:
        row = session.get_one(ResultObject, other)
        columns = {column.name: getattr(row, column.name) for column in row.__table__.columns}
        session.add(ResultObject(**{**columns, **values}))


def waiting(app: Application, state: DeliveryState, *, attempts: int = 1) -> int:
    """A delivery in this state whose commitment was asked for."""
    job_state = JobState.DELIVERED if state == S.DELIVERED else JobState.DELIVERING
    job_id = add_job(app, job_state)
    until = NOW + 60 if state == S.DELIVERED else None
    delivery_id = add_delivery(
        app, job_id, state=state, attempts=attempts, awaits_commitment_until=until
    )
    add_commitment(app, delivery_id)
    return delivery_id


def report(*, refused: bool = False, uid: str = UID) -> CommitmentReport:
    failed = (("1.2.9", "processing failure (0x0110)"),) if refused else ()
    return CommitmentReport(
        transaction_uid=uid,
        committed=() if refused else ("1.2.9",),
        failed=failed,
        peer_ae_title="MAIN",
    )


def states(app: Application, delivery_id: int) -> tuple[str, str]:
    delivery = get_delivery(app, delivery_id)
    return delivery.state, get_job(app, delivery.job_id).state


@pytest.mark.parametrize(
    ("before", "deliveries", "after"),
    [
        (JobState.DELIVERING, (S.CONFIRMED, S.CONFIRMED), JobState.CONFIRMED),
        (JobState.DELIVERED, (S.CONFIRMED, S.CONFIRMED), JobState.CONFIRMED),
        (JobState.DELIVERING, (S.CONFIRMED, S.DELIVERED), JobState.DELIVERED),
        (JobState.DELIVERING, (S.CONFIRMED, S.QUEUED), JobState.DELIVERING),
        (JobState.DELIVERED, (S.CONFIRMED, S.QUEUED), JobState.DELIVERING),
        (JobState.DELIVERING, (S.FAILED, S.QUEUED), JobState.DELIVERING),
        (JobState.DELIVERING, (S.FAILED, S.SENDING), JobState.DELIVERING),
        (JobState.DELIVERING, (S.FAILED, S.CONFIRMED), JobState.FAILED),
        (JobState.DELIVERED, (S.FAILED, S.DELIVERED), JobState.FAILED),
        (JobState.SUPERSEDED, (S.CONFIRMED, S.CONFIRMED), JobState.SUPERSEDED),
        (JobState.CANCELLED, (S.DELIVERED, S.CANCELLED), JobState.CANCELLED),
    ],
)
def test_the_job_follows_its_deliveries(
    app: Application,
    before: JobState,
    deliveries: tuple[DeliveryState, ...],
    after: JobState,
) -> None:
    assert roll(app, before, *deliveries).state == after


def test_a_failed_job_names_each_destination_and_why(app: Application) -> None:
    job = roll(app, JobState.DELIVERING, S.FAILED, S.FAILED, reason="out of resources")

    assert job.reason_code == "delivery_failed"
    assert job.reason == "pacs0: out of resources; pacs1: out of resources"


@pytest.mark.parametrize("transient", [True, False])
def test_only_a_passing_error_is_postponed(app: Application, transient: bool) -> None:
    delivery = Delivery(job_id=1, destination="main", attempts=1, state=S.SENDING)

    postpone(app, delivery, "why", NOW, transient=transient)

    assert delivery.state == (S.QUEUED if transient else S.FAILED)


def test_the_last_attempt_of_a_delivery_is_not_postponed(app: Application) -> None:
    last = app.settings.max_delivery_attempts
    rows = [Delivery(job_id=1, destination="main", attempts=n) for n in (last - 1, last)]

    for row in rows:
        postpone(app, row, "why", NOW, transient=True)

    assert [row.state for row in rows] == [S.QUEUED, S.FAILED]


def test_a_postponed_delivery_holds_no_lease_and_awaits_no_proof(app: Application) -> None:
    delivery = Delivery(
        job_id=1, destination="main", attempts=1, lease_owner="me", lease_expires_at=NOW,
        awaits_commitment_until=NOW, hinted_at=NOW,
    )  # fmt: skip

    postpone(app, delivery, "no association", NOW, transient=True)

    assert (delivery.lease_owner, delivery.lease_expires_at) == (None, None)
    assert (delivery.awaits_commitment_until, delivery.hinted_at) == (None, 0.0)
    assert 7.5 <= delivery.next_attempt_at - NOW <= 10  # retry_base_s and its jitter
    assert "attempt 1 failed" in (delivery.reason or "")
    assert "no association" in (delivery.reason or "")


def test_a_proof_confirms_what_was_delivered(app: Application) -> None:
    delivery_id = waiting(app, S.DELIVERED)

    assert record_commitment(app, report())

    assert states(app, delivery_id) == (S.CONFIRMED, JobState.CONFIRMED)
    assert get_delivery(app, delivery_id).awaits_commitment_until is None


@pytest.mark.parametrize("state", [S.DELIVERED, S.QUEUED])
@pytest.mark.parametrize("committed", [(), ("1.2.9.1",), ("1.2.9.1", "1.2.3")])
def test_what_a_report_does_not_mention_is_not_proved(
    app: Application, state: DeliveryState, committed: tuple[str, ...]
) -> None:
    delivery_id = waiting(app, state)
    job_id = get_delivery(app, delivery_id).job_id
    add_result(app, job_id, sop_uid="1.2.9.1")
    add_object_beside(app, "1.2.9.1", sop_uid="1.2.9.2", kind="seg")

    record_commitment(
        app,
        CommitmentReport(transaction_uid=UID, committed=committed, failed=(), peer_ae_title="MAIN"),
    )

    assert states(app, delivery_id) == (S.QUEUED, JobState.DELIVERING)
    with app.database.read() as session:
        assert "1.2.9.2: not mentioned" in session.get_one(Commitment, UID).failed


def test_a_note_that_a_destination_does_not_get_needs_no_proof(app: Application) -> None:
    delivery_id = waiting(app, S.DELIVERED)
    add_result(app, get_delivery(app, delivery_id).job_id)
    add_object_beside(app, "1.2.9", sop_uid="1.2.10", kind=REJECTION)

    record_commitment(app, report())

    assert states(app, delivery_id) == (S.CONFIRMED, JobState.CONFIRMED)


def test_a_proof_that_comes_while_a_repeat_is_planned_saves_the_repeat(app: Application) -> None:
    delivery_id = waiting(app, S.QUEUED)
    change(app, Delivery, delivery_id, reason="attempt 1 failed, next in 5 s", transient=True)

    record_commitment(app, report())

    assert states(app, delivery_id) == (S.CONFIRMED, JobState.CONFIRMED)
    row = get_delivery(app, delivery_id)
    assert (row.reason, row.transient) == (None, None)


def test_a_refusal_that_comes_while_a_repeat_is_planned_changes_nothing(app: Application) -> None:
    delivery_id = waiting(app, S.QUEUED)
    change(app, Delivery, delivery_id, next_attempt_at=NOW + 5)

    record_commitment(app, report(refused=True))

    assert states(app, delivery_id) == (S.QUEUED, JobState.DELIVERING)
    assert get_delivery(app, delivery_id).next_attempt_at == NOW + 5


@pytest.mark.parametrize("refused", [False, True])
def test_a_report_that_comes_before_the_acknowledgements_is_kept_for_the_sender(
    app: Application, refused: bool
) -> None:
    delivery_id = waiting(app, S.SENDING)

    assert record_commitment(app, report(refused=refused))

    assert states(app, delivery_id) == (S.SENDING, JobState.DELIVERING)
    with app.database.read() as session:
        row = session.get_one(Commitment, UID)
        assert row.replied_at is not None
        assert len(row.failed) == refused


def test_a_report_revives_nothing_that_was_cancelled(app: Application) -> None:
    delivery_id = waiting(app, S.CANCELLED)
    change(app, Job, get_delivery(app, delivery_id).job_id, state=JobState.SUPERSEDED)

    record_commitment(app, report())

    assert states(app, delivery_id) == (S.CANCELLED, JobState.SUPERSEDED)


def test_the_first_answer_to_a_transaction_counts_and_no_later_one(app: Application) -> None:
    delivery_id = waiting(app, S.DELIVERED)
    record_commitment(app, report(refused=True))
    change(app, Delivery, delivery_id, state=S.DELIVERED)

    record_commitment(app, report())

    assert get_delivery(app, delivery_id).state == S.DELIVERED


def test_a_first_missing_proof_raises_no_alarm_and_the_second_does(app: Application) -> None:
    first = waiting(app, S.DELIVERED, attempts=1)
    expire_commitments(app, now=NOW + 60)
    before = alarms(app)
    change(app, Delivery, first, state=S.DELIVERED, attempts=2, awaits_commitment_until=NOW + 120)

    expire_commitments(app, now=NOW + 120)

    assert before == []
    assert alarms(app) == [(NOT_CONFIRMED, str(get_delivery(app, first).job_id))]


def test_the_node_sees_a_missing_proof_when_no_worker_runs(app: Application) -> None:
    overdue = waiting(app, S.DELIVERED, attempts=2)
    awaited = add_delivery(
        app, get_delivery(app, overdue).job_id, "second", state=S.DELIVERED, attempts=1,
        awaits_commitment_until=app.now() + 60,
    )  # fmt: skip

    Node(app, lambda _hints: None).tick()

    assert states(app, overdue) == (S.QUEUED, JobState.DELIVERING)
    assert get_delivery(app, awaited).state == S.DELIVERED
    assert (NOT_CONFIRMED, str(get_delivery(app, overdue).job_id)) in alarms(app)


def test_a_missing_proof_stands_in_the_history_with_the_time_that_was_given(
    app: Application,
) -> None:
    delivery_id = waiting(app, S.DELIVERED)

    expire_commitments(app, now=NOW + 60)

    told = " ".join(history(app, get_delivery(app, delivery_id).job_id))
    assert "no storage commitment result within 3600 s" in told


def test_a_proof_ends_the_alarm_even_where_another_destination_gives_none(
    app: Application,
) -> None:
    delivery_id = waiting(app, S.DELIVERED, attempts=2)
    job_id = get_delivery(app, delivery_id).job_id
    add_delivery(app, job_id, "silent", state=S.DELIVERED, attempts=1)
    record_commitment(app, report(refused=True))
    refused = alarms(app)
    change(app, Delivery, delivery_id, state=S.DELIVERED)
    add_commitment(app, delivery_id, "2.25.78")

    record_commitment(app, report(uid="2.25.78"))

    assert refused == [(NOT_CONFIRMED, str(job_id))]
    assert states(app, delivery_id) == (S.CONFIRMED, JobState.DELIVERED)
    assert alarms(app) == []


def test_the_alarm_stays_while_another_destination_still_owes_its_proof(app: Application) -> None:
    refusing = waiting(app, S.DELIVERED, attempts=2)
    job_id = get_delivery(app, refusing).job_id
    other = add_delivery(
        app, job_id, "second", state=S.DELIVERED, attempts=1, awaits_commitment_until=NOW + 60
    )
    record_commitment(app, report(refused=True))
    add_commitment(app, other, "2.25.78")

    record_commitment(app, report(uid="2.25.78"))

    assert get_delivery(app, other).state == S.CONFIRMED
    assert alarms(app) == [(NOT_CONFIRMED, str(job_id))]
