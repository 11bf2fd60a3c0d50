"""A stored file as bytes: where its data set and its Pixel Data begin, and whether it is whole.

Deliberately absent: decoding, and any judgement of what the attributes say.
"""

from __future__ import annotations

import errno
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.errors import UnreadableInstance
from dicom_node.read.inflate import inflate

PREAMBLE_BYTES = 128
PREFIX = b"DICM"
PIXEL_DATA_TAGS = frozenset({Tag(0x7FE0, 0x0008), Tag(0x7FE0, 0x0009), Tag(0x7FE0, 0x0010)})
PIXEL_DATA_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"UN"})
UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM = b"\xfe\xff\x00\xe0"
SEQUENCE_DELIMITATION_ITEM = b"\xfe\xff\xdd\xe0"
DEFLATED_SYNTAXES = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)
"""The whole data set is one deflated stream (PS3.5 A.5; JPIP and HTJ2K JPIP Deflate)."""
NATIVE_SYNTAXES = frozenset(
    {str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian), str(ExplicitVRBigEndian)}
) | {"1.2.840.10008.1.2.1.99"}
REFERENCED_SYNTAXES = frozenset(
    {"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95"}
    | {"1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"}
)
"""The pixels stand on a JPIP server, so a file rightly has none (PS3.5 A.6, A.7)."""
SAMPLES_WHEN_SUBSAMPLED = {"YBR_FULL_422": 2, "YBR_PARTIAL_422": 2}
"""Samples stored per pixel where chrominance is subsampled (PS3.3 C.7.6.3.1.2)."""
NEEDS_PIXELS = frozenset({str(CTImageStorage), str(EnhancedCTImageStorage)})
MALFORMED = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
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
OF_THE_FILE = frozenset({None, errno.EINVAL})
"""Numbers of an `OSError` that says something of the file: pydicom raises it without one, and a
length that leads to before the file's beginning gives EINVAL. Any other is the disk's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedDataSet:
    """The encoded data set of a file.

    Attributes
    ----------
    stream : BinaryIO
        The file, or the inflated data set in memory.
    start, pixels_at : int
        Offsets in `stream` of the data set and of its Pixel Data (or of its end).
    size : int
        Length of `stream` in bytes.
    """

    stream: BinaryIO
    start: int
    pixels_at: int
    size: int


def is_of_the_machine(error: BaseException) -> bool:
    """Whether one of `MALFORMED` says nothing of the file, so that another attempt may help."""
    return isinstance(error, OSError) and error.errno not in OF_THE_FILE


@contextmanager
def _malformed_as_unreadable(path: Path) -> Iterator[None]:
    """Make an `UnreadableInstance` of what a malformed file raises; the disk's errors stay."""
    try:
        yield
    except UnreadableInstance:
        raise
    except MALFORMED as error:
        if is_of_the_machine(error):
            raise
        raise UnreadableInstance(path.name, f"{type(error).__name__}: {error}") from error


def _transfer_syntax(file: BinaryIO) -> str:
    """Transfer Syntax UID by the meta information, after which `file` stands then."""
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >> 16 != 2,
    )
    return str(meta.get("TransferSyntaxUID", ""))


def _refuse_bomb(file: BinaryIO) -> None:
    """Refuse a deflated data set that is too long, before pydicom inflates the whole of it.

    Leaves `file` at its beginning.
    """
    begins = file.read(PREAMBLE_BYTES + len(PREFIX))[PREAMBLE_BYTES:] == PREFIX
    if begins and _transfer_syntax(file) in DEFLATED_SYNTAXES:
        for _piece in inflate(file):
            pass
    file.seek(0)


