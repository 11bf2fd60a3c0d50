"""What every object of ours carries around its content: patient, study, equipment, file.

highdicom copies the Patient and General Study modules that it knows; here the rest follows,
so that no attribute that a PACS matches on is lost (Issuer of Patient ID above all).
"""

from __future__ import annotations

import copy
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import highdicom
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.compose import codes
from dicom_node.compose.content import AlgorithmContent, ComposedObject, ReportContent
from dicom_node.compose.content_tree import walk
from dicom_node.compose.identity import derive_uid
from dicom_node.compose.words import ENGLISH, Language
from dicom_node.equipment import (
    CODING_SCHEME_DESIGNATOR,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MANUFACTURER,
    MANUFACTURER_MODEL_NAME,
)
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries

PATIENT_AND_STUDY_KEYWORDS = (
    # Patient (PS3.3 C.7.1.1), General Study (C.7.2.1), Patient Study (C.7.2.2)
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex",
    "OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroup",
    "PatientComments", "PatientSpeciesDescription", "PatientIdentityRemoved",
    "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID",
    "AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyDescription",
    "ProcedureCodeSequence", "PhysiciansOfRecord",
    "PatientAge", "PatientSize", "PatientWeight", "AdmissionID", "Occupation",
    "AdditionalPatientHistory",
    # SOP Common (C.12.1): all times of the study are local to it
    "TimezoneOffsetFromUTC",
)  # fmt: skip
TYPE_2_KEYWORDS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
"""Must be present, may be empty; senders leave them out all the same."""
PARSED_KEYWORDS = frozenset({"PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"})
UTF_8 = "ISO_IR 192"
UNWANTED_ADVICE = (
    "The string .* is unlikely to represent",
    "Invalid value for VR",
    "The value length .* exceeds the maximum length",
    "The PersonName component length",
)
"""Beginnings of warnings by highdicom (names without a caret) and pydicom (values)."""
OFFSET_PATTERN = re.compile(r"([+-])(\d{2})(\d{2})")
"""Timezone Offset From UTC (0008,0201): ``&ZZXX``."""


@contextmanager
def translated_errors(what: str) -> Iterator[None]:
    """Make a `ComposeError` of what highdicom and pydicom raise over an odd header.

    Advice on the patient's and the study's values is silenced: they are not ours to change.
    """
    with warnings.catch_warnings():
        for advice in UNWANTED_ADVICE:
            warnings.filterwarnings("ignore", message=advice)
        try:
            yield
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise ComposeError(f"cannot compose the {what}: {error}") from error


def source_headers(series: CtSeries) -> list[Dataset]:
    """The series' headers, in a form to compose from; the originals stay as they are.

    Raises
    ------
    ComposeError
        If the slices do not share one Frame of Reference UID: a segmentation could not be
        placed (PS3.3 C.7.4.1).
    """
    frames = {str(header.get("FrameOfReferenceUID") or "") for header in series.headers}
    if len(frames) != 1 or "" in frames:
        found = "no Frame of Reference UID in " if "" in frames else f"{len(frames)} of them in "
        raise ComposeError(
            f"series {series.series_instance_uid} needs one Frame of Reference UID for all "
            f"slices, found {found}it: a segmentation cannot refer to its space"
        )
    gap_mm = float(np.linalg.norm(series.affine[:3, 0]))
    return [palatable(header, gap_mm) for header in series.headers]


def palatable(header: Dataset, gap_mm: float = 1.0) -> Dataset:
    """A copy that highdicom takes (``copy.copy`` would share the elements).

    It parses dates, times and sex and refuses what is not conformant, though a sender's odd
    study time is no reason to have no report. `seal` writes the source's own values, so what
    stands here only has to be readable.
    """
    ds = Dataset(dict(header.items()))
    for keyword in TYPE_2_KEYWORDS:
        if keyword in PARSED_KEYWORDS or ds.get(keyword) is None:
            _replace(ds, keyword, "")
    if not ds.get("SliceThickness"):
        _replace(ds, "SliceThickness", gap_mm)
    return ds


def _replace(ds: Dataset, keyword: str, value: str | float) -> None:
    """Put a new element in the place of one that another data set may share."""
    ds.pop(keyword, None)
    setattr(ds, keyword, value)


def contributing_equipment(
    algorithm: AlgorithmContent,
) -> list[highdicom.ContributingEquipment]:
    """Contributing Equipment (0018,A001): the whole and each algorithm (IHE AIR 6.5.3.1)."""
    whole = (
        algorithm.model_name,
        f"{algorithm.name} {algorithm.version}",
        algorithm.device_uid,
    )
    stages = (
        (f"{algorithm.model_name} {stage.name}", f"{stage.name} {stage.version}", stage.device_uid)
        for stage in algorithm.stages
    )
    found = []
    for model_name, software_versions, device_uid in (whole, *stages):
        equipment = highdicom.ContributingEquipment(
            purpose_of_reference=codes.PROCESSING_EQUIPMENT,
            manufacturer=algorithm.manufacturer,
            manufacturer_model_name=model_name,
            software_versions=software_versions,
            device_serial_number=algorithm.serial_number,
        )
        equipment.DeviceUID = UID(device_uid)
        found.append(equipment)
    return found


