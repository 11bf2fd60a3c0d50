"""Small files that claim, or inflate to, more than any machine has room for."""

from __future__ import annotations

import errno
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.errors import DicomNodeError, SeriesRejected, UnreadableInstance
from dicom_node.read import decode_apart
from dicom_node.read import inflate as inflating
from dicom_node.read.codestream import JPEG_2000_START, FrameSize, read_frame_size
from dicom_node.read.decoder_process import MEMORY_AT_MOST_BYTES
from dicom_node.read.header import digests, read_header
from dicom_node.read.inflate import INFLATED_AT_MOST_BYTES
from dicom_node.read.pixels import (
    FRAME_PIXELS_AT_MOST,
    OBJECT_PIXELS_AT_MOST,
    TooManyPixels,
    check_claim,
)
from dicom_node.read.series import decode_slice, load_ct_series
from dicom_node.read.stored_file import read_before_pixels, read_with_pixels
from tests.unit.dicom_node.read.ct_builder import to_jpeg_lossless
from tests.unit.dicom_node.receive.fuzzing import mutated

PIXELS = 64
ROOM_BYTES = 150 << 20
"""That any of these may take beside the limit it reaches."""

SEED = 20261126
TRIES, HEAD = 120, 80


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A good slice."""
    path = tmp_path / "plain.dcm"
    hu = np.random.default_rng(0).normal(-500, 200, (PIXELS, PIXELS)).astype(np.int16)
    slice_dataset(hu, 0, 1, np.eye(4), CtIdentity(key="bomb")).save_as(
        path, enforce_file_format=True
    )
    return path


@contextmanager
def taking_at_most(room_bytes: int) -> Iterator[None]:
    """Watch this process's memory; it may not grow by more at any moment."""
    process, grown, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.002):
            grown[0] = max(grown[0], process.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert grown[0] < room_bytes, f"{grown[0] / 1e6:.0f} MB at its height"


def deflated(plain: Path, tail_bytes: int) -> Path:
    """The slice deflated, and after its pixels an element of so many zeros, private and at last."""
    ds = dcmread(plain)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = plain.with_name("deflated.dcm")
    ds.save_as(path, implicit_vr=False, little_endian=True)
    data = path.read_bytes()
    at = 144 + struct.unpack_from("<I", data, 140)[0]
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = [data[:at], packer.compress(zlib.decompress(data[at:], -zlib.MAX_WBITS))]
    head = struct.pack("<HH2sHI", 0x7FE1, 0x1001, b"OB", 0, tail_bytes)
    packed.append(packer.compress(head))
    piece = bytes(1 << 20)
    packed += [packer.compress(piece) for _ in range(tail_bytes >> 20)]
    path.write_bytes(b"".join(packed) + packer.flush())
    return path


@pytest.mark.parametrize("read", [read_before_pixels, read_with_pixels, digests])
def test_a_data_set_that_inflates_without_end_is_refused_before_it_fills_the_memory(
    plain: Path, read: Callable[[Path], object]
) -> None:
    bomb = deflated(plain, 2 * INFLATED_AT_MOST_BYTES)
    assert bomb.stat().st_size < INFLATED_AT_MOST_BYTES / 200

    with (
        taking_at_most(INFLATED_AT_MOST_BYTES + ROOM_BYTES),
        pytest.raises(UnreadableInstance, match="inflates to more than 268435456 bytes"),
    ):
        read(bomb)


def test_a_deflated_slice_of_usual_size_is_read_as_ever(plain: Path) -> None:
    path = deflated(plain, 1 << 20)

    assert np.array_equal(decode_slice(path), decode_slice(plain))


def test_a_deflated_data_set_of_just_the_limit_is_taken(plain: Path) -> None:
    path = deflated(plain, 0)
    data = path.read_bytes()
    at = 144 + struct.unpack_from("<I", data, 140)[0]
    length = len(zlib.decompress(data[at:], -zlib.MAX_WBITS))
    for limit_bytes, fits in ((length, True), (length - 1, False)):
        with path.open("rb") as file:
            file.seek(at)
            try:
                taken = sum(map(len, inflating.inflate(file, limit_bytes=limit_bytes)))
            except inflating.InflatesTooFar:
                taken = 0
        assert (taken == length) == fits


def claiming(plain: Path, syntax: str, rows: int, columns: int, *, in_header: bool) -> Path:
    """The slice compressed; its frame, and its header where wanted, claim another size."""
    ds = dcmread(plain)
    ds.compress(syntax)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    changed = bytearray(frame)
    if syntax == JPEG2000Lossless:
        at = frame.index(b"\xff\x4f\xff\x51") + 8
        struct.pack_into(">II", changed, at, columns, rows)
        struct.pack_into(">II", changed, at + 16, columns, rows)  # one tile of all of it
    elif syntax == JPEGLSLossless:
        struct.pack_into(">HH", changed, frame.index(b"\xff\xf7") + 5, rows, columns)
    if in_header:
        ds.Rows, ds.Columns = rows, columns
    ds.PixelData = encapsulate([bytes(changed)])
    path = plain.with_name("claiming.dcm")
    ds.save_as(path)
    return path


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_frame_that_claims_more_than_its_header_is_not_decoded(plain: Path, syntax: str) -> None:
    path = claiming(plain, syntax, 65500, 65500, in_header=False)

    with (
        taking_at_most(ROOM_BYTES),
        pytest.raises(SeriesRejected, match="says it has 65500 x 65500 pixels") as refused,
    ):
        decode_slice(path)
    assert refused.value.code == "undecodable"


@pytest.mark.parametrize("hidden_by", [b"\xff\x01", b"\x00"])
def test_a_size_that_only_a_decoder_would_find_is_not_decoded(
    plain: Path, hidden_by: bytes
) -> None:
    """A marker without a length, or a stray byte, before the frame header: libjpeg skips them."""
    to_jpeg_lossless(plain)
    ds = dcmread(plain)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    changed = bytearray(frame)
    struct.pack_into(">HH", changed, frame.index(b"\xff\xc3") + 5, 65500, 65500)
    changed[2:2] = hidden_by
    ds.PixelData = encapsulate([bytes(changed)])
    path = plain.with_name("hidden.dcm")
    ds.save_as(path)

    with (
        taking_at_most(ROOM_BYTES),
        pytest.raises(SeriesRejected, match="does not begin with its size") as refused,
    ):
        decode_slice(path)
    assert refused.value.code == "undecodable"


def test_what_looks_like_a_codestream_in_a_box_before_it_has_no_say() -> None:
    small, large = (
        JPEG_2000_START + struct.pack(">HHIIIIIIII", 41, 0, side, side, 0, 0, side, side, 0, 0)
        + struct.pack(">H", 1)
        for side in (64, 65_500)
    )  # fmt: skip
    signature = struct.pack(">I", 12) + b"jP  \r\n\x87\n"
    decoy = struct.pack(">I", 8 + len(small)) + b"uuid" + small
    frame = signature + decoy + struct.pack(">I", 0) + b"jp2c" + large

    assert read_frame_size(frame) == FrameSize(rows=65_500, columns=65_500, samples=1)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_slice_that_claims_more_than_any_ct_has_is_not_decoded(plain: Path, syntax: str) -> None:
    path = claiming(plain, syntax, 65500, 65500, in_header=True)

    for read in (decode_slice, lambda path: load_ct_series([path], allow_incomplete=True)):
        with taking_at_most(ROOM_BYTES), pytest.raises(SeriesRejected) as refused:
            read(path)
        assert refused.value.code in {"too_large", "too_few_slices"}


def test_as_many_frames_as_are_claimed_must_be_there(plain: Path) -> None:
    ds = dcmread(plain)
    ds.compress(RLELossless)
    ds.NumberOfFrames = 2_000_000_000
    path = plain.with_name("frames.dcm")
    ds.save_as(path)

    with taking_at_most(ROOM_BYTES), pytest.raises(SeriesRejected, match="at most"):
        decode_slice(path)
    assert read_header(path).truncated


@pytest.mark.parametrize(
    ("rows", "columns", "frames", "fits"),
    [
        (4096, 4096, 1, True),
        (4096, 4097, 1, False),
        (1024, 1024, OBJECT_PIXELS_AT_MOST >> 20, True),
        (1024, 1024, (OBJECT_PIXELS_AT_MOST >> 20) + 1, False),
    ],
)
def test_limits_hold_exactly(rows: int, columns: int, frames: int, fits: bool) -> None:
    assert FRAME_PIXELS_AT_MOST == 4096 * 4096
    if fits:
        check_claim(rows, columns, frames)
    else:
        with pytest.raises(TooManyPixels, match="at most"):
            check_claim(rows, columns, frames)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_true_frames_say_their_size(plain: Path, syntax: str) -> None:
    ds = dcmread(plain)
    ds.compress(syntax)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)

    assert read_frame_size(frame) == FrameSize(rows=PIXELS, columns=PIXELS, samples=1)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xc0\x00",
        b"\xff\xd8\xff\xd9",
        b"\xff\x4f\xff\x51\x00",
        b"x" * 99,
    ],
)
def test_what_is_no_frame_header_has_no_size(frame: bytes) -> None:
    assert read_frame_size(frame) is None


