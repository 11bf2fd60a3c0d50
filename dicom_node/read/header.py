"""`InstanceHeader`: what the node needs to know of one stored instance, without its pixels.

A bad optional attribute becomes `None` and a line in `problems`; only what makes a file
useless raises. Values round-trip through JSON, so that the index can hold them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydicom import config
from pydicom.dataset import Dataset, FileDataset

from dicom_node.errors import UnreadableInstance
from dicom_node.read.stored_file import (
    MALFORMED,
    find_truncation,
    open_data_set,
    read_before_pixels,
)
from dicom_node.receive.spool import is_valid_uid

T = TypeVar("T")
READ_BYTES = 1 << 20
UID_KEYWORDS = ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose and which study it is; compared before anything is delivered."""

    PATIENT: ClassVar = ("patient_id", "issuer_of_patient_id", "patient_name", "birth_date", "sex")
    """The attributes that say whose it is."""

    patient_id: str = ""
    issuer_of_patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""
    study_instance_uid: str = ""
    study_id: str = ""
    study_date: str = ""
    accession_number: str = ""

    @classmethod
    def from_dataset(cls, ds: Dataset) -> Identity:
        """Read the attributes; absent and empty are the same."""
        return cls(
            patient_id=_text(ds, "PatientID"),
            issuer_of_patient_id=_text(ds, "IssuerOfPatientID"),
            patient_name=_text(ds, "PatientName").rstrip("^= "),
            birth_date=_text(ds, "PatientBirthDate"),
            sex=_text(ds, "PatientSex"),
            study_instance_uid=_text(ds, "StudyInstanceUID"),
            study_id=_text(ds, "StudyID"),
            study_date=_text(ds, "StudyDate"),
            accession_number=_text(ds, "AccessionNumber"),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Identity:
        """Inverse of `to_json`; keys of a later release are ignored."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: item for key, item in value.items() if key in known})

    def to_json(self) -> dict[str, str]:
        """As plain values."""
        return asdict(self)

    def patient_key(self) -> tuple[str, ...]:
        """The patient attributes as one value: equal for the same patient."""
        return tuple(getattr(self, name) for name in self.PATIENT)

    def patient_differences(self, other: Identity) -> tuple[str, ...]:
        """Names of the patient attributes in which two identities differ."""
        return tuple(name for name in self.PATIENT if getattr(self, name) != getattr(other, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceHeader:
    """One instance's header; lengths in mm, positions in LPS mm, angles in degrees."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    identity: Identity
    modality: str = ""
    source_ae_title: str = ""
    receiving_ae_title: str = ""
    station_name: str = ""
    image_type: tuple[str, ...] = ()
    manufacturer: str = ""
    manufacturer_model_name: str = ""
    body_part_examined: str = ""
    series_description: str = ""
    study_description: str = ""
    protocol_name: str = ""
    convolution_kernel: str = ""
    patient_age: str = ""
    patient_position: str = ""
    frame_of_reference_uid: str = ""
    photometric_interpretation: str = ""
    rescale_type: str = ""
    lossy_image_compression: str = ""
    burned_in_annotation: str = ""
    contrast_agent: str = ""
    series_number: int | None = None
    instance_number: int | None = None
    acquisition_number: int | None = None
    temporal_position: int | None = None
    rows: int | None = None
    columns: int | None = None
    bits_allocated: int | None = None
    bits_stored: int | None = None
    pixel_representation: int | None = None
    pixel_padding_value: int | None = None
    samples_per_pixel: int | None = None
    number_of_frames: int | None = None
    slice_thickness_mm: float | None = None
    gantry_tilt_deg: float | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None
    pixel_spacing_mm: tuple[float, ...] | None = None
    image_position_lps_mm: tuple[float, ...] | None = None
    image_orientation: tuple[float, ...] | None = None
    window_centers: tuple[float, ...] | None = None
    window_widths: tuple[float, ...] | None = None
    truncated: bool = False
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InstanceHeader:
        """Inverse of `to_json`; keys of a later release are ignored."""
        known = {item.name for item in fields(cls)}
        plain: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item
            for key, item in value.items()
            if key in known
        }
        plain["identity"] = Identity.from_json(value["identity"])
        return cls(**plain)


def read_header(path: Path) -> InstanceHeader:
    """Read the header of a stored file, of whatever SOP class.

    Raises
    ------
    UnreadableInstance
        If it is no DICOM file, ends before its header does, or lacks a valid UID of
        instance, class, series or study.
    """
    ds = read_before_pixels(path)
    with config.disable_value_validation():  # bad values become problems, not warnings
        return _header(path, ds)


