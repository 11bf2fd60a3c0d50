"""Earlier chest CTs of a patient at a PACS: which there are (C-FIND), and their slices (C-GET).

C-GET brings the slices on the association that asks for them (PS3.4 section C.4.3): nothing
arrives at our Storage SCP, where it would start a job of its own. C-MOVE is deliberately absent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import ALL_TRANSFER_SYNTAXES, build_context, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet
from pynetdicom.status import code_to_category

from dicom_node.deliver.peer import Peer, associated
from dicom_node.errors import PeerRefused, PeerUnreachable
from dicom_node.query.find import ask, cut_after, text_of
from dicom_node.read.earlier import why_other_patient
from dicom_node.read.header import Identity

STUDIES_AT_MOST = 5
"""The newest earlier ones that are asked for their series."""
SLICES_AT_LEAST = 16
SLICES_AT_MOST = 2000
PENDING = 0xFF00
OUT_OF_RESOURCES = 0xA700
SOP_CLASS_NOT_SUPPORTED = 0x0122


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorSeries:
    """A CT series of an earlier study, as the PACS describes it."""

    study_uid: str
    series_uid: str
    study_date: str
    description: str
    slice_count: int
    """0 where the PACS does not say."""


def find_prior_series(peer: Peer, calling_ae_title: str, identity: Identity) -> list[PriorSeries]:
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
        for answer in ask(peer, calling_ae_title, keys)
        if _may_be_theirs(identity, answer)
        and text_of(answer, "StudyInstanceUID") not in ("", identity.study_instance_uid)
        and text_of(answer, "StudyDate") < identity.study_date
    ]
    studies.sort(key=lambda answer: text_of(answer, "StudyDate"), reverse=True)
    found: list[PriorSeries] = []
    for study in studies[:STUDIES_AT_MOST]:
        found += _series_of(peer, calling_ae_title, study)
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


def _series_of(peer: Peer, calling_ae_title: str, study: Dataset) -> list[PriorSeries]:
    study_uid = text_of(study, "StudyInstanceUID")
    keys = Dataset()
    keys.QueryRetrieveLevel = "SERIES"
    keys.StudyInstanceUID = study_uid
    keys.Modality = "CT"
    for keyword in ("SeriesInstanceUID", "SeriesDescription", "NumberOfSeriesRelatedInstances"):
        setattr(keys, keyword, None)
    found = []
    for answer in ask(peer, calling_ae_title, keys):
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


def fetch_series(
    peer: Peer, calling_ae_title: str, series: PriorSeries, folder: Path, *, limit_s: float
) -> int:
    """Bring the slices of a series into a folder with C-GET.

    Parameters
    ----------
    folder : Path
        Empty; files are numbered, as no UID of a peer becomes a path.
    limit_s : float
        After which the connection is cut.

    Returns
    -------
    int
        How many came.

    Raises
    ------
    PeerUnreachable
        If there is no association, or the slices are not here in time.
    PeerRefused
        If the PACS does not offer C-GET, or does not send every slice.
    OSError
        If a file cannot be written.
    """
    broken: list[OSError] = []
    count = 0

    def keep(event: Any) -> int:
        nonlocal count
        if count >= SLICES_AT_MOST:
            return OUT_OF_RESOURCES
        try:
            (folder / f"{count:05d}.dcm").write_bytes(event.encoded_dataset())
        except OSError as error:
            broken.append(error)
            return OUT_OF_RESOURCES
        count += 1
        return 0x0000

    keys = Dataset()
    keys.QueryRetrieveLevel = "SERIES"
    keys.StudyInstanceUID = series.study_uid
    keys.SeriesInstanceUID = series.series_uid
    contexts = [
        build_context(StudyRootQueryRetrieveInformationModelGet),
        build_context(CTImageStorage, ALL_TRANSFER_SYNTAXES),
    ]
    deadline = time.monotonic() + limit_s
    status: int | None = PENDING
    with (
        cut_after(limit_s) as handlers,
        associated(
            peer,
            calling_ae_title,
            contexts,
            [*handlers, (evt.EVT_C_STORE, keep)],
            [build_role(CTImageStorage, scp_role=True)],
        ) as assoc,
    ):
        try:
            for response, _ in assoc.send_c_get(keys, StudyRootQueryRetrieveInformationModelGet):
                status = int(response.Status) if "Status" in response else None
                if status is None or time.monotonic() > deadline:
                    break
        except ValueError as error:  # no accepted presentation context
            raise PeerRefused(
                str(peer), "Study Root C-GET", SOP_CLASS_NOT_SUPPORTED, transient=False
            ) from error
    if broken:
        raise broken[0]
    if status is None or status == PENDING:
        raise PeerUnreachable(str(peer), f"C-GET did not end within {limit_s:g} s")
    if code_to_category(status) != "Success" or count < series.slice_count:
        raise PeerRefused(str(peer), f"C-GET ({count} slices came)", status, transient=True)
    return count