def test_a_jpeg_ls_size_beyond_its_frame_header_is_read() -> None:
    lse = b"\xff\xf8\x00\x0c\x04\x04" + struct.pack(">II", 70_000, 80_000)
    sof = b"\xff\xf7\x00\x0b\x10" + struct.pack(">HHB", 0, 0, 1) + b"\x01\x11\x00"

    assert read_frame_size(b"\xff\xd8" + lse + sof) == FrameSize(
        rows=70_000, columns=80_000, samples=1
    )


def with_header_bytes(plain: Path, added: bytes) -> Path:
    """The slice with these bytes at the beginning of its data set."""
    data = plain.read_bytes()
    at = 144 + struct.unpack_from("<I", data, 140)[0]
    path = plain.with_name("added.dcm")
    path.write_bytes(data[:at] + added + data[at:])
    return path


def nested(depth: int, *, closed: bool) -> bytes:
    """A private sequence in a sequence, so many times, of undefined length."""
    open_one = struct.pack("<HH2sHI", 0x0001, 0x1001, b"SQ", 0, 0xFFFFFFFF)
    open_one += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    close = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return open_one * depth + (close * depth if closed else b"")


@pytest.mark.parametrize("closed", [True, False])
def test_sequences_nested_without_end_are_refused(plain: Path, closed: bool) -> None:
    path = with_header_bytes(plain, nested(100_000, closed=closed))
    began = time.monotonic()

    with taking_at_most(ROOM_BYTES):
        for read in (read_header, digests, decode_slice):
            with pytest.raises(UnreadableInstance):
                read(path)
    assert time.monotonic() - began < 20


