"""What is there beside the CT that is analysed: PET series, and the CTs taken with them.

Of its own study, and of the patient's others of the same day: a PET/CT often is one of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.read.geometry import DEFAULT_LIMITS
from dicom_node.read.header import InstanceHeader
from workers.patient_key import patient_day
from workers.state.schema import Instance, Job, JobState
from workers.usecases.quarantine import CONFLICTING_PATIENT

PET, CT = "PT", "CT"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesBeside:
    """A series that can be read now.

    Attributes
    ----------
    modality : str
        `PET` or `CT`.
    frame_of_reference_uid : str
        Of its first instance; empty where there is none.
    count : int
        Instances in the store.
    of_own_study : bool
        Of the CT's.
    """

    modality: str
    frame_of_reference_uid: str
    count: int
    of_own_study: bool = True


def header_of(session: Session, series_uid: str) -> InstanceHeader | None:
    """One header of a series."""
    row = session.scalars(
        select(Instance.header).where(Instance.series_uid == series_uid).limit(1)
    ).first()
    return None if row is None else InstanceHeader.from_json(row)


def series_beside(session: Session, study_uid: str, day: str) -> dict[str, SeriesBeside]:
    """PET series by UID, and CT series in the frame of reference of one of them.

    No localizer: that has fewer images than a volume. Nothing where there is no PET that can be
    read.

    Parameters
    ----------
    study_uid : str
        The CT's.
    day : str
        Its patient's day (`patient_day`); where that is empty, only its own study is looked at.
    """
    pets = _readable(session, study_uid, day, PET)
    frames = {item.frame_of_reference_uid for item in pets.values()} - {""}
    if not frames:
        return pets
    cts = _readable(session, study_uid, day, CT)
    return pets | {
        uid: ct
        for uid, ct in cts.items()
        if ct.frame_of_reference_uid in frames and ct.count >= DEFAULT_LIMITS.minimum_slices
    }


def _readable(session: Session, study_uid: str, day: str, modality: str) -> dict[str, SeriesBeside]:
    counts = session.execute(
        select(Instance.series_uid, func.count())
        .where(Instance.series_uid.in_(_series(session, study_uid, day, modality)), Instance.stored)
        .group_by(Instance.series_uid)
    ).all()
    return {
        uid: SeriesBeside(
            modality=modality,
            frame_of_reference_uid=header.frame_of_reference_uid,
            count=count,
            of_own_study=header.study_instance_uid == study_uid,
        )
        for uid, count in counts
        if (header := _header_beside(session, uid, study_uid, day)) is not None
    }


def _series(session: Session, study_uid: str, day: str, modality: str) -> set[str]:
    """Series of a study, and of others of a patient's day whose patient is not in doubt.

    The modality is compared here: asked for it, SQLite reads every series of that modality.
    """
    of_study = select(Job.series_uid, Job.modality).where(Job.study_uid == study_uid)
    own = {uid for uid, other in session.execute(of_study) if other == modality}
    if not day:
        return own
    of_day = select(Job.series_uid, Job.study_uid).where(
        Job.patient_day == day, Job.modality == modality
    )
    others = {uid: study for uid, study in session.execute(of_day) if study != study_uid}
    held = _held_studies(session, set(others.values()))
    return own | {uid for uid, study in others.items() if study not in held}


def _held_studies(session: Session, study_uids: set[str]) -> set[str]:
    """Studies that wait for a person to say whose they are."""
    rows = session.execute(
        select(Job.study_uid, Job.state, Job.reason_code).where(Job.study_uid.in_(study_uids))
    )
    held = (JobState.QUARANTINED, CONFLICTING_PATIENT)
    return {uid for uid, state, code in rows if (state, code) == held}


def _header_beside(
    session: Session, series_uid: str, study_uid: str, day: str
) -> InstanceHeader | None:
    """One header of a series, unless it was corrected to another patient or day."""
    header = header_of(session, series_uid)
    if header is None or header.study_instance_uid == study_uid:
        return header
    return header if day and patient_day(header.identity) == day else None


def is_beside_pet(session: Session, job: Job) -> bool:
    """Whether a job's series is a PET, or a CT in the frame of reference of one beside it."""
    if job.modality == PET:
        return True
    if job.modality != CT:
        return False
    pets = _series(session, job.study_uid, job.patient_day, PET)
    frames = {
        header.frame_of_reference_uid
        for uid in pets
        if (header := _header_beside(session, uid, job.study_uid, job.patient_day)) is not None
    } - {""}
    if not frames:
        return False
    header = header_of(session, job.series_uid)
    return header is not None and header.frame_of_reference_uid in frames
