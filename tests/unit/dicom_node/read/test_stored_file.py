"""Odd but good files are taken; what is undecodable is said to be so, never called cut short."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.errors import DicomNodeError, SeriesRejected, UnreadableInstance
from dicom_node.read import stored_file
from dicom_node.read.header import digests, read_header
from dicom_node.read.series import decode_slice, load_ct_series, scan_folder
from dicom_node.read.stored_file import read_with_pixels
from tests.unit.dicom_node.read.ct_builder import build_ct, chest_hu, save_all

TAILS: dict[str, bytes] = {
    "one zero": bytes(1),
    "zeros": bytes(512),
    "an odd number of zeros": bytes(13),
    "Data Set Trailing Padding": b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 64) + bytes(64),
    "rubbish": b"\xff" * 30,
}


def compressed(series: list[FileDataset], syntax: str | None) -> list[FileDataset]:
    for ds in series:
        if syntax is not None:
            ds.compress(syntax, generate_instance_uid=False)
    return series


def in_syntax(path: Path, syntax: str) -> None:
    """Another Transfer Syntax UID, byte for byte, and no group length."""
    data = path.read_bytes()
    at = data.index(b"\x02\x00\x10\x00UI") + 6
    length = int.from_bytes(data[at : at + 2], "little")
    value = syntax.encode() + bytes(len(syntax) % 2)
    rest = data[at + 2 + length :]
    path.write_bytes(data[:132] + data[144:at] + struct.pack("<H", len(value)) + value + rest)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("syntax", [None, JPEGLSLossless, RLELossless])
def test_what_follows_the_pixels_changes_nothing(
    tmp_path: Path, syntax: str | None, tail: str
) -> None:
    paths = save_all(compressed(build_ct(rows=64, columns=64), syntax), tmp_path)
    for path in paths:
        path.write_bytes(path.read_bytes() + TAILS[tail])

    assert not any(read_header(path).truncated for path in paths)
    assert np.array_equal(load_ct_series(paths).hu, chest_hu(20, 64, 64))


@pytest.mark.parametrize("length", [None, 3, 3000])
def test_a_group_length_is_not_needed_and_not_believed(tmp_path: Path, length: int | None) -> None:
    paths = save_all(build_ct(), tmp_path)
    for path in paths:
        data = path.read_bytes()
        element = b"" if length is None else data[132:140] + struct.pack("<I", length)
        path.write_bytes(data[:132] + element + data[144:])

    assert not any(read_header(path).problems for path in paths)
    assert np.array_equal(load_ct_series(paths).hu, chest_hu(20, 32, 24))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize(("fragments", "offsets"), [(2, True), (5, True), (5, False)])
def test_a_frame_may_be_in_several_fragments(
    tmp_path: Path, syntax: str, fragments: int, offsets: bool
) -> None:
    series = compressed(build_ct(rows=64, columns=64), syntax)
    for ds in series:
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        ds.PixelData = encapsulate([frame], fragments_per_frame=fragments, has_bot=offsets)
    paths = save_all(series, tmp_path)

    assert not any(read_header(path).truncated for path in paths)
    assert np.array_equal(load_ct_series(paths).hu, chest_hu(20, 64, 64))


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.113619.5.2",  # private (GE)
        "1.2.3.4.5",
        "1.2.840.10008.1.1",  # a UID of the Standard, but of no transfer syntax
        "1.2.840.10008.1.2.4.110",  # JPEG XL
        "not a uid",
    ],
)
@pytest.mark.parametrize("encoded", [None, JPEGLSLossless])
def test_an_unknown_transfer_syntax_is_named(
    tmp_path: Path, syntax: str, encoded: str | None
) -> None:
    paths = save_all(compressed(build_ct(), encoded), tmp_path)
    for path in paths:
        in_syntax(path, syntax)

    assert not any(read_header(path).truncated for path in paths)
    with pytest.raises(
        SeriesRejected, match=r"cannot be decoded from .* is not supported"
    ) as caught:
        load_ct_series(paths)
    assert caught.value.code == "undecodable"


def test_pixels_that_stand_on_a_server_are_not_cut_short(tmp_path: Path) -> None:
    paths = save_all(build_ct(PixelData=None), tmp_path)
    for path in paths:
        in_syntax(path, "1.2.840.10008.1.2.4.94")

    assert not any(read_header(path).truncated for path in paths)
    with pytest.raises(SeriesRejected, match=r"0000\.dcm: no Pixel Data, .*JPIP") as caught:
        load_ct_series(paths)
    assert caught.value.code == "undecodable"


def sized(extra: int) -> Callable[[FileDataset], None]:
    def change(ds: FileDataset) -> None:
        whole = ds.PixelData
        ds.PixelData = whole[: len(whole) + min(extra, 0)] + bytes(max(extra, 0))

    return change


def stated(**attributes: Any) -> Callable[[FileDataset], None]:
    def change(ds: FileDataset) -> None:
        for name, value in attributes.items():
            setattr(ds, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (sized(-2), "truncated", "have 1534 bytes, Rows and Columns need 1536"),
        (stated(BitsAllocated=32, BitsStored=32, HighBit=31), "truncated", "need 3072"),
        (sized(48), "undecodable", "have 1584 bytes, Rows, Columns and Bits Allocated need 1536"),
        (sized(1536), "undecodable", "have 3072 bytes"),
        (stated(Columns=16), "undecodable", "need 1024"),
        (stated(Columns=23), "undecodable", "need 1472"),
        (stated(Rows=31), "undecodable", "need 1488"),
        (stated(BitsAllocated=8, BitsStored=8, HighBit=7), "undecodable", "need 768"),
    ],
)
def test_pixels_that_are_not_of_their_header_are_refused(
    tmp_path: Path, change: Callable[[FileDataset], None], code: str, words: str
) -> None:
    series = build_ct()
    for ds in series:
        change(ds)

    with pytest.raises(SeriesRejected, match=words) as caught:
        load_ct_series(save_all(series, tmp_path))

    assert caught.value.code == code


# pydicom's own word for padding that it cuts off
@pytest.mark.filterwarnings("ignore:The pixel data is")
@pytest.mark.parametrize("extra", [1, 2, 40])
def test_a_little_padding_is_none_of_the_picture(tmp_path: Path, extra: int) -> None:
    series = build_ct()
    for ds in series:
        sized(extra)(ds)

    assert np.array_equal(load_ct_series(save_all(series, tmp_path)).hu, chest_hu(20, 32, 24))


def test_an_odd_number_of_bytes_is_padded_to_an_even_one(tmp_path: Path) -> None:
    slope, intercept = 12.0, -1024
    series = build_ct(rows=33, columns=25, BitsAllocated=8, BitsStored=8, HighBit=7)
    stored = np.clip((chest_hu(20, 33, 25) - intercept) / slope, 0, 255).astype(np.uint8)
    for ds, picture in zip(series, stored, strict=True):
        ds.RescaleSlope, ds.PixelData = slope, picture.tobytes()
        ds["PixelData"].VR = "OB"

    hu = load_ct_series(save_all(series, tmp_path)).hu

    assert np.array_equal(hu, stored * slope + intercept)


READERS = pytest.mark.parametrize("read", [read_header, digests, read_with_pixels])


def raising(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_arguments: object, **_more: object) -> NoReturn:
        raise error

    return fail


@READERS
@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE])
def test_what_the_disk_does_not_give_is_not_called_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], number: int
) -> None:
    (path, *_) = save_all(build_ct(), tmp_path)
    for name in ("dcmread", "read_dataset", "read_partial"):
        monkeypatch.setattr(stored_file, name, raising(OSError(number, "the disk")))

    with pytest.raises(OSError, match="the disk"):
        read(path)


@READERS
@pytest.mark.parametrize(
    "error", [OSError("No tag to read at file position 1F"), OSError(errno.EINVAL, "Invalid")]
)
def test_what_pydicom_says_of_a_file_as_if_it_were_the_disk_is_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], error: OSError
) -> None:
    (path, *_) = save_all(build_ct(), tmp_path)
    for name in ("dcmread", "read_dataset", "read_partial"):
        monkeypatch.setattr(stored_file, name, raising(error))

    with pytest.raises(UnreadableInstance, match="OSError"):
        read(path)


@READERS
def test_a_file_that_is_not_there_is_not_called_unreadable(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "gone.dcm")


def test_a_file_that_the_disk_does_not_give_is_passed_over_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path, *_) = save_all(build_ct()[:1], tmp_path)
    monkeypatch.setattr(stored_file, "dcmread", raising(OSError(errno.EIO, "the disk")))

    scan = scan_folder(tmp_path)

    assert scan.ignored == ((path, "it cannot be read from disk: the disk"),)


@pytest.mark.parametrize(
    ("keyword", "refused"),
    [("PixelData", True), ("SOPInstanceUID", True), ("InstanceNumber", False)],
)
def test_a_value_representation_that_there_is_not_is_refused_or_read_past(
    tmp_path: Path, keyword: str, refused: bool
) -> None:
    """Of Pixel Data, found by the long run of the fuzzer: it was a fault of the worker's."""
    (path, *_) = save_all(build_ct(rows=64, columns=64), tmp_path)
    tag = tag_for_keyword(keyword)
    assert tag is not None
    data = path.read_bytes()
    at = data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 400) + 4
    path.write_bytes(data[:at] + data[at : at + 1] + b"\x02" + data[at + 2 :])

    if refused:
        with pytest.raises(DicomNodeError):
            decode_slice(path)
    else:
        assert decode_slice(path).shape == (64, 64)
