"""A PET series that comes after the CT's result: a revision, under the setting of late context.

So does the CT that was taken with a PET, where that PET has another frame of reference than the
CT with the result. Asked when such a series is judged, and when a CT's result is committed: it may
have come while that CT was analysed. What an analysis found there is frozen with its context, so
each series starts one revision at most. A PET that was measured in and then corrected to another
patient starts one as well, under any setting.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.read.header import InstanceHeader
from workers.settings import Settings
from workers.state.context_tables import UsedContext
from workers.state.jobs import current_job, note
from workers.state.schema import WITH_RESULT, Instance, Job
from workers.usecases.beside_ct import CT, PET, SeriesBeside, header_of, series_beside
from workers.usecases.revise import drop_deliveries, new_job

log = structlog.get_logger()

PETS = "pets"
"""Key in `UsedContext.content`: what `pets_of` said when the analysis began."""


def pets_of(session: Session, study_uid: str, day: str) -> dict[str, int]:
    """PET series beside a CT and CTs in their frames: UID to how many instances can be read."""
    return {uid: item.count for uid, item in series_beside(session, study_uid, day).items()}


def revise_for_pet(session: Session, settings: Settings, study_uid: str, now: float) -> int:
    """Begin a revision of the results that knew less of a study's PET; returns how many.

    Results of the study, and of the patient's other studies of that day.
    """
    if not (settings.context_revises and settings.context_enabled):
        return 0
    begun = 0
    days = session.scalars(
        select(Job.patient_day).where(Job.study_uid == study_uid, Job.patient_day != "").distinct()
    ).all()
    found = list(session.scalars(select(Job).where(Job.study_uid == study_uid)))
    if days:
        found += session.scalars(select(Job).where(Job.patient_day.in_(days)))
    # The state is compared here: asked for it, SQLite reads every job with a result.
    for job in dict.fromkeys(job for job in found if job.state in WITH_RESULT):
        there = series_beside(session, job.study_uid, job.patient_day)
        if not there:
            continue
        used = session.get(UsedContext, job.id)
        newest = current_job(session, job.series_uid)
        if used is None or newest is None or newest.id != job.id:
            continue
        begun += _revise(session, settings, job, used.content.get(PETS), there, now)
    return begun


def revise_for_lost_pet(session: Session, settings: Settings, day: str, now: float) -> int:
    """Begin a revision of results that measured in what turned out to be another patient's.

    Or another day's. Whatever the setting, and what is on its way stops: it may tell of somebody
    else. In its own study a correction holds all series, so this is of other studies.

    Parameters
    ----------
    day : str
        The patient's day (`patient_day`) under which the PET was found.

    Returns
    -------
    int
        How many were begun.
    """
    if not day:
        return 0
    begun = 0
    for job in session.scalars(select(Job).where(Job.patient_day == day)).all():
        used = session.get(UsedContext, job.id)
        newest = current_job(session, job.series_uid)
        header = header_of(session, job.series_uid)
        if (
            job.state not in WITH_RESULT
            or used is None
            or header is None
            or newest is None
            or newest.id != job.id
        ):
            continue
        if any(_is_of_another(session, uid, job) for uid in used.content.get(PETS) or {}):
            what = "a PET that it measured in was corrected to another patient or day"
            drop_deliveries(session, job, what)
            begun += begin_revision(session, settings, job, header, what, now)
    return begun


def _is_of_another(session: Session, series_uid: str, job: Job) -> bool:
    beside = current_job(session, series_uid)
    return (
        beside is not None
        and header_of(session, series_uid) is not None  # retention removes headers and day at once
        and beside.study_uid != job.study_uid
        and beside.patient_day != job.patient_day
    )


def _revise(
    session: Session,
    settings: Settings,
    job: Job,
    seen: Mapping[str, int] | None,
    there: Mapping[str, SeriesBeside],
    now: float,
) -> int:
    if seen is None:  # analysed by a release that did not say
        return 0
    late = _late(seen, there)
    header = header_of(session, job.series_uid)
    if not late or header is None:
        return 0
    frame = header.frame_of_reference_uid
    if any(item.modality == PET and frame == item.frame_of_reference_uid != "" for item in late):
        return begin_revision(session, settings, job, header, "a PET series came", now)
    elsewhere = {item.frame_of_reference_uid for item in late} - {frame, ""}
    with_ct = {item.frame_of_reference_uid for item in there.values() if item.modality == CT}
    if elsewhere & with_ct:
        what = "a PET series in another Frame of Reference and a CT in the same came"
        return begin_revision(session, settings, job, header, what, now)
    if any(item.modality == PET for item in late):
        why = (
            "a PET series came in another Frame of Reference than the CT's, and no CT in it: it "
            "changes nothing"
        )
        note(session, job, why, at=now)
    return 0


def _late(seen: Mapping[str, int], there: Mapping[str, SeriesBeside]) -> list[SeriesBeside]:
    """What is there otherwise than was seen; a second CT beside a PET adds nothing."""
    with_ct = {
        item.frame_of_reference_uid
        for uid, item in there.items()
        if item.modality == CT and uid in seen
    }
    return [
        item
        for uid, item in there.items()
        if seen.get(uid) != item.count
        and (item.modality == PET or uid in seen or item.frame_of_reference_uid not in with_ct)
    ]


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