def seal(
    ds: Dataset, source: Dataset, content: ReportContent, created: datetime, *, kind: str
) -> ComposedObject:
    """Complete an object and encode it.

    Parameters
    ----------
    ds : Dataset
        From highdicom; changed in place.
    source : Dataset
        A header of the series as it was sent, from which patient and study are copied whole.
    content : ReportContent
        Its algorithm ends up in the equipment attributes.
    created : datetime
        Content date and time; nothing else in the object depends on the moment. An aware one
        is written in the study's time zone, else in this machine's.
    kind : str
        Of the object.

    Returns
    -------
    ComposedObject
        Its bytes are a Part 10 file; equal input gives equal bytes.
    """
    for keyword in PATIENT_AND_STUDY_KEYWORDS:
        if keyword in source:
            ds[keyword] = copy.deepcopy(source[keyword])
        elif keyword in TYPE_2_KEYWORDS and ds.get(keyword) is None:
            setattr(ds, keyword, "")
    _use_character_set(ds, source, content)
    _drop_empty_references(ds)
    algorithm = content.algorithm
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MANUFACTURER_MODEL_NAME
    ds.SoftwareVersions = f"{algorithm.name} {algorithm.version}"
    ds.DeviceSerialNumber = algorithm.serial_number
    # No Series Date: revisions share the series, and only its first one would know.
    local = to_study_time(created, str(source.get("TimezoneOffsetFromUTC") or ""))
    for prefix in ("Content", "InstanceCreation"):
        setattr(ds, f"{prefix}Date", local.strftime("%Y%m%d"))
        setattr(ds, f"{prefix}Time", local.strftime("%H%M%S.%f"))
    for item in ds.get("ContributingEquipmentSequence") or ():
        if "ContributionDateTime" in item:  # highdicom enters itself with the time of day
            item.ContributionDateTime = local.strftime("%Y%m%d%H%M%S.%f")
    scheme = Dataset()
    scheme.CodingSchemeDesignator = CODING_SCHEME_DESIGNATOR
    scheme.CodingSchemeName = "Pulmonode concepts"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    ds.CodingSchemeIdentificationSequence = [scheme]
    _fix_dimension_organization(ds)
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return ComposedObject(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        data=buffer.getvalue(),
    )


def to_study_time(created: datetime, offset: str) -> datetime:
    """A moment as the study's clock shows it; a naive one is taken to be that already."""
    if created.tzinfo is None:
        return created
    match = OFFSET_PATTERN.fullmatch(offset.strip())
    if match is None:
        return created.astimezone()
    size = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return created.astimezone(timezone(-size if match[1] == "-" else size))


def _use_character_set(ds: Dataset, source: Dataset, content: ReportContent) -> None:
    """Write text as the source does, so that a name has the same bytes that the PACS knows.

    Our own text is ASCII, which every character set contains (PS3.3 C.12.1.1.2). Only where
    it is not, all is written in UTF-8. A source that declares no character set but uses one
    keeps doing so: its bytes come through, and guessing would make them wrong.
    """
    ds.pop("SpecificCharacterSet", None)
    declared = source.get("SpecificCharacterSet")
    if declared:
        ds.SpecificCharacterSet = copy.deepcopy(declared)
    ds.decode()
    if not all(text.isascii() for text in _own_texts(ds, content)):
        ds.SpecificCharacterSet = UTF_8


def language_for(source: Dataset, wanted: Language) -> Language:
    """The language to write in: English where another one would spoil the patient's name.

    Chinese makes the whole object UTF-8. Bytes of a source that uses a character set without
    declaring it would be taken for another one's then.
    """
    if wanted == ENGLISH or source.get("SpecificCharacterSet"):
        return wanted
    values = (str(source.get(keyword) or "") for keyword in PATIENT_AND_STUDY_KEYWORDS)
    return wanted if all(value.isascii() for value in values) else ENGLISH


def _own_texts(ds: Dataset, content: ReportContent) -> Iterator[str]:
    """All words of an object that did not come from the CT header."""
    algorithm = content.algorithm
    yield from (algorithm.name, algorithm.version, algorithm.manufacturer, algorithm.model_name)
    yield from (str(item.get("TextValue") or "") for item in walk(ds))
    yield str(ds.get("SeriesDescription") or "")
    yield str(ds.get("CompletionFlagDescription") or "")
    yield from (nodule.comment or "" for nodule in content.nodules)  # segments' descriptions


def _drop_empty_references(ds: Dataset) -> None:
    """Leave out references to studies or patients that name nothing (seen in the field)."""
    for keyword in ("ReferencedStudySequence", "ReferencedPatientSequence"):
        items = ds.get(keyword)
        if items is not None and not all(
            item.get("ReferencedSOPClassUID") and item.get("ReferencedSOPInstanceUID")
            for item in items
        ):
            delattr(ds, keyword)


def _fix_dimension_organization(ds: Dataset) -> None:
    """Highdicom draws the Dimension Organization UID by chance; ours follows from the object."""
    if "DimensionOrganizationSequence" not in ds:
        return
    uid = UID(derive_uid("dimensions", str(ds.SOPInstanceUID)))
    for item in ds.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = uid
    for item in ds.get("DimensionIndexSequence") or ():
        item.DimensionOrganizationUID = uid
