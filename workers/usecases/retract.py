"""Taking back what an earlier revision left at the destinations that want it.

A destination with ``retraction: rejection_note`` gets, after the new objects, an IHE IOCM
rejection note (Key Object Selection) that names the objects of the earlier revisions that it got
itself: an archive may refuse a note about what it never had. Destinations that got the same share
a note. It belongs to the revision's result: final bytes, made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from dicom_node.compose.content import ComposedObject
from dicom_node.compose.profile import ObjectKind
from dicom_node.compose.rejection_note import (
    RejectedObject,
    RejectionReason,
    compose_rejection_note,
)
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.header import Identity
from workers.peer_settings import AnyDestination
from workers.settings import Settings
from workers.state.schema import Delivery, DeliveryState, Job, Notice, ResultObject

if TYPE_CHECKING:  # the node, which asks what was sent, starts without image processing
    from workers.case import CaseResult

REJECTION = "rejection"
"""Kind of a rejection note among a result's objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """What to take back from which destinations, and why."""

    rejected: tuple[RejectedObject, ...]
    reason: RejectionReason
    destinations: tuple[str, ...]


def find_retractions(session: Session, settings: Settings, job: Job) -> tuple[Retraction, ...]:
    """Objects of earlier revisions that left the house or still may, for who got them.

    So are those of a notice, which said that nothing of the study could be analysed. A delivery
    that is open now goes on until this revision's result takes its place. The fencing token
    counts every attempt there was, also those before a retry by hand. What is withheld, or was in
    shadow, never left.
    """
    corrected = set((job.correction or "").split(", ")) & set(Identity.PATIENT)
    reason = RejectionReason.WRONG_PATIENT if corrected else RejectionReason.SUPERSEDED
    takers: dict[tuple[RejectedObject, ...], list[str]] = {}
    for destination in settings.destinations:
        if destination.retraction != "rejection_note":
            continue
        rejected = _sent_earlier(session, settings, job, destination)
        if rejected:
            takers.setdefault(rejected, []).append(destination.name)
    return tuple(
        Retraction(rejected=rejected, reason=reason, destinations=tuple(names))
        for rejected, names in takers.items()
    )


def _sent_earlier(
    session: Session, settings: Settings, job: Job, destination: AnyDestination
) -> tuple[RejectedObject, ...]:
    """What of earlier revisions a destination may have, oldest first.

    Deliveries to names that are not configured any more count: it may have been renamed.
    """
    others = [item.name for item in settings.destinations if item.name != destination.name]
    sent = session.scalars(
        select(Delivery)
        .join(Job, Job.id == Delivery.job_id)
        .where(
            or_(
                and_(Job.series_uid == job.series_uid, Job.revision < job.revision),
                and_(Job.study_uid == job.study_uid, Job.id.in_(select(Notice.job_id))),
            ),
            Job.id != job.id,
            Delivery.destination.not_in(others),
            or_(
                Delivery.attempts > 0,
                Delivery.fencing_token > 0,
                Delivery.state.in_([DeliveryState.QUEUED, DeliveryState.SENDING]),
            ),
        )
        .order_by(Job.revision, Delivery.id)
    )
    objects = {
        row.sop_uid: RejectedObject(
            sop_class_uid=row.sop_class_uid,
            sop_instance_uid=row.sop_uid,
            series_instance_uid=row.series_uid,
        )
        for delivery in sent
        for row in objects_for(session, delivery, None)
    }
    return tuple(objects.values())


def objects_for(
    session: Session, delivery: Delivery, destination: AnyDestination | None
) -> list[ResultObject]:
    """What of a result a delivery sends: its profile's objects, in the order of their kinds.

    A rejection note comes last, and only where the destination wants it and the note is its own.
    """
    wants_note = destination is not None and destination.retraction == "rejection_note"
    rows = session.scalars(select(ResultObject).where(ResultObject.job_id == delivery.job_id))
    chosen = [
        row
        for row in rows
        if (delivery.profile in row.profiles and row.kind != REJECTION)
        or (row.kind == REJECTION and wants_note and _is_for(row, delivery.destination))
    ]
    return sorted(chosen, key=lambda row: (_rank(row.kind), row.sop_uid))


def _is_for(note: ResultObject, destination: str) -> bool:
    """Notes of before there were profiles name no destination: they are for every one."""
    return not note.destinations or destination in note.destinations


def _rank(kind: str) -> int:
    """Place of a kind in the order of sending; what is none of a profile's goes last."""
    kinds = [str(each) for each in ObjectKind]
    return kinds.index(kind) if kind in kinds else len(kinds)


def compose_retraction(
    series: CtSeries, result: CaseResult, retraction: Retraction, *, created: datetime
) -> ComposedObject:
    """The rejection note, under the patient and study of the series as it is now.

    Raises
    ------
    dicom_node.errors.ComposeError
        If it cannot be composed.
    """
    return compose_rejection_note(
        series, result.content, retraction.rejected, reason=retraction.reason, created=created
    )