def _header(path: Path, ds: FileDataset) -> InstanceHeader:
    meta = ds.file_meta
    problems: list[str] = []

    def text(keyword: str) -> str:
        return _text(ds, keyword, problems)

    def integer(keyword: str) -> int | None:
        return _convert(ds, keyword, _whole, problems)

    def number(keyword: str) -> float | None:
        return _convert(ds, keyword, _finite, problems)

    def numbers(keyword: str, count: int | None = None) -> tuple[float, ...] | None:
        return _convert(ds, keyword, lambda value: _floats(value, count), problems)

    uids = {name: text(name) for name in UID_KEYWORDS}
    for name, uid in uids.items():
        if not is_valid_uid(uid):
            raise UnreadableInstance(path.name, f"{name} {uid[:80]!r} is not a UID")
    truncation = find_truncation(path, ds)
    if truncation:
        problems.append(truncation)
    return InstanceHeader(
        sop_instance_uid=uids["SOPInstanceUID"],
        sop_class_uid=uids["SOPClassUID"],
        series_instance_uid=uids["SeriesInstanceUID"],
        study_instance_uid=uids["StudyInstanceUID"],
        transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
        identity=Identity.from_dataset(ds),
        modality=text("Modality"),
        source_ae_title=_text(meta, "SourceApplicationEntityTitle"),
        receiving_ae_title=_text(meta, "ReceivingApplicationEntityTitle"),
        station_name=text("StationName"),
        image_type=tuple(
            item.strip().upper() for item in text("ImageType").split("\\") if item.strip()
        ),
        manufacturer=text("Manufacturer"),
        manufacturer_model_name=text("ManufacturerModelName"),
        body_part_examined=text("BodyPartExamined"),
        series_description=text("SeriesDescription"),
        study_description=text("StudyDescription"),
        protocol_name=text("ProtocolName"),
        convolution_kernel=text("ConvolutionKernel"),
        patient_age=text("PatientAge"),
        patient_position=text("PatientPosition"),
        frame_of_reference_uid=text("FrameOfReferenceUID"),
        photometric_interpretation=text("PhotometricInterpretation"),
        rescale_type=text("RescaleType"),
        lossy_image_compression=text("LossyImageCompression"),
        burned_in_annotation=text("BurnedInAnnotation"),
        contrast_agent=text("ContrastBolusAgent"),
        series_number=integer("SeriesNumber"),
        instance_number=integer("InstanceNumber"),
        acquisition_number=integer("AcquisitionNumber"),
        temporal_position=integer("TemporalPositionIdentifier"),
        rows=integer("Rows"),
        columns=integer("Columns"),
        bits_allocated=integer("BitsAllocated"),
        bits_stored=integer("BitsStored"),
        pixel_representation=integer("PixelRepresentation"),
        pixel_padding_value=integer("PixelPaddingValue"),
        samples_per_pixel=integer("SamplesPerPixel"),
        number_of_frames=integer("NumberOfFrames"),
        slice_thickness_mm=number("SliceThickness"),
        gantry_tilt_deg=number("GantryDetectorTilt"),
        rescale_slope=number("RescaleSlope"),
        rescale_intercept=number("RescaleIntercept"),
        pixel_spacing_mm=numbers("PixelSpacing", 2),
        image_position_lps_mm=numbers("ImagePositionPatient", 3),
        image_orientation=numbers("ImageOrientationPatient", 6),
        window_centers=numbers("WindowCenter"),
        window_widths=numbers("WindowWidth"),
        truncated=bool(truncation),
        problems=tuple(problems),
    )


def digests(path: Path) -> tuple[str, str]:
    """SHA-256 of header and pixels, so that a corrected header is told from another image.

    Returns
    -------
    (str, str)
        Over the data set before Pixel Data (without group 0002, which every sender writes
        anew), and over Pixel Data with all that follows. Nothing is decoded.

    Raises
    ------
    UnreadableInstance
        If it is no DICOM file.
    """
    header, pixels = hashlib.sha256(), hashlib.sha256()
    with open_data_set(path) as encoded:
        stream = encoded.stream
        stream.seek(encoded.start)
        left = encoded.pixels_at - encoded.start
        while left and (chunk := stream.read(min(READ_BYTES, left))):
            header.update(chunk)
            left -= len(chunk)
        while chunk := stream.read(READ_BYTES):
            pixels.update(chunk)
    return header.hexdigest(), pixels.hexdigest()


def _text(ds: Dataset, keyword: str, problems: list[str] | None = None) -> str:
    """A value as text, several joined by backslashes; empty when absent or unreadable."""
    try:
        value = ds.get(keyword)
        if value is None:
            return ""
        several = not isinstance(value, str) and hasattr(value, "append")
        text = "\\".join(map(str, value)) if several else str(value)
    except MALFORMED as error:
        if problems is not None:
            problems.append(f"{keyword} is unreadable: {error}")
        return ""
    return text.strip().strip("\0").strip()


def _whole(value: Any) -> int:
    if float(value) != int(value):
        raise ValueError(f"{value} is not a whole number")
    return int(value)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a finite number")
    return number


def _floats(value: Any, count: int | None) -> tuple[float, ...]:
    items = value if hasattr(value, "append") else (value,)
    numbers = tuple(_finite(item) for item in items)
    if count is not None and len(numbers) != count:
        raise ValueError(f"{len(numbers)} values, wanted {count}")
    return numbers


def _convert(ds: Dataset, keyword: str, kind: Callable[[Any], T], problems: list[str]) -> T | None:
    try:
        value = ds.get(keyword)
        return None if value is None or value == "" else kind(value)
    except MALFORMED as error:
        problems.append(f"{keyword} is malformed: {error}")
        return None
