"""`InstanceHeader`: what the node needs to know of one stored instance, without its pixels.

A bad optional attribute becomes `None` and a line in `problems`; only what makes a file
useless raises. Values round-trip through JSON, so that the index can hold them.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.tag import Tag

from dicom_node.errors import UnreadableInstance
from dicom_node.receive.spool import is_valid_uid

T = TypeVar("T")
PIXEL_DATA_TAGS = frozenset({Tag(0x7FE0, 0x0008), Tag(0x7FE0, 0x0009), Tag(0x7FE0, 0x0010)})
READ_BYTES = 1 << 20
ENCAPSULATED_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
"""Sequence Delimitation Item that ends encapsulated Pixel Data (PS3.5 section A.4)."""
UNDEFINED_LENGTH = 0xFFFFFFFF
MALFORMED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    InvalidDicomError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and its decoders raise for files that are not what they claim to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose and which study it is; compared before anything is delivered."""

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
        """Inverse of `to_json`."""
        return cls(**value)

    def to_json(self) -> dict[str, str]:
        """As plain values."""
        return asdict(self)

    def patient_differences(self, other: Identity) -> tuple[str, ...]:
        """Names of the patient attributes in which two identities differ."""
        names = ("patient_id", "issuer_of_patient_id", "patient_name", "birth_date", "sex")
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))


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
    instance_number: int | None = None
    acquisition_number: int | None = None
    temporal_position: int | None = None
    rows: int | None = None
    columns: int | None = None
    bits_allocated: int | None = None
    samples_per_pixel: int | None = None
    number_of_frames: int | None = None
    slice_thickness_mm: float | None = None
    gantry_tilt_deg: float | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None
    pixel_spacing_mm: tuple[float, ...] | None = None
    image_position_lps_mm: tuple[float, ...] | None = None
    image_orientation: tuple[float, ...] | None = None
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
    """Read the header of a stored file.

    Raises
    ------
    UnreadableInstance
        If it is no DICOM file, ends before its header does, or lacks a valid UID of
        instance, series or study.
    """
    ds = _read(path)
    meta = ds.file_meta
    uids = {
        name: _text(ds, name)
        for name in ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID")
    }
    for name, uid in uids.items():
        if not is_valid_uid(uid):
            raise UnreadableInstance(path.name, f"{name} {uid[:80]!r} is not a UID")
    problems: list[str] = []

    def number(keyword: str, kind: Callable[[Any], T]) -> T | None:
        return _convert(ds, keyword, kind, problems)

    def numbers(keyword: str, count: int) -> tuple[float, ...] | None:
        return _convert(ds, keyword, lambda value: _floats(value, count), problems)

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
        modality=_text(ds, "Modality"),
        source_ae_title=_text(meta, "SourceApplicationEntityTitle"),
        image_type=tuple(str(item).strip().upper() for item in _values(ds, "ImageType")),
        manufacturer=_text(ds, "Manufacturer"),
        manufacturer_model_name=_text(ds, "ManufacturerModelName"),
        body_part_examined=_text(ds, "BodyPartExamined"),
        series_description=_text(ds, "SeriesDescription"),
        study_description=_text(ds, "StudyDescription"),
        protocol_name=_text(ds, "ProtocolName"),
        convolution_kernel="\\".join(str(item) for item in _values(ds, "ConvolutionKernel")),
        patient_age=_text(ds, "PatientAge"),
        patient_position=_text(ds, "PatientPosition"),
        frame_of_reference_uid=_text(ds, "FrameOfReferenceUID"),
        photometric_interpretation=_text(ds, "PhotometricInterpretation"),
        rescale_type=_text(ds, "RescaleType"),
        lossy_image_compression=_text(ds, "LossyImageCompression"),
        burned_in_annotation=_text(ds, "BurnedInAnnotation"),
        instance_number=number("InstanceNumber", int),
        acquisition_number=number("AcquisitionNumber", int),
        temporal_position=number("TemporalPositionIdentifier", int),
        rows=number("Rows", int),
        columns=number("Columns", int),
        bits_allocated=number("BitsAllocated", int),
        samples_per_pixel=number("SamplesPerPixel", int),
        number_of_frames=number("NumberOfFrames", int),
        slice_thickness_mm=number("SliceThickness", float),
        gantry_tilt_deg=number("GantryDetectorTilt", float),
        rescale_slope=number("RescaleSlope", float),
        rescale_intercept=number("RescaleIntercept", float),
        pixel_spacing_mm=numbers("PixelSpacing", 2),
        image_position_lps_mm=numbers("ImagePositionPatient", 3),
        image_orientation=numbers("ImageOrientationPatient", 6),
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
    with _data_set(path) as (stream, start, end):
        stream.seek(start)
        header.update(stream.read(end - start))
        while chunk := stream.read(READ_BYTES):
            pixels.update(chunk)
    return header.hexdigest(), pixels.hexdigest()


