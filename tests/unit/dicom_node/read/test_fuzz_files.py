"""Files that are wrong in every way: the reader refuses them with a reason or reads them."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.errors import DicomNodeError
from dicom_node.read.header import digests, read_header
from dicom_node.read.series import decode_slice
from tests.unit.dicom_node.read.ct_builder import to_jpeg_lossless
from tests.unit.dicom_node.receive.fuzzing import mutated

SHORT_S = 60.0
"""In `make test`; the long form reads a hundred thousand files."""
LONG_FILES = 100_000
WARM_UP_FILES = 50
GROWTH_BYTES = 50 * 1024 * 1024
SLOWEST_S = 20.0
SEED = 20261126
PIXELS = 64


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """One slice in each way of writing it."""
    folder = tmp_path_factory.mktemp("originals")
    hu = np.random.default_rng(0).normal(-500, 200, (PIXELS, PIXELS)).astype(np.int16)
    plain = folder / "plain.dcm"
    slice_dataset(hu, 0, 1, np.eye(4), CtIdentity(key="fuzz")).save_as(
        plain, enforce_file_format=True
    )
    found = [plain.read_bytes()]
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        ds = dcmread(plain)
        ds.file_meta.TransferSyntaxUID = syntax
        path = folder / f"{syntax}.dcm"
        ds.save_as(path, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
        found.append(path.read_bytes())
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        ds = dcmread(plain)
        ds.compress(syntax)
        path = folder / f"{syntax}.dcm"
        ds.save_as(path)
        found.append(path.read_bytes())
    to_jpeg_lossless(plain)
    return [*found, plain.read_bytes()]


@pytest.fixture(autouse=True)
def _pytest_keeps_no_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    """Of what pydicom logs, for as long as a test runs: that would be the growth."""
    caplog.set_level(logging.CRITICAL + 1, logger="pydicom")


def broken_files(originals: list[bytes]) -> Iterator[bytes]:
    """Without end: cut, changed, joined, or noise after a true beginning."""
    dice = random.Random(SEED)
    for data in itertools.cycle(originals):
        way = dice.randrange(6)
        at = dice.randrange(132, len(data))
        if way == 0:
            yield data[:at]
        elif way == 1:
            yield data[:at] + dice.randbytes(dice.randrange(1, 2000))
        elif way == 2:
            yield data[:at] + dice.choice(originals)[132:]
        else:  # header elements stand in the first part, where most of what can go wrong is
            end = min(len(data), 132 + dice.choice((300, 1500, 4000)))
            yield data[:132] + mutated(dice, data[132:end]) + data[end:]


def read_all(originals: list[bytes], path: Path, *, until: float | None, files: int | None) -> int:
    """Read broken files until a time or a number of them; how many, and none of them crashed."""
    process = psutil.Process()
    baseline, refused, slowest = 0, 0, 0.0
    for count, data in enumerate(broken_files(originals), start=1):
        path.write_bytes(data)
        began = time.perf_counter()
        try:
            read_header(path)
            digests(path)
            decode_slice(path)
        except DicomNodeError:
            refused += 1
        slowest = max(slowest, time.perf_counter() - began)
        if count == WARM_UP_FILES:
            baseline = process.memory_info().rss
        if (until and time.monotonic() > until) or (files and count >= files):
            break
    assert refused, "not one was refused: nothing was broken"
    assert slowest < SLOWEST_S, f"one file took {slowest:.0f} s"
    if baseline:
        assert process.memory_info().rss - baseline < GROWTH_BYTES
    return count


@pytest.mark.filterwarnings("ignore")  # pydicom warns about what is wrong with a file
def test_files_made_wrong_are_refused_or_read(originals: list[bytes], tmp_path: Path) -> None:
    read = read_all(originals, tmp_path / "x.dcm", until=time.monotonic() + SHORT_S, files=None)

    assert read > WARM_UP_FILES


@pytest.mark.long
@pytest.mark.timeout(6 * 3600)
@pytest.mark.filterwarnings("ignore")  # as above
def test_a_hundred_thousand_files_made_wrong_are_refused_or_read(
    originals: list[bytes], tmp_path: Path
) -> None:
    read = read_all(originals, tmp_path / "x.dcm", until=None, files=LONG_FILES)

    assert read >= LONG_FILES
