"""Taking back what an earlier revision left at the destinations that want it.

A destination with ``retraction: rejection_note`` gets, after the new objects, an IHE IOCM
rejection note (Key Object Selection) that names the objects of the earlier revisions. The note
belongs to the revision's result: final bytes, made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from dicom_node.compose.content import ComposedObject
from dicom_node.compose.rejection_note import (
    RejectedObject,
    RejectionReason,
    compose_rejection_note,
)
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.header import Identity
from workers.settings import DestinationSettings, Settings
from workers.state.schema import Delivery, DeliveryState, Job, Notice, ResultObject

if TYPE_CHECKING:  # the node, which asks what was sent, starts without image processing
    from workers.case import CaseResult

REJECTION = "rejection"
"""Kind of a rejection note among a result's objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """What to take back, and why."""

    rejected: tuple[RejectedObject, ...]
    reason: RejectionReason


def find_retraction(session: Session, settings: Settings, job: Job) -> Retraction | None:
    """Objects of earlier revisions that left the house or still may; `None` when nothing is due.

    So are those of a notice, which said that nothing of the study could be analysed. A delivery
    that is open now goes on until this revision's result takes its place. The fencing token
    counts every attempt there was, also those before a retry by hand.
    """
    if all(item.retraction == "none" for item in settings.destinations):
        return None
    sent = (
        select(Job.id)
        .join(Delivery, Delivery.job_id == Job.id)
        .where(
            or_(
                and_(Job.series_uid == job.series_uid, Job.revision < job.revision),
                and_(Job.study_uid == job.study_uid, Job.id.in_(select(Notice.job_id))),
            ),
            Job.id != job.id,
            or_(
                Delivery.attempts > 0,
                Delivery.fencing_token > 0,
                Delivery.state.in_([DeliveryState.QUEUED, DeliveryState.SENDING]),
            ),
        )
    )
    rows = session.scalars(
        select(ResultObject)
        .where(ResultObject.job_id.in_(sent), ResultObject.kind != REJECTION)
        .order_by(ResultObject.job_id, ResultObject.kind)
    ).all()
    if not rows:
        return None
    corrected = set((job.correction or "").split(", ")) & set(Identity.PATIENT)
    return Retraction(
        rejected=tuple(
            RejectedObject(
                sop_class_uid=row.sop_class_uid,
                sop_instance_uid=row.sop_uid,
                series_instance_uid=row.series_uid,
            )
            for row in rows
        ),
        reason=RejectionReason.WRONG_PATIENT if corrected else RejectionReason.SUPERSEDED,
    )


def objects_for(
    session: Session, job_id: int, destination: DestinationSettings | None
) -> list[ResultObject]:
    """What of a result a destination gets: a rejection note last, and only where it is wanted."""
    wants_note = destination is not None and destination.retraction == "rejection_note"
    rows = session.scalars(select(ResultObject).where(ResultObject.job_id == job_id))
    return sorted(
        (row for row in rows if wants_note or row.kind != REJECTION),
        key=lambda row: (row.kind == REJECTION, row.kind),
    )


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