@contextmanager
def open_data_set(path: Path) -> Iterator[EncodedDataSet]:
    """Find a file's data set and its Pixel Data; a deflated one is inflated first.

    An unknown transfer syntax is taken as Explicit VR Little Endian, which all but the oldest
    are (PS3.5 section A.4).

    Raises
    ------
    UnreadableInstance
        If it is no DICOM file.
    OSError
        If it cannot be read from disk.
    """
    with (
        _malformed_as_unreadable(path),
        path.open("rb") as file,
        config.disable_value_validation(),
    ):
        if file.read(PREAMBLE_BYTES + len(PREFIX))[PREAMBLE_BYTES:] != PREFIX:
            raise UnreadableInstance(path.name, "no DICM prefix (PS3.10 section 7.1)")
        syntax = _transfer_syntax(file)
        stream: BinaryIO = file
        if syntax in DEFLATED_SYNTAXES:
            stream = io.BytesIO(b"".join(inflate(file)))
        start = stream.tell()
        read_dataset(
            stream,
            is_implicit_VR=syntax == ImplicitVRLittleEndian,
            is_little_endian=syntax != ExplicitVRBigEndian,
            stop_when=lambda tag, _vr, _length: tag in PIXEL_DATA_TAGS,
        )
        pixels_at = stream.tell()
        size = stream.seek(0, io.SEEK_END)
        yield EncodedDataSet(stream=stream, start=start, pixels_at=pixels_at, size=size)


def read_before_pixels(path: Path) -> FileDataset:
    """Read everything before Pixel Data; values are converted when they are looked at.

    Raises
    ------
    UnreadableInstance
        If it is no DICOM file, or ends within its header.
    OSError
        If it cannot be read from disk.
    """
    # Bad values are the header's business: they become problems there, not warnings.
    with _malformed_as_unreadable(path), config.disable_value_validation():
        with path.open("rb") as file:
            _refuse_bomb(file)
        ds = dcmread(path, stop_before_pixels=True)
        if not ds.file_meta.get("TransferSyntaxUID"):
            raise UnreadableInstance(path.name, "no Transfer Syntax UID in its meta information")
        if len(ds) == 0:
            raise UnreadableInstance(path.name, "it ends before its data set begins")
        last: Any = ds.get_item(max(ds.keys()))  # not yet converted, so its bytes can be counted
        declared = getattr(last, "length", UNDEFINED_LENGTH)
        held = len(last.value or b"") if declared != UNDEFINED_LENGTH else declared
        if held < declared:
            raise UnreadableInstance(
                path.name, f"it ends within its header: {last.tag} holds {held} of {declared} bytes"
            )
        return ds


def read_with_pixels(path: Path) -> FileDataset:
    """Read everything up to Pixel Data; what follows them (padding, zeros, rubbish) is left.

    Raises
    ------
    UnreadableInstance
        If it is no DICOM file, or has no Pixel Data.
    OSError
        If it cannot be read from disk.
    """
    begun = False

    def is_beyond(tag: int, _vr: str | None, _length: int) -> bool:
        nonlocal begun
        begun = begun or tag in PIXEL_DATA_TAGS
        return begun and tag not in PIXEL_DATA_TAGS

    with (
        _malformed_as_unreadable(path),
        path.open("rb") as file,
        config.disable_value_validation(),
    ):
        _refuse_bomb(file)
        ds = read_partial(file, stop_when=is_beyond)
    if not begun:
        syntax = getattr(ds.file_meta.get("TransferSyntaxUID"), "name", "unknown")
        raise UnreadableInstance(path.name, f"no Pixel Data, Transfer Syntax {syntax}")
    return ds


