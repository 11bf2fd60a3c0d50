"""analysed -> delivering -> delivered -> confirmed: final bytes out, and proof that they arrived.

Each destination has a delivery of its own with its own retries. The bytes are those that the
analysis committed, or follow from them (`deliver_hl7`), whatever attempt this is.
"""

from __future__ import annotations

import enum
import io
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from pydicom import dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.audit.events import Transfer
from dicom_node.barriers import Barrier, reach
from dicom_node.compose.identity import derive_uid
from dicom_node.deliver.commitment import (
    CommitmentListener,
    commitment_context,
    is_offered,
    request_commitment,
)
from dicom_node.deliver.peer import Peer, associated
from dicom_node.deliver.scu import (
    Outgoing,
    StoreReceipt,
    read_outgoing,
    storage_contexts,
    store_all,
)
from dicom_node.errors import DicomNodeError
from dicom_node.read.header import Identity
from workers.application import Application
from workers.audit_trail.trail import told_transfer, transfer_to
from workers.errors import IdentityConflict, LeaseLost, NoSuchDestination, WorkersError
from workers.metrics import observe
from workers.peer_settings import AnyDestination, DestinationSettings, Hl7DestinationSettings
from workers.state.database import DATABASE_AWAY
from workers.state.jobs import Lease, held_delivery, note, take_delivery
from workers.state.schema import (
    PAUSES,
    Commitment,
    Delivery,
    DeliveryState,
    Instance,
    Job,
    ResultObject,
    Switch,
)
from workers.state.store import get_content
from workers.usecases.begin_deliveries import hold_by_mode
from workers.usecases.confirm import record_commitment
from workers.usecases.deliver_hl7 import send_messages
from workers.usecases.keep_lease import keep_lease
from workers.usecases.quarantine import study_identity
from workers.usecases.retract import objects_for
from workers.usecases.settle import postpone, release, roll_up, settle_commitment
from workers.usecases.share_destinations import free_associations
from workers.usecases.told_result import report_of

log = structlog.get_logger()

SAME_ASSOCIATION_WAIT_S = 1.0
"""Peers that report on the same association do so at once; the others open their own."""


class _Proof(enum.Enum):
    """What is known of a result's arrival when an attempt has gone well."""

    NONE = enum.auto()
    """None was asked for, or none is offered."""
    AWAITED = enum.auto()
    GIVEN = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    lease: Lease
    job_id: int
    destination: AnyDestination
    rows: tuple[ResultObject, ...]
    transfer: Transfer


def deliver_one(app: Application, delivery_id: int) -> str:
    """Send one result to one destination.

    Returns
    -------
    str
        The delivery's state afterwards, or ``not_due`` when somebody else has it.
    """
    started = time.monotonic()
    try:
        taken = _take(app, delivery_id)
    except LeaseLost:
        taken = None
    if taken is None:
        return "not_due"
    lease, destination = taken
    attempted: BaseException | None = None
    try:
        reach(Barrier.DELIVER_TAKEN)
        with (
            keep_lease(app, Delivery, lease),
            tempfile.TemporaryDirectory(prefix="pulmonode-parcel-") as scratch,
        ):
            proof = _attempt(app, _pack(app, lease), Path(scratch))
        reach(Barrier.DELIVER_BEFORE_COMMIT)
    except (DicomNodeError, WorkersError, *DATABASE_AWAY, OSError) as error:
        attempted = error
    try:
        if attempted is None:
            outcome = _delivered(app, lease, proof)
        else:
            outcome = _failed(app, lease, attempted)
    except LeaseLost:
        outcome = "lease_lost"
    except DATABASE_AWAY as error:
        # The lease runs out and the delivery is taken again; it sends the same bytes.
        attempted, outcome = error, "not_written"
    seconds = time.monotonic() - started
    log.info(
        "delivery_attempted",
        delivery_id=delivery_id,
        destination=destination,
        outcome=outcome,
        duration_s=round(seconds, 2),
        error=type(attempted).__name__ if attempted else None,
    )
    observe.note("pulmonode_delivery_attempts_total", destination=destination, outcome=outcome)
    observe.note("pulmonode_delivery_seconds", seconds, destination=destination)
    if outcome == DeliveryState.QUEUED:
        observe.note("pulmonode_retries_total", queue="deliver")
    return outcome


