"""Earlier chest CTs of a patient at a PACS: which there are (C-FIND)."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_node.deliver.peer import Peer
from dicom_node.query.find import OnAsked, ask, tell_nobody, text_of
from dicom_node.read.earlier import why_other_patient
from dicom_node.read.header import Identity

STUDIES_AT_MOST = 5
"""The newest earlier ones that are asked for their series."""
SLICES_AT_LEAST = 16
SLICES_AT_MOST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorSeries:
    """A CT series of an earlier study, as the PACS describes it."""

    study_uid: str
    series_uid: str
    study_date: str
    description: str
    slice_count: int
    """0 where the PACS does not say."""


def find_prior_series(
    peer: Peer, calling_ae_title: str, identity: Identity, on_asked: OnAsked = tell_nobody
) -> list[PriorSeries]:
    """CT series of earlier studies of a patient, the newest study first, the most slices first.

    Parameters
    ----------
    peer : Peer
        The PACS; each question lasts no longer than its timeouts.
    calling_ae_title : str
        Our own title.
    identity : Identity
        Of the current study. Answers must agree in Patient ID, issuer, birth date and sex as
        far as they give them; what is fetched is compared again by its headers.
    on_asked : callable
        Told of each query.

    Raises
    ------
    PeerUnreachable
        If the PACS does not answer.
    PeerRefused
        If it answers with a failure.
    """
    if not identity.patient_id or not identity.study_date:
        return []
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.PatientID = identity.patient_id
    keys.StudyDate = f"-{identity.study_date}"
    for keyword in ("StudyInstanceUID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"):
        setattr(keys, keyword, None)
    keys.ModalitiesInStudy = "CT"
    studies = [
        answer
        for answer in ask(peer, calling_ae_title, keys, on_asked)
        if _may_be_theirs(identity, answer)
        and text_of(answer, "StudyInstanceUID") not in ("", identity.study_instance_uid)
        and text_of(answer, "StudyDate") < identity.study_date
    ]
    studies.sort(key=lambda answer: text_of(answer, "StudyDate"), reverse=True)
    found: list[PriorSeries] = []
    for study in studies[:STUDIES_AT_MOST]:
        found += _series_of(peer, calling_ae_title, study, on_asked)
    return found


def _may_be_theirs(identity: Identity, answer: Dataset) -> bool:
    """Whether an answer gives nothing that speaks against the patient; the ID must be there."""
    theirs = Identity.from_dataset(answer)
    merged = Identity(
        patient_id=theirs.patient_id,
        issuer_of_patient_id=theirs.issuer_of_patient_id or identity.issuer_of_patient_id,
        birth_date=theirs.birth_date or identity.birth_date,
        sex=theirs.sex or identity.sex,
    )
    return why_other_patient(identity, merged) is None


def _series_of(
    peer: Peer, calling_ae_title: str, study: Dataset, on_asked: OnAsked
) -> list[PriorSeries]:
    study_uid = text_of(study, "StudyInstanceUID")
    keys = Dataset()
    keys.QueryRetrieveLevel = "SERIES"
    keys.StudyInstanceUID = study_uid
    keys.Modality = "CT"
    for keyword in ("SeriesInstanceUID", "SeriesDescription", "NumberOfSeriesRelatedInstances"):
        setattr(keys, keyword, None)
    found = []
    for answer in ask(peer, calling_ae_title, keys, on_asked):
        count = text_of(answer, "NumberOfSeriesRelatedInstances")
        slices = int(count) if count.isascii() and count.isdigit() else 0
        if text_of(answer, "Modality") != "CT" or not text_of(answer, "SeriesInstanceUID"):
            continue
        if text_of(answer, "StudyInstanceUID") not in ("", study_uid):
            continue
        if slices and not SLICES_AT_LEAST <= slices <= SLICES_AT_MOST:
            continue
        found.append(
            PriorSeries(
                study_uid=study_uid,
                series_uid=text_of(answer, "SeriesInstanceUID"),
                study_date=text_of(study, "StudyDate"),
                description=text_of(answer, "SeriesDescription"),
                slice_count=slices,
            )
        )
    return sorted(found, key=lambda item: -item.slice_count)
