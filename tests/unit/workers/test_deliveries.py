"""Delivery against a recording PACS in this process, without queue or analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy.exc import OperationalError

from dicom_node.barriers import Barrier, install
from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import CommitmentReply, MiniPacs
from dicom_node.read.header import read_header
from dicom_node.receive.commitment import CommitmentReport
from workers.application import Application, open_application
from workers.settings import DestinationSettings, Settings
from workers.state.jobs import move
from workers.state.schema import (
    Commitment,
    Delivery,
    DeliveryState,
    Instance,
    Job,
    JobState,
    Result,
    ResultObject,
)
from workers.state.store import get_content, put_content
from workers.usecases.administer import cancel, retry
from workers.usecases.confirm import expire_commitments, record_commitment
from workers.usecases.deliver import deliver_one

NOW = 1_000_000.0


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[MiniPacs]:
    running = MiniPacs(folder=tmp_path / "pacs", commitment_reply=CommitmentReply.SAME_ASSOCIATION)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def at() -> Iterator[Callable[[Barrier, Callable[[], object]], None]]:
    """Lets something happen once, when a delivery reaches a barrier."""

    def arm(wanted: Barrier, strike: Callable[[], object]) -> None:
        def hook(reached: Barrier) -> None:
            if reached is wanted:
                install(None)
                strike()

        install(hook)

    yield arm
    install(None)


def lose_connection() -> None:
    raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))


def ct(name: str = "Name^One", index: int = 0) -> Dataset:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    identity = CtIdentity(key="delivery", patient_name=name)
    return slice_dataset(np.zeros((8, 8), dtype=np.int16), index, 1, affine, identity)


def add_second_object(app: Application, folder: Path) -> None:
    """Let the result have one more object, which is sent after the first."""
    file = folder / "second.dcm"
    ds = ct(index=1)
    ds.save_as(file, enforce_file_format=True)
    path, sha256 = put_content(app.store, file.read_bytes(), ".dcm")
    with app.database.write() as session:
        first = session.query(ResultObject).one()
        session.add(
            ResultObject(
                sop_uid=str(ds.SOPInstanceUID),
                job_id=first.job_id,
                kind="sr_z",
                profile="default",
                sop_class_uid=first.sop_class_uid,
                series_uid=first.series_uid,
                path=path,
                sha256=sha256,
                size_bytes=1,
            )
        )


@pytest.fixture
def make(tmp_path: Path, pacs: MiniPacs) -> Iterator[Callable[..., tuple[Application, int]]]:
    opened: list[Application] = []

    def build(name: str = "Name^One", **overrides: object) -> tuple[Application, int]:
        """An application with one analysed job whose single object waits for delivery."""
        peer = pacs.peer
        settings = Settings(
            data_dir=tmp_path / "data",
            calling_ae_titles=("PACS",),
            disk_reserve_bytes=0,
            max_delivery_attempts=2,
            retry_base_s=1,
            destinations=(
                DestinationSettings.model_validate(
                    {
                        "name": "main",
                        "ae_title": peer.ae_title,
                        "host": peer.host,
                        "port": peer.port,
                        "connect_timeout_s": 2,
                        **overrides,
                    }
                ),
            ),
        )
        app = open_application(settings, migrate=True)
        opened.append(app)
        received = tmp_path / "received.dcm"
        ct().save_as(received, enforce_file_format=True)
        result = tmp_path / "result.dcm"
        ct(name).save_as(result, enforce_file_format=True)
        header = read_header(received)
        path, sha256 = put_content(app.store, result.read_bytes(), ".dcm")
        with app.database.write() as session:
            job = Job(
                study_uid=header.study_instance_uid,
                series_uid=header.series_instance_uid,
                state=JobState.ANALYSED,
                warnings=[],
                created_at=NOW,
                last_instance_at=NOW,
                state_since=NOW,
            )
            session.add(job)
            session.flush()
            session.add(
                Instance(
                    sop_uid=header.sop_instance_uid,
                    study_uid=header.study_instance_uid,
                    series_uid=header.series_instance_uid,
                    path="x",
                    size_bytes=1,
                    header_sha256="x",
                    pixels_sha256="x",
                    received_at=NOW,
                    header=header.to_json(),
                )
            )
            session.add(
                ResultObject(
                    sop_uid=header.sop_instance_uid,
                    job_id=job.id,
                    kind="sr",
                    profile="default",
                    sop_class_uid=header.sop_class_uid,
                    series_uid=header.series_instance_uid,
                    path=path,
                    sha256=sha256,
                    size_bytes=1,
                )
            )
            session.add(
                Result(
                    job_id=job.id,
                    fencing_token=1,
                    committed_at=NOW,
                    findings_path="x",
                    findings_sha256="x",
                    identity_sha256="x",
                    nodule_count=1,
                )
            )
            move(session, job, JobState.DELIVERING, "deliveries queued", at=NOW)
            delivery = Delivery(job_id=job.id, destination="main", created_at=NOW)
            session.add(delivery)
            session.flush()
            return app, delivery.id

    yield build
    for app in opened:
        app.database.close()


def states(app: Application, delivery_id: int) -> tuple[str, str]:
    with app.database.read() as session:
        delivery = session.get_one(Delivery, delivery_id)
        return delivery.state, session.get_one(Job, delivery.job_id).state


def make_due(app: Application, delivery_id: int) -> None:
    with app.database.write() as session:
        session.get_one(Delivery, delivery_id).next_attempt_at = 0.0


def transaction_of(app: Application) -> str:
    with app.database.read() as session:
        return (
            session.query(Commitment)
            .order_by(Commitment.requested_at.desc())
            .first()
            .transaction_uid
        )  # type: ignore[union-attr]


def test_the_committed_bytes_arrive_and_a_commitment_on_the_same_association_confirms(
    make: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make()

    deliver_one(app, delivery_id)

    assert states(app, delivery_id) == (DeliveryState.CONFIRMED, JobState.CONFIRMED)
    (record,) = pacs.received()
    assert dcmread(record.path).PatientName == "Name^One"
    assert record.calling_ae_title == "PULMONODE"


def test_a_destination_without_commitment_ends_as_delivered(
    make: Callable[..., tuple[Application, int]],
) -> None:
    app, delivery_id = make(storage_commitment=False)

    deliver_one(app, delivery_id)

    assert states(app, delivery_id) == (DeliveryState.DELIVERED, JobState.DELIVERED)


def test_a_result_of_another_patient_is_never_sent(
    make: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make(name="Somebody^Else")

    deliver_one(app, delivery_id)

    assert states(app, delivery_id) == (DeliveryState.FAILED, JobState.FAILED)
    assert pacs.received() == []
    with app.database.read() as session:
        assert "patient_name" in (session.get_one(Delivery, delivery_id).reason or "")


@pytest.mark.parametrize(
    ("status", "state"), [(0xA700, DeliveryState.QUEUED), (0xC000, DeliveryState.FAILED)]
)
def test_only_a_passing_refusal_is_tried_again(
    make: Callable[..., tuple[Application, int]], pacs: MiniPacs, status: int, state: str
) -> None:
    app, delivery_id = make()
    pacs.store_statuses = [status]

    deliver_one(app, delivery_id)

    assert states(app, delivery_id)[0] == state


def test_a_pacs_that_is_away_is_tried_again_until_the_last_attempt_and_by_hand_after_it(
    make: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make()
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
    make: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make()
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
    make: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make()
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
    make: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make()
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
    make: Callable[..., tuple[Application, int]], pacs: MiniPacs
) -> None:
    app, delivery_id = make()
    with app.database.read() as session:
        path = Path(app.store.describe(session.query(ResultObject).one().path))
    path.write_bytes(path.read_bytes() + b"x")

    deliver_one(app, delivery_id)

    assert pacs.received() == []
    assert states(app, delivery_id) == (DeliveryState.FAILED, JobState.FAILED)


@pytest.mark.parametrize(
    "barrier", [Barrier.DELIVER_TAKEN, Barrier.DELIVER_ACKNOWLEDGED, Barrier.COMMITMENT_REGISTERED]
)
def test_a_database_that_is_away_for_a_moment_postpones_a_delivery_and_ends_none(
    make: Callable[..., tuple[Application, int]],
    at: Callable[[Barrier, Callable[[], object]], None],
    barrier: Barrier,
) -> None:
    app, delivery_id = make()
    at(barrier, lose_connection)

    first = deliver_one(app, delivery_id)
    with app.database.read() as session:
        row = session.get_one(Delivery, delivery_id)
    make_due(app, delivery_id)
    deliver_one(app, delivery_id)

    assert (first, row.transient) == (DeliveryState.QUEUED, True)
    assert "the database was away" in (row.reason or "")
    assert states(app, delivery_id) == (DeliveryState.CONFIRMED, JobState.CONFIRMED)


def test_an_outcome_that_the_database_cannot_take_is_left_to_the_lease(
    make: Callable[..., tuple[Application, int]],
    at: Callable[[Barrier, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, delivery_id = make()

    def stay_away() -> None:
        monkeypatch.setattr(app.database, "write", lose_connection)
        lose_connection()

    at(Barrier.DELIVER_ACKNOWLEDGED, stay_away)

    assert deliver_one(app, delivery_id) == "not_written"
    assert states(app, delivery_id) == (DeliveryState.SENDING, JobState.DELIVERING)


def test_no_transaction_is_open_while_the_store_is_read(
    make: Callable[..., tuple[Application, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, delivery_id = make()
    connections: list[int] = []

    def read(*arguments: Any) -> bytes:
        connections.append(app.database.engine.pool.checkedout())  # type: ignore[attr-defined]
        return get_content(*arguments)

    monkeypatch.setattr("workers.usecases.deliver.get_content", read)

    deliver_one(app, delivery_id)

    assert connections == [0]


@pytest.mark.parametrize(
    ("barrier", "arrived"),
    [(Barrier.DELIVER_TAKEN, 0), (Barrier.DELIVER_BETWEEN_OBJECTS, 1)],
)
def test_what_is_stopped_during_a_delivery_leaves_no_further_object(
    make: Callable[..., tuple[Application, int]],
    pacs: MiniPacs,
    at: Callable[[Barrier, Callable[[], object]], None],
    tmp_path: Path,
    barrier: Barrier,
    arrived: int,
) -> None:
    app, delivery_id = make()
    add_second_object(app, tmp_path)
    with app.database.read() as session:
        job_id = session.get_one(Delivery, delivery_id).job_id
    at(barrier, lambda: cancel(app, str(job_id)))

    outcome = deliver_one(app, delivery_id)

    assert outcome == "lease_lost"
    assert len(pacs.received()) == arrived
    assert states(app, delivery_id) == (DeliveryState.CANCELLED, JobState.CANCELLED)


def test_a_peer_is_named_in_words() -> None:
    assert str(Peer(ae_title="A", host="h", port=1)) == "A@h:1"