def test_an_element_longer_than_the_file_is_refused_and_takes_no_memory(plain: Path) -> None:
    element = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 0xFFFFFFF0)
    path = with_header_bytes(plain, element)

    with taking_at_most(ROOM_BYTES), pytest.raises(UnreadableInstance, match="bytes"):
        read_header(path)
    with taking_at_most(ROOM_BYTES), pytest.raises(DicomNodeError):
        decode_slice(path)


@pytest.mark.parametrize(
    ("syntax", "marker", "decoder"),
    [(JPEGLSLossless, b"\xff\xf7", "pyjpegls"), (JPEG2000Lossless, b"\xff\x52", "pylibjpeg")],
)
def test_a_broken_frame_never_reaches_the_decoder_that_ends_the_process(
    plain: Path, syntax: str, marker: bytes, decoder: str
) -> None:
    """GDCM does, for a JPEG-LS frame of 0 bits: found by the long run of the fuzzer."""
    ds = dcmread(plain)
    ds.compress(syntax)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    changed = bytearray(frame)
    changed[frame.index(marker) + 4] = 0xFF
    ds.PixelData = encapsulate([bytes(changed)])
    path = plain.with_name("broken.dcm")
    ds.save_as(path)

    with pytest.raises(SeriesRejected, match=decoder) as refused:
        decode_slice(path)
    assert "gdcm" not in str(refused.value)


def test_a_frame_that_ends_its_decoder_is_refused_and_the_next_one_is_decoded(plain: Path) -> None:
    """JPEG Lossless has no decoder but GDCM here, which has a process of its own."""
    expected = decode_slice(plain)
    good = plain.with_name("lossless.dcm")
    shutil.copy(plain, good)
    to_jpeg_lossless(good)
    ds = dcmread(good)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    dice, broken, said = random.Random(SEED), plain.with_name("broken.dcm"), []
    for _ in range(TRIES):
        ds.PixelData = encapsulate([mutated(dice, frame[:HEAD]) + frame[HEAD:]])
        ds.save_as(broken)
        try:
            decode_slice(broken)
        except SeriesRejected as refused:
            said.append(refused.why)

    again = decode_slice(good)

    assert any("process ended" in why for why in said), said
    assert np.array_equal(again, expected)


@pytest.mark.parametrize(("wanted_bytes", "status"), [(100 << 20, 0), (MEMORY_AT_MOST_BYTES, 1)])
def test_a_decoder_gets_no_more_memory_than_its_share(wanted_bytes: int, status: int) -> None:
    serve_then_want = f"decoder_process.main(); bytearray({wanted_bytes})"
    ended = subprocess.run(
        [sys.executable, "-c", f"from dicom_node.read import decoder_process; {serve_then_want}"],
        stdin=subprocess.DEVNULL,
    )

    assert ended.returncode == status


def test_that_no_decoder_can_be_started_says_nothing_of_the_instance(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_jpeg_lossless(plain)
    decode_apart.close()

    def fail(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(subprocess, "Popen", fail)

    with pytest.raises(BlockingIOError):
        decode_slice(plain)
