"""What a study holds beside the CT that is analysed: PET series, and the CTs taken with them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.read.geometry import DEFAULT_LIMITS
from dicom_node.read.header import InstanceHeader
from workers.state.schema import Instance, Job

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
    """

    modality: str
    frame_of_reference_uid: str
    count: int


def header_of(session: Session, series_uid: str) -> InstanceHeader | None:
    """One header of a series."""
    row = session.scalars(
        select(Instance.header).where(Instance.series_uid == series_uid).limit(1)
    ).first()
    return None if row is None else InstanceHeader.from_json(row)


def series_beside(session: Session, study_uid: str) -> dict[str, SeriesBeside]:
    """PET series of a study by UID, and CT series in the frame of reference of one of them.

    No localizer: that has fewer images than a volume. Nothing where the study has no PET that can
    be read.
    """
    pets = _readable(session, study_uid, PET)
    frames = {item.frame_of_reference_uid for item in pets.values()} - {""}
    if not frames:
        return pets
    cts = _readable(session, study_uid, CT)
    return pets | {
        uid: ct
        for uid, ct in cts.items()
        if ct.frame_of_reference_uid in frames and ct.count >= DEFAULT_LIMITS.minimum_slices
    }


def _readable(session: Session, study_uid: str, modality: str) -> dict[str, SeriesBeside]:
    of_study = select(Job.series_uid).where(Job.study_uid == study_uid, Job.modality == modality)
    counts = session.execute(
        select(Instance.series_uid, func.count())
        .where(Instance.series_uid.in_(of_study), Instance.stored)
        .group_by(Instance.series_uid)
    ).all()
    return {
        uid: SeriesBeside(
            modality=modality, frame_of_reference_uid=header.frame_of_reference_uid, count=count
        )
        for uid, count in counts
        if (header := header_of(session, uid)) is not None
    }


def is_beside_pet(session: Session, job: Job) -> bool:
    """Whether a job's series is a PET, or a CT in the frame of reference of one of its study."""
    if job.modality == PET:
        return True
    if job.modality != CT:
        return False
    pets = select(Job.series_uid).where(Job.study_uid == job.study_uid, Job.modality == PET)
    frames = {
        header.frame_of_reference_uid
        for uid in session.scalars(pets.distinct())
        if (header := header_of(session, uid)) is not None
    } - {""}
    if not frames:
        return False
    header = header_of(session, job.series_uid)
    return header is not None and header.frame_of_reference_uid in frames