def _take(app: Application, delivery_id: int) -> tuple[Lease, str] | None:
    """Take a delivery; its lease and destination, or `None` when it has to wait, though due."""
    now = app.now()
    with app.database.write() as session:
        paused = session.get(Switch, PAUSES["deliver"])
        if paused is not None and paused.value == "on":
            return None
        waiting = session.get(Delivery, delivery_id)
        if waiting is not None and waiting.state == DeliveryState.QUEUED:
            if _held_back(session, app, waiting, now):
                return None
            if not free_associations(session, app.settings, waiting.destination):
                waiting.hinted_at = 0.0  # told again as soon as one is free
                return None
        lease = take_delivery(
            session, delivery_id, app.owner, now=now, lease_s=app.settings.lease_s
        )
        return lease, session.get_one(Delivery, delivery_id).destination


def _held_back(session: Session, app: Application, waiting: Delivery, now: float) -> bool:
    """Hold a delivery whose destination withholds results, or gets none, by now."""
    job = session.get_one(Job, waiting.job_id)
    destination = app.settings.destination(waiting.destination)
    if not hold_by_mode(session, waiting, destination, job.study_uid):
        return False
    note(session, job, f"{waiting.destination}: {waiting.reason}", at=now)
    roll_up(session, job, now)
    return True


def _pack(app: Application, lease: Lease) -> _Parcel:
    """Gather what is sent, or told of, and check once more whose it is."""
    with app.database.read() as session:
        delivery = session.get_one(Delivery, lease.id)
        destination = app.settings.destination(delivery.destination)
        if destination is None:
            raise NoSuchDestination(delivery.destination)
        job = session.get_one(Job, delivery.job_id)
        if isinstance(destination, Hl7DestinationSettings):
            rows = [report_of(session, job.id, delivery.profile)]
        else:
            rows = objects_for(session, delivery, destination)
        received = _received_identities(session, job)
    # The store may be slow: nothing of it is read inside a transaction.
    _check_identity(app, job, rows, received)
    return _Parcel(
        lease=lease,
        job_id=job.id,
        destination=destination,
        rows=tuple(rows),
        transfer=transfer_to(
            destination,
            received[-1] if received else Identity(),
            job.study_uid,
            [row.sop_class_uid for row in rows],
        ),
    )


def _received_identities(session: Session, job: Job) -> list[Identity]:
    """Patient and study of every received instance, and the newest of the study."""
    received = [
        Identity.from_json(header["identity"])
        for header in session.scalars(
            select(Instance.header).where(Instance.series_uid == job.series_uid)
        )
    ]
    newest = study_identity(session, job.study_uid)
    if newest is not None:
        received.append(newest)
    return received


def _check_identity(
    app: Application, job: Job, rows: Sequence[ResultObject], received: Sequence[Identity]
) -> None:
    """Compare each object's patient and study with those of every received instance.

    Raises
    ------
    IdentityConflict
        If they differ; never sent then.
    ObjectChanged
        If an object's bytes are not those that were committed.
    """
    for row in rows:
        data = get_content(app.store, row.path, row.sha256)
        ds = dcmread(io.BytesIO(data), stop_before_pixels=True)
        if str(ds.StudyInstanceUID) != job.study_uid:
            raise IdentityConflict(f"{row.sop_uid} belongs to another study than its series")
        identity = Identity.from_dataset(ds)
        for theirs in received:
            differing = identity.patient_differences(theirs)
            if differing:
                raise IdentityConflict(
                    f"{row.sop_uid} and the received series differ in {', '.join(differing)}"
                )


def _attempt(app: Application, parcel: _Parcel, scratch: Path) -> _Proof:
    """Bring a result to its destination, in the language that it speaks.

    Raises
    ------
    LeaseLost
        If the delivery was stopped meanwhile: nothing further leaves then.
    """
    destination = parcel.destination
    if isinstance(destination, DestinationSettings):
        paths = app.store.local_files([row.path for row in parcel.rows], scratch)
        objects = tuple(read_outgoing(path) for path in paths)
        return _send(app, parcel, destination, objects)
    with told_transfer(app.settings, parcel.transfer):
        still_held = partial(_check_lease, app, parcel.lease)
        send_messages(app, parcel.lease.id, destination, still_held)
    reach(Barrier.DELIVER_ACKNOWLEDGED)
    return _Proof.GIVEN


