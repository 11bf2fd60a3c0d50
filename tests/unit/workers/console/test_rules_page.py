"""Rules that are tried on uploaded files, and archives that are no use."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.unit.workers.console.browser import signed_in
from workers.access_errors import RequestRefused
from workers.application import Application
from workers.console.uploads import unpack
from workers.phantom import write_phantom
from workers.state.access_tables import Role


def zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*.dcm")):
            archive.write(path, f"../../{path.name}")
    return packed.getvalue()


def test_rules_are_tried_on_an_archive(app: Application, tmp_path: Path) -> None:
    write_phantom(tmp_path / "ct", slices=8, pixels=64, pixel_spacing_mm=5.0, nodules=[])
    browser = signed_in(app, Role.OPERATOR)
    data = {"csrf_token": browser.csrf}

    page = browser.post(
        "/rules/test", data=data, files={"files": ("study.zip", zipped(tmp_path / "ct"))}
    ).text
    refused = browser.post("/rules/test", data=data, files={"files": ("a.txt", b"nothing")})

    assert "would not be analysed" in page
    assert "The pixels are too coarse" in page
    assert refused.status_code == 422


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(5_000_000))

    with pytest.raises(RequestRefused, match="too much"):
        unpack([packed], tmp_path, limit_bytes=1_000_000)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("slice.dcm", bytes(range(256)) * 100)
    data = bytearray(packed.getvalue())
    data[60:70] = bytes(10)

    with pytest.raises(RequestRefused, match="damaged"):
        unpack([io.BytesIO(data)], tmp_path, limit_bytes=10_000_000)