def find_truncation(path: Path, ds: Dataset) -> str:
    """Say how a file's Pixel Data are cut short; empty when they are whole or rightly absent.

    Native Pixel Data must hold their declared length, and enough for Rows, Columns, Bits
    Allocated, Samples per Pixel and Number of Frames (PS3.5 section 8.1.1, PS3.3 C.7.6.3);
    encapsulated ones must consist of whole items and end in a Sequence Delimitation Item
    (PS3.5 section A.4). Nothing is decoded.

    Parameters
    ----------
    path : Path
        The file.
    ds : FileDataset
        What `read_before_pixels` read from it.
    """
    syntax = str(ds.file_meta.TransferSyntaxUID)
    with open_data_set(path) as encoded:
        if encoded.pixels_at >= encoded.size:
            needed = "Rows" in ds or str(ds.get("SOPClassUID", "")) in NEEDS_PIXELS
            missed = needed and syntax not in REFERENCED_SYNTAXES
            return "no Pixel Data: the file ends after its header" if missed else ""
        stream = encoded.stream
        stream.seek(encoded.pixels_at)
        explicit = stream.read(12)[4:6] in PIXEL_DATA_VRS
        value_at = encoded.pixels_at + (12 if explicit else 8)
        stream.seek(value_at - 4)
        order = "big" if syntax == ExplicitVRBigEndian else "little"
        length = int.from_bytes(stream.read(4), order)  # type: ignore[arg-type] # literals above
        if length == UNDEFINED_LENGTH:
            return _broken_items(encoded, value_at, _count(ds, "NumberOfFrames", 1))
        held = encoded.size - value_at
        if held < length:
            return f"Pixel Data hold {held} of {length} bytes"
        needed_bytes = _native_bytes(ds) if syntax in NATIVE_SYNTAXES else 0
        if length < needed_bytes:
            return f"Pixel Data have {length} bytes, Rows and Columns need {needed_bytes}"
        return ""


def find_excess(ds: FileDataset) -> str:
    """Say how uncompressed Pixel Data are more than the header's Rows and Columns, or that they
    cannot be read at all; else empty.

    PS3.5 section 8.1.1 allows one byte of padding. Some writers add more, so less than a row
    (or a column) is let through; more means that the header is not of these pixels.
    """
    try:
        needed = _native_bytes(ds) if str(ds.file_meta.TransferSyntaxUID) in NATIVE_SYNTAXES else 0
        pixels = ds.get("PixelData")
    except MALFORMED as error:  # such as a VR that there is not
        return " ".join(str(error).split())
    held = len(pixels) if isinstance(pixels, bytes) else 0
    if not needed or held - needed <= 1:
        return ""
    line = needed // max(_count(ds, "Rows", 1), _count(ds, "Columns", 1))
    if held - needed < line:
        return ""
    return f"Pixel Data have {held} bytes, Rows, Columns and Bits Allocated need {needed}"


def _count(ds: Dataset, keyword: str, default: int) -> int:
    try:
        return int(ds.get(keyword) or default)
    except MALFORMED:
        return default


def _native_bytes(ds: Dataset) -> int:
    """Bytes that uncompressed pixels need; 0 where the header does not say."""
    photometric = str(ds.get("PhotometricInterpretation", ""))
    samples = SAMPLES_WHEN_SUBSAMPLED.get(photometric, _count(ds, "SamplesPerPixel", 1))
    pixels = _count(ds, "Rows", 0) * _count(ds, "Columns", 0) * _count(ds, "NumberOfFrames", 1)
    return (pixels * samples * _count(ds, "BitsAllocated", 0) + 7) // 8


def _broken_items(encoded: EncodedDataSet, at: int, frames: int) -> str:
    """Walk the items of encapsulated Pixel Data; say where they break off."""
    fragments = -1  # the first item is the Basic Offset Table
    while True:
        encoded.stream.seek(at)
        head = encoded.stream.read(8)
        if len(head) < 8:
            return f"Pixel Data end without a delimiter after fragment {max(fragments, 0)}"
        if head[:4] == SEQUENCE_DELIMITATION_ITEM:
            break
        if head[:4] != ITEM:
            return f"Pixel Data are garbled after fragment {max(fragments, 0)}: no item there"
        fragments += 1
        length = int.from_bytes(head[4:], "little")
        at += 8 + length
        if at > encoded.size:
            held = length - (at - encoded.size)
            return f"Pixel Data fragment {fragments} holds {held} of {length} bytes"
    if fragments < frames:
        return f"Pixel Data have {max(fragments, 0)} fragments for {frames} frames"
    return ""
