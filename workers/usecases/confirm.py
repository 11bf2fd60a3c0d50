"""Storage commitment results, whichever association brought them, and those that never come."""

from __future__ import annotations

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.barriers import Barrier, reach
from dicom_node.receive.commitment import CommitmentReport
from workers.application import Application
from workers.metrics import observe
from workers.state.jobs import note
from workers.state.schema import Commitment, Delivery, DeliveryState, Job
from workers.usecases.retract import objects_for
from workers.usecases.settle import roll_up, send_again_unproved, settle_commitment

log = structlog.get_logger()


def record_commitment(app: Application, report: CommitmentReport) -> bool:
    """Write a commitment result down and apply it if its delivery waits for it.

    A report may come before the sender has noted that the objects were acknowledged; it is
    kept then, and applied by the delivery itself. What the delivery sent and the report does
    not name is not proved: it counts as refused.

    Returns
    -------
    bool
        False for a transaction that is not ours; True otherwise, repeats included.
    """
    now = app.now()
    with app.database.write() as session:
        commitment = session.get(Commitment, report.transaction_uid)
        if commitment is None:
            log.warning("commitment_unknown", calling_ae=report.peer_ae_title)
            return False
        if commitment.replied_at is not None:
            return True
        commitment.replied_at = now
        commitment.committed_count = len(report.committed)
        delivery = session.get_one(Delivery, commitment.delivery_id)
        job = session.get_one(Job, delivery.job_id)
        refused = (*report.failed, *_not_mentioned(app, session, delivery, report))
        commitment.failed = [f"{uid}: {why}" for uid, why in refused]
        note(
            session,
            job,
            f"{delivery.destination}: storage commitment for {len(report.committed)} objects, "
            f"refused for {len(refused)}",
            at=now,
        )
        # A proof that comes while a repeat is planned is still a proof; a refusal is not news.
        late_proof = delivery.state == DeliveryState.QUEUED and not commitment.failed
        if delivery.state == DeliveryState.DELIVERED or late_proof:
            settle_commitment(app, session, delivery, commitment, now)
            roll_up(session, job, now)
        log.info(
            "commitment_recorded",
            job_id=job.id,
            delivery_id=delivery.id,
            committed=len(report.committed),
            refused=len(refused),
        )
        reach(Barrier.COMMITMENT_BEFORE_COMMIT)
    _count(delivery.destination, "refused" if refused else "confirmed")
    return True


def _count(destination: str, outcome: str) -> None:
    observe.note("pulmonode_commitments_total", destination=destination, outcome=outcome)


def _not_mentioned(
    app: Application, session: Session, delivery: Delivery, report: CommitmentReport
) -> list[tuple[str, str]]:
    """Objects of a delivery that a report says nothing of, with that as the reason."""
    mentioned = {*report.committed, *(uid for uid, _ in report.failed)}
    destination = app.settings.destination(delivery.destination)
    return [
        (row.sop_uid, "not mentioned")
        for row in objects_for(session, delivery, destination)
        if row.sop_uid not in mentioned
    ]


def expire_commitments(app: Application, *, now: float) -> int:
    """Send again what was never confirmed in time; returns how many deliveries.

    Nothing is locked when nothing is overdue: the node asks at every tick.
    """
    wanted = select(Delivery).where(
        Delivery.state == DeliveryState.DELIVERED, Delivery.awaits_commitment_until <= now
    )
    with app.database.read() as session:
        if session.scalars(wanted.limit(1)).first() is None:
            return 0
    with app.database.write() as session:
        overdue = session.scalars(wanted).all()
        for delivery in overdue:
            why = f"no storage commitment result within {app.settings.commitment_wait_s:g} s"
            send_again_unproved(app, session, delivery, why, now)
            job = session.get_one(Job, delivery.job_id)
            note(session, job, f"{delivery.destination}: {delivery.reason}", at=now)
            roll_up(session, job, now)
    for delivery in overdue:
        _count(delivery.destination, "missing")
    return len(overdue)
