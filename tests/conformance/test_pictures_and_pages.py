"""Key images and pages of a real drawing, as validators, DCMTK and Orthanc take them."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from dicom_node.compose.encapsulated_pdf import compose_pdf
from dicom_node.compose.secondary_capture import KeyPicture, compose_key_image
from dicom_node.deliver.peer import Peer, associated
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from tests.conformance.checkers import dcentvfy, dciodvfy
from tests.conftest import need_program
from tests.unit.dicom_node.compose.cases import series_on_disk
from tests.unit.workers.page_cases import CREATED, filled, findings_of, nodules_of
from workers.page.draw import draw_case
from workers.translate import to_report_content

pytestmark = pytest.mark.peer


@dataclass(frozen=True)
class Case:
    ct: list[Path]
    key_image: Path
    page: Path
    rgb: NDArray[np.uint8]
    pdf: bytes


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("pictures")
    empty, ct = series_on_disk(folder / "ct")
    series = filled(empty)
    findings = findings_of(nodules_of(series, 1))
    drawn = draw_case(series, findings, revision=1, created=CREATED, language="en")
    content = to_report_content(findings, revision=1, tracking_uids=["2.25.1"])
    rgb = np.asarray(drawn.nodules[0].sheet)
    picture = KeyPicture(number=1, rgb=rgb, slices=drawn.nodules[0].slices)
    made = {
        "key_image": compose_key_image(series, content, picture, created=CREATED),
        "page": compose_pdf(series, content, drawn.page, created=CREATED),
    }
    for name, composed in made.items():
        (folder / f"{name}.dcm").write_bytes(composed.data)
    return Case(ct, folder / "key_image.dcm", folder / "page.dcm", rgb, drawn.page)


def test_dciodvfy_finds_no_error(case: Case) -> None:
    assert [dciodvfy(path) for path in (case.key_image, case.page)] == [[], []]


def test_dcentvfy_finds_no_error_across_ct_and_results(case: Case) -> None:
    assert dcentvfy([*case.ct, case.key_image, case.page]) == []


@pytest.mark.parametrize(
    ("which", "keyword"),
    [
        ("key_image", "ConversionType"),
        ("key_image", "SamplesPerPixel"),
        ("key_image", "BodyPartExamined"),
        ("page", "MIMETypeOfEncapsulatedDocument"),
        ("page", "BurnedInAnnotation"),
        ("page", "EncapsulatedDocument"),
    ],
)
def test_dciodvfy_sees_what_is_missing(
    case: Case, tmp_path: Path, which: str, keyword: str
) -> None:
    ds = dcmread(getattr(case, which))
    delattr(ds, keyword)
    ds.save_as(tmp_path / "broken.dcm")

    assert dciodvfy(tmp_path / "broken.dcm") != []


def test_dcentvfy_sees_a_source_that_is_not_there(case: Case) -> None:
    middle = len(case.ct) // 2
    without = case.ct[:middle] + case.ct[middle + 1 :]

    for ours in (case.key_image, case.page):
        assert any("Missing SOPInstanceUID" in error for error in dcentvfy([*without, ours]))


def test_dcmtk_gives_the_pdf_back_byte_by_byte(case: Case, tmp_path: Path) -> None:
    assert from_dcmtk(case.page, tmp_path) == case.pdf


def test_a_padded_document_would_come_back_changed(case: Case, tmp_path: Path) -> None:
    ds = dcmread(case.page)
    ds.EncapsulatedDocument = case.pdf + b"\0\0"
    ds.save_as(tmp_path / "padded.dcm")

    assert from_dcmtk(tmp_path / "padded.dcm", tmp_path) != case.pdf


def from_dcmtk(path: Path, folder: Path) -> bytes:
    subprocess.run([need_program("dcm2pdf"), str(path), str(folder / "back.pdf")], check=True)
    return (folder / "back.pdf").read_bytes()


def test_dcmtk_draws_the_key_image_as_it_was(case: Case, tmp_path: Path) -> None:
    subprocess.run(
        [need_program("dcmj2pnm"), "--write-png", str(case.key_image), str(tmp_path / "key.png")],
        check=True,
    )

    assert np.array_equal(np.asarray(Image.open(tmp_path / "key.png").convert("RGB")), case.rgb)


@dataclass(frozen=True)
class Orthanc:
    peer: Peer
    url: str

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:  # noqa: S310
            return bytes(answer.read())

    def instance(self, sop_instance_uid: str) -> str:
        """Orthanc's own name of an instance."""
        query = json.dumps(
            {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}}
        ).encode()
        with urllib.request.urlopen(self.url + "/tools/find", query, timeout=30) as answer:  # noqa: S310
            (name,) = json.load(answer)
        return str(name)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    program, folder = need_program("Orthanc"), tmp_path_factory.mktemp("orthanc")
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            ports.append(probe.getsockname()[1])
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": ports[0],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": ports[1],
        "DicomAlwaysAllowStore": True,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    found = Orthanc(
        peer=Peer(ae_title="ORTHANC", host="127.0.0.1", port=ports[1]),
        url=f"http://127.0.0.1:{ports[0]}",
    )
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(folder / "orthanc.json")],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, (folder / "orthanc.log").read_text()
            assert time.monotonic() < deadline, "Orthanc does not answer"
            try:
                found.get("/system")
                break
            except OSError:
                time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_orthanc_stores_both_shows_the_picture_and_gives_the_page_back(
    case: Case, orthanc: Orthanc
) -> None:
    outgoing = [read_outgoing(path) for path in (case.key_image, case.page)]
    with associated(orthanc.peer, "PULMONODE", storage_contexts(outgoing)) as assoc:
        receipts = list(store_all(assoc, orthanc.peer, outgoing))

    assert [receipt.warning for receipt in receipts] == [None, None]
    key_image, page = (
        orthanc.instance(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID))
        for path in (case.key_image, case.page)
    )
    shown = Image.open(io.BytesIO(orthanc.get(f"/instances/{key_image}/preview")))
    assert np.array_equal(np.asarray(shown.convert("RGB")), case.rgb)
    assert orthanc.get(f"/instances/{page}/pdf") == case.pdf
