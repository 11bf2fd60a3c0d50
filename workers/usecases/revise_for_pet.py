"""A PET series that comes after the CT's result: a revision, under the setting of late context.

Asked when a PET series is judged, and when a CT's result is committed: the PET may have come while
it was analysed. What an analysis found there of PET series is frozen with its context, so each of
them starts one revision at most.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.read.header import InstanceHeader
from workers.settings import Settings
from workers.state.context_tables import UsedContext
from workers.state.jobs import current_job, note
from workers.state.schema import WITH_RESULT, Instance, Job
from workers.usecases.revise import new_job

log = structlog.get_logger()

PET = "PT"
PETS = "pets"
"""Key in `UsedContext.content`: what `pets_of` said when the analysis began."""


def pets_of(session: Session, study_uid: str) -> dict[str, int]:
    """PET series of a study: Series Instance UID to how many instances of it can be read."""
    of_study = select(Job.series_uid).where(Job.study_uid == study_uid, Job.modality == PET)
    rows = session.execute(
        select(Instance.series_uid, func.count())
        .where(Instance.series_uid.in_(of_study), Instance.stored)
        .group_by(Instance.series_uid)
    )
    return {row[0]: row[1] for row in rows}


def revise_for_pet(session: Session, settings: Settings, study_uid: str, now: float) -> int:
    """Begin a revision of the study's results that knew less of its PET; returns how many."""
    if not (settings.context_revises and settings.context_enabled):
        return 0
    there = pets_of(session, study_uid)
    if not there:
        return 0
    begun = 0
    jobs = select(Job).where(Job.study_uid == study_uid, Job.state.in_(WITH_RESULT))
    for job in session.scalars(jobs).all():
        used = session.get(UsedContext, job.id)
        newest = current_job(session, job.series_uid)
        if used is None or newest is None or newest.id != job.id:
            continue
        begun += _revise(session, settings, job, used.content.get(PETS), there, now)
    return begun


def _revise(
    session: Session,
    settings: Settings,
    job: Job,
    seen: Mapping[str, int] | None,
    there: Mapping[str, int],
    now: float,
) -> int:
    if seen is None:  # analysed by a release that did not say
        return 0
    late = [uid for uid, count in there.items() if seen.get(uid) != count]
    header = header_of(session, job.series_uid)
    if not late or header is None:
        return 0
    frames = {
        found.frame_of_reference_uid
        for uid in late
        if (found := header_of(session, uid)) is not None
    }
    if header.frame_of_reference_uid not in frames - {""}:
        why = "a PET series came in another Frame of Reference than the CT's: it changes nothing"
        note(session, job, why, at=now)
        return 0
    return begin_revision(session, settings, job, header, "a PET series came", now)


def header_of(session: Session, series_uid: str) -> InstanceHeader | None:
    """One header of a series."""
    row = session.scalars(
        select(Instance.header).where(Instance.series_uid == series_uid).limit(1)
    ).first()
    return None if row is None else InstanceHeader.from_json(row)


def begin_revision(
    session: Session, settings: Settings, job: Job, header: InstanceHeader, what: str, now: float
) -> int:
    """Begin a revision of a result because of what came after it; 1, or 0 where its CT is gone."""
    removed = session.scalars(
        select(Instance.sop_uid)
        .where(Instance.series_uid == job.series_uid, Instance.removed_at.is_not(None))
        .limit(1)
    ).first()
    if removed is not None:
        note(session, job, f"{what} after its instances were removed", at=now)
        return 0
    message = f"{what} after revision {job.revision}"
    revision = new_job(
        session, header, settings, revision=job.revision + 1, message=message, now=now
    )
    log.info("context_revises", job_id=revision.id)
    return 1