def _send(
    app: Application,
    parcel: _Parcel,
    settings: DestinationSettings,
    objects: Sequence[Outgoing],
) -> _Proof:
    """Store every object, the rejection note last, and ask for commitment."""
    peer = Peer(
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.port,
        connect_timeout_s=settings.connect_timeout_s,
        response_timeout_s=settings.response_timeout_s,
        tls=app.settings.tls_to(settings),
    )
    contexts = storage_contexts(objects)
    if settings.storage_commitment:
        contexts.append(commitment_context())
    listener = CommitmentListener(partial(record_commitment, app))
    with associated(peer, app.settings.ae_title, contexts, listener.handlers) as assoc:
        with told_transfer(app.settings, parcel.transfer):
            receipts = _store(app, assoc, peer, parcel, objects)
        reach(Barrier.DELIVER_ACKNOWLEDGED)
        if not settings.storage_commitment:
            return _Proof.NONE
        if not is_offered(assoc):
            _note(app, parcel.job_id, f"{settings.name} offers no storage commitment")
            return _Proof.NONE
        transaction_uid = _register(app, parcel.lease)
        reach(Barrier.COMMITMENT_REGISTERED)
        request_commitment(assoc, peer, transaction_uid, receipts)
        listener.wait(SAME_ASSOCIATION_WAIT_S)
    return _Proof.AWAITED


def _store(
    app: Application, assoc: Any, peer: Peer, parcel: _Parcel, objects: Sequence[Outgoing]
) -> list[StoreReceipt]:
    """Store every object; the peer's answers."""
    receipts: list[StoreReceipt] = []
    still_held = partial(_check_lease, app, parcel.lease)
    for receipt in store_all(assoc, peer, objects, before_each=still_held):
        receipts.append(receipt)
        if len(receipts) < len(objects):
            reach(Barrier.DELIVER_BETWEEN_OBJECTS)
        if receipt.warning is not None:
            _note(
                app,
                parcel.job_id,
                f"{parcel.destination.name} stored {receipt.sop_instance_uid} with warning "
                f"0x{receipt.warning:04X}",
            )
    return receipts


def _check_lease(app: Application, lease: Lease) -> None:
    """Raise `LeaseLost` when a correction, an administrator or another worker came between."""
    with app.database.read() as session:
        held_delivery(session, lease)


def _register(app: Application, lease: Lease) -> str:
    """Write the Transaction UID down before it is sent: the answer may come first."""
    now = app.now()
    with app.database.write() as session:
        held_delivery(session, lease)
        uid = derive_uid("commitment", str(lease.id), str(lease.token), str(now))
        session.add(
            Commitment(transaction_uid=uid, delivery_id=lease.id, requested_at=now, failed=[])
        )
    return uid


def _note(app: Application, job_id: int, message: str) -> None:
    now = app.now()
    with app.database.write() as session:
        note(session, session.get_one(Job, job_id), message, at=now)


def _delivered(app: Application, lease: Lease, proof: _Proof) -> str:
    now = app.now()
    with app.database.write() as session:
        delivery = held_delivery(session, lease)
        release(delivery)
        delivery.reason = None
        delivery.transient = None
        delivery.delivered_at = now
        delivery.state = DeliveryState.DELIVERED
        if proof is _Proof.GIVEN:
            delivery.state, delivery.confirmed_at = DeliveryState.CONFIRMED, now
        answer = session.scalars(
            select(Commitment)
            .where(Commitment.delivery_id == delivery.id)
            .order_by(Commitment.requested_at.desc())
            .limit(1)
        ).first()
        if proof is _Proof.AWAITED and answer is not None and answer.replied_at is None:
            delivery.awaits_commitment_until = now + app.settings.commitment_wait_s
        elif proof is _Proof.AWAITED and answer is not None:
            settle_commitment(app, session, delivery, answer, now)
        job = session.get_one(Job, delivery.job_id)
        what = "the message was" if proof is _Proof.GIVEN else "every object"
        note(session, job, f"{delivery.destination}: {what} acknowledged", at=now)
        roll_up(session, job, now)
        return delivery.state


def _failed(app: Application, lease: Lease, error: BaseException) -> str:
    """Write a failed attempt down.

    `transient` of the error alone decides about the next one; errors of the operating system
    and of the database, which say nothing of the result, are transient.
    """
    now = app.now()
    database_away = isinstance(error, DATABASE_AWAY)
    why = f"the database was away ({type(error).__name__})" if database_away else str(error)
    transient = bool(getattr(error, "transient", database_away or isinstance(error, OSError)))
    with app.database.write() as session:
        delivery = held_delivery(session, lease)
        postpone(app, delivery, why, now, transient=transient)
        job = session.get_one(Job, delivery.job_id)
        note(session, job, f"{delivery.destination}: {delivery.reason}", at=now)
        roll_up(session, job, now)
        return delivery.state
