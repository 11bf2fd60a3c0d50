"""What every object of ours carries around its content: patient, study, equipment, file.

highdicom copies the Patient and General Study modules that it knows; here the rest follows,
so that no attribute that a PACS matches on is lost (Issuer of Patient ID above all).
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import highdicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.compose import codes
from dicom_node.compose.content import AlgorithmContent
from dicom_node.compose.identity import derive_uid
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
    "OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroup", "PatientComments",
    "PatientSpeciesDescription", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID",
    "AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyDescription",
    "ProcedureCodeSequence", "PhysiciansOfRecord",
    "PatientAge", "PatientSize", "PatientWeight", "AdmissionID", "Occupation",
    "AdditionalPatientHistory", "TimezoneOffsetFromUTC",
)  # fmt: skip
TYPE_2_KEYWORDS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
"""Must be present, may be empty; senders leave them out all the same."""
UTF_8 = "ISO_IR 192"


@contextmanager
def single_component_names_allowed() -> Iterator[None]:
    """Silence highdicom's advice on patient names without a caret: the name is not ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The string .* is unlikely to represent")
        yield


def source_headers(series: CtSeries) -> list[Dataset]:
    """The series' headers, completed by what every header must have.

    Raises
    ------
    ComposeError
        If the series has no Frame of Reference UID: a segmentation could not be placed.
    """
    if not series.headers[0].get("FrameOfReferenceUID"):
        raise ComposeError(
            f"series {series.series_instance_uid} has no Frame of Reference UID: a segmentation "
            "cannot refer to its space"
        )
    completed = []
    for header in series.headers:
        ds = copy.copy(header)
        for keyword in TYPE_2_KEYWORDS:
            if ds.get(keyword) is None:
                setattr(ds, keyword, "")
        completed.append(ds)
    return completed


def contributing_equipment(
    algorithm: AlgorithmContent,
) -> list[highdicom.ContributingEquipment]:
    """The algorithm as Contributing Equipment (0018,A001); IHE AIR 6.5.3.1 wants one per each."""
    equipment = highdicom.ContributingEquipment(
        purpose_of_reference=codes.PROCESSING_EQUIPMENT,
        manufacturer=algorithm.manufacturer,
        manufacturer_model_name=algorithm.model_name,
        software_versions=f"{algorithm.name} {algorithm.version}",
        device_serial_number=algorithm.serial_number,
    )
    equipment.DeviceUID = UID(algorithm.device_uid)
    return [equipment]


def seal(ds: Dataset, source: Dataset, algorithm: AlgorithmContent, created: datetime) -> bytes:
    """Complete an object and encode it.

    Parameters
    ----------
    ds : Dataset
        From highdicom; changed in place.
    source : Dataset
        A header of the series, from which patient and study are copied whole.
    algorithm : AlgorithmContent
        Ends up in the equipment attributes.
    created : datetime
        Content date and time; nothing else in the object depends on the moment.

    Returns
    -------
    bytes
        A Part 10 file; equal input gives equal bytes.
    """
    for keyword in PATIENT_AND_STUDY_KEYWORDS:
        if keyword in source:
            ds[keyword] = copy.deepcopy(source[keyword])
    _use_character_set(ds)
    _drop_empty_references(ds)
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MANUFACTURER_MODEL_NAME
    ds.SoftwareVersions = f"{algorithm.name} {algorithm.version}"
    ds.DeviceSerialNumber = algorithm.serial_number
    moment = created.strftime("%H%M%S.%f")
    for prefix in ("Content", "InstanceCreation", "Series"):
        setattr(ds, f"{prefix}Date", created.strftime("%Y%m%d"))
        setattr(ds, f"{prefix}Time", moment)
    scheme = Dataset()
    scheme.CodingSchemeDesignator = CODING_SCHEME_DESIGNATOR
    scheme.CodingSchemeName = "Pulmonode concepts"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    ds.CodingSchemeIdentificationSequence = [scheme]
    for item in ds.get("ContributingEquipmentSequence") or ():
        if "ContributionDateTime" in item:
            item.ContributionDateTime = created.strftime("%Y%m%d%H%M%S.%f")
    _fix_dimension_organization(ds)
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _use_character_set(ds: Dataset) -> None:
    """Keep the source's characters readable: UTF-8 unless plain ASCII will do.

    Names from another character set must be decoded before they are written in this one.
    """
    ds.decode()
    copied = (ds[keyword] for keyword in PATIENT_AND_STUDY_KEYWORDS if keyword in ds)
    if all(str(element).isascii() for element in copied):
        ds.pop("SpecificCharacterSet", None)
    else:
        ds.SpecificCharacterSet = UTF_8


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
    """highdicom draws the Dimension Organization UID by chance; ours follows from the object."""
    if "DimensionOrganizationSequence" not in ds:
        return
    uid = UID(derive_uid("dimensions", str(ds.SOPInstanceUID)))
    for item in ds.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = uid
    for item in ds.get("DimensionIndexSequence") or ():
        item.DimensionOrganizationUID = uid
