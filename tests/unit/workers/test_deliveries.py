"""Delivery against a recording PACS in this process, without queue or analysis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import CommitmentReply, MiniPacs
from dicom_node.receive.commitment import CommitmentReport
from tests.unit.workers.delivery_cases import make_due, states
from workers.application import Application
from workers.state.schema import (
    Commitment,
    Delivery,
    DeliveryState,
    JobState,
    ResultObject,
)
from workers.usecases.administer import retry
from workers.usecases.confirm import expire_commitments, record_commitment
from workers.usecases.deliver import deliver_one


def transaction_of(app: Application) -> str:
    with app.database.read() as session:
        return (
            session.query(Commitment)
            .order_by(Commitment.requested_at.desc())
            .first()
            .transaction_uid
        )  # type: ignore[union-attr]


def test_the_committed_bytes_arrive_and_a_commitment_on_the_same_association_confirms(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make_delivery()

    deliver_one(app, delivery_id)

    assert states(app, delivery_id) == (DeliveryState.CONFIRMED, JobState.CONFIRMED)
    (record,) = pacs.received()
    assert dcmread(record.path).PatientName == "Name^One"
    assert record.calling_ae_title == "PULMONODE"


def test_a_destination_without_commitment_ends_as_delivered(
    make_delivery: Callable[..., tuple[Application, int]],
) -> None:
    app, delivery_id = make_delivery(storage_commitment=False)

    deliver_one(app, delivery_id)

    assert states(app, delivery_id) == (DeliveryState.DELIVERED, JobState.DELIVERED)


def test_a_result_of_another_patient_is_never_sent(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make_delivery(name="Somebody^Else")

    deliver_one(app, delivery_id)

    assert states(app, delivery_id) == (DeliveryState.FAILED, JobState.FAILED)
    assert pacs.received() == []
    with app.database.read() as session:
        assert "patient_name" in (session.get_one(Delivery, delivery_id).reason or "")


@pytest.mark.parametrize(
    ("status", "state"), [(0xA700, DeliveryState.QUEUED), (0xC000, DeliveryState.FAILED)]
)
def test_only_a_passing_refusal_is_tried_again(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs, status: int, state: str
) -> None:
    app, delivery_id = make_delivery()
    pacs.store_statuses = [status]

    deliver_one(app, delivery_id)

    assert states(app, delivery_id)[0] == state


def test_a_pacs_that_is_away_is_tried_again_until_the_last_attempt_and_by_hand_after_it(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make_delivery()
    pacs.stop()

    deliver_one(app, delivery_id)
    first = states(app, delivery_id)
    make_due(app, delivery_id)
    deliver_one(app, delivery_id)
    second = states(app, delivery_id)
    pacs.start()
    with app.database.read() as session:
        job_id = session.get_one(Delivery, delivery_id).job_id
    retry(app, str(job_id))
    deliver_one(app, delivery_id)

    assert first == (DeliveryState.QUEUED, JobState.DELIVERING)
    assert second == (DeliveryState.FAILED, JobState.FAILED)
    assert states(app, delivery_id) == (DeliveryState.CONFIRMED, JobState.CONFIRMED)


def test_a_commitment_that_never_comes_sends_again(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make_delivery()
    pacs.commitment_reply = CommitmentReply.NEVER

    deliver_one(app, delivery_id)
    waiting = states(app, delivery_id)
    with app.database.read() as session:
        until = session.get_one(Delivery, delivery_id).awaits_commitment_until
    assert until is not None
    assert expire_commitments(app, now=until - 1) == 0
    assert expire_commitments(app, now=until) == 1

    assert waiting == (DeliveryState.DELIVERED, JobState.DELIVERED)
    assert states(app, delivery_id) == (DeliveryState.QUEUED, JobState.DELIVERING)


def test_a_refused_commitment_sends_again(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make_delivery()
    pacs.commitment_reply = CommitmentReply.NEVER
    deliver_one(app, delivery_id)

    known = record_commitment(
        app,
        CommitmentReport(
            transaction_uid=transaction_of(app),
            committed=(),
            failed=(("1.2.3", "no such object instance (0x0112)"),),
            peer_ae_title="MINIPACS",
        ),
    )

    assert known
    assert states(app, delivery_id) == (DeliveryState.QUEUED, JobState.DELIVERING)
    with app.database.read() as session:
        assert "no such object instance" in (session.get_one(Delivery, delivery_id).reason or "")


def test_a_report_on_a_new_association_confirms_and_its_repeat_changes_nothing(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make_delivery()
    pacs.commitment_reply = CommitmentReply.NEVER
    deliver_one(app, delivery_id)
    (record,) = pacs.received()
    report = CommitmentReport(
        transaction_uid=transaction_of(app),
        committed=(record.sop_instance_uid,),
        failed=(),
        peer_ae_title="X",
    )

    assert record_commitment(app, report)
    assert record_commitment(app, report)

    assert states(app, delivery_id) == (DeliveryState.CONFIRMED, JobState.CONFIRMED)


def test_a_report_for_an_unknown_transaction_is_not_ours(app: Application) -> None:
    report = CommitmentReport(transaction_uid="2.25.1", committed=(), failed=(), peer_ae_title="X")

    assert not record_commitment(app, report)


def test_bytes_that_changed_on_disk_are_not_sent(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make_delivery()
    with app.database.read() as session:
        path = Path(app.store.describe(session.query(ResultObject).one().path))
    path.write_bytes(path.read_bytes() + b"x")

    deliver_one(app, delivery_id)

    assert pacs.received() == []
    assert states(app, delivery_id) == (DeliveryState.FAILED, JobState.FAILED)


def test_a_peer_is_named_in_words() -> None:
    assert str(Peer(ae_title="A", host="h", port=1)) == "A@h:1"