def find_truncation(path: Path, ds: FileDataset) -> str:
    """Say how a file's Pixel Data are cut short; empty when they are whole or absent.

    Native Pixel Data must hold their declared length, encapsulated ones must end in a
    Sequence Delimitation Item (PS3.5 sections 8.1.1 and A.4). Nothing is decoded.
    """
    syntax = ds.file_meta.TransferSyntaxUID
    with _data_set(path) as (stream, _, offset):
        size = stream.seek(0, io.SEEK_END)
        if offset >= size:
            missing = ds.get("Modality") == "CT" and ds.get("Rows") is not None
            return "no Pixel Data: the file ends after its header" if missing else ""
        stream.seek(offset)
        element = stream.read(8 if syntax.is_implicit_VR else 12)
        length = int.from_bytes(element[-4:], "little" if syntax.is_little_endian else "big")
        if length == UNDEFINED_LENGTH:
            stream.seek(max(offset, size - len(ENCAPSULATED_END) - 1))
            if ENCAPSULATED_END not in stream.read():
                return f"Pixel Data end without a delimiter after {size - offset} bytes"
            return ""
    held = size - offset - len(element)
    return f"Pixel Data hold {held} of {length} bytes" if held < length else ""


def _read(path: Path) -> FileDataset:
    try:
        # Bad values are this module's business: they become problems, not warnings.
        with config.disable_value_validation():
            ds = dcmread(path, stop_before_pixels=True)
            ds.decode()
        if not ds.file_meta.get("TransferSyntaxUID"):
            raise UnreadableInstance(path.name, "no Transfer Syntax UID in its meta information")
        if len(ds) == 0:
            raise UnreadableInstance(path.name, "it ends before its data set begins")
    except UnreadableInstance:
        raise
    except MALFORMED as error:
        raise UnreadableInstance(path.name, f"{type(error).__name__}: {error}") from error
    return ds


@contextmanager
def _data_set(path: Path) -> Iterator[tuple[BinaryIO, int, int]]:
    """The encoded data set: stream, its offset, and the offset of Pixel Data (or the end).

    A deflated data set is inflated first (PS3.5 section A.5).
    """
    try:
        with path.open("rb") as file, config.disable_value_validation():
            meta = read_file_meta_info(path)
            start = 132 + 12 + int(meta.get("FileMetaInformationGroupLength", 0))
            file.seek(start)
            stream: BinaryIO = file
            syntax = meta.TransferSyntaxUID
            if syntax.is_deflated:
                stream, start = io.BytesIO(zlib.decompress(file.read(), -zlib.MAX_WBITS)), 0
            read_dataset(
                stream,
                is_implicit_VR=syntax.is_implicit_VR,
                is_little_endian=syntax.is_little_endian,
                stop_when=lambda tag, _vr, _length: tag in PIXEL_DATA_TAGS,
            )
            yield stream, start, stream.tell()
    except UnreadableInstance:
        raise
    except MALFORMED as error:
        raise UnreadableInstance(path.name, f"{type(error).__name__}: {error}") from error


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return "" if value is None else str(value).strip().strip("\0")


def _values(ds: Dataset, keyword: str) -> tuple[Any, ...]:
    value = ds.get(keyword)
    if value is None:
        return ()
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return (value,)
    return tuple(value)


def _floats(value: Any, count: int) -> tuple[float, ...]:
    numbers = tuple(float(item) for item in value)
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} values, wanted {count}")
    return numbers


def _convert(ds: Dataset, keyword: str, kind: Callable[[Any], T], problems: list[str]) -> T | None:
    try:
        value = ds.get(keyword)
        return None if value is None or value == "" else kind(value)
    except (ValueError, TypeError, OverflowError) as error:
        problems.append(f"{keyword} is malformed: {error}")
        return None
