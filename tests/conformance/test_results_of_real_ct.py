"""The results of every real series, as the command writes them: conformant, and where findings.json
says."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pypdf import PdfReader

from dicom_node.compose.segment_check import check_seg, measure_agreement
from dicom_node.compose.template_check import check_sr
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.series import load_ct_series
from tests.conformance.checkers import dcentvfy_beside, dciodvfy, dsrdump, read_back
from tests.conftest import REPOSITORY, need_ct
from workers.case import CaseResult
from workers.local import write_result

SERIES = (
    "lidc_idri_0001",
    "cmb_crc_MSB-01068",
    "cptac_lscc_C3N-00247",
    "lung_pet_ct_dx_A0001",
    "lung_fused_LungFCP-01-0001",
)
PLACE_TOLERANCE_MM = 0.01
"""SCOORD values are 32-bit floats; at column 500 that is 3e-5 pixels."""


@dataclass
class Analysed:
    ct: list[Path]
    out: Path
    findings: dict[str, Any]
    series: CtSeries

    @property
    def objects(self) -> list[Path]:
        return sorted(self.out.glob("*.dcm"))


@pytest.fixture(scope="module")
def analyse_once(
    analysed_ct: Callable[[str], CaseResult], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Analysed]:
    """Results of a series by its name, written to a folder."""

    @functools.cache
    def analyse(name: str) -> Analysed:
        folder = need_ct(name) / "dicom"
        out = tmp_path_factory.mktemp(name)
        write_result(analysed_ct(name), out)
        paths = sorted(folder.glob("*.dcm"))
        return Analysed(
            ct=paths,
            out=out,
            findings=json.loads((out / "findings.json").read_text()),
            series=load_ct_series(paths),
        )

    return analyse


@pytest.fixture(scope="module", params=SERIES)
def analysed(request: pytest.FixtureRequest, analyse_once: Callable[[str], Analysed]) -> Analysed:
    return analyse_once(request.param)


@pytest.mark.peer
@pytest.mark.real_ct
def test_the_objects_of_every_real_series_are_conformant(analysed: Analysed) -> None:
    report = dcmread(analysed.out / "sr.dcm")
    has_seg = bool(analysed.findings["nodules"])
    seg = dcmread(analysed.out / "seg.dcm") if has_seg else None

    assert [path.name for path in analysed.objects] == (
        ["seg.dcm", "sr.dcm"] if has_seg else ["sr.dcm"]
    )
    assert {path.name: dciodvfy(path) for path in analysed.objects} == {
        path.name: [] for path in analysed.objects
    }
    assert dcentvfy_beside(analysed.ct, analysed.objects) == []
    assert dsrdump(analysed.out / "sr.dcm") == []
    assert check_sr(report, seg=seg) == []
    if seg is not None:
        assert check_seg(seg, analysed.series) == []
        assert measure_agreement(report, seg, analysed.series) == []
        uids = list(analysed.series.sop_instance_uids)
        nodules = read_back(analysed.out / "sr.dcm", analysed.out / "seg.dcm", uids)
        assert len(nodules) == len(analysed.findings["nodules"])


@pytest.mark.real_ct
def test_findings_follow_their_schema(analysed: Analysed) -> None:
    schema = json.loads((REPOSITORY / "docs/findings.schema.json").read_text())

    jsonschema.validate(analysed.findings, schema)


@pytest.mark.real_ct
def test_lines_and_voxels_lie_where_the_findings_say(analysed: Analysed) -> None:
    if not analysed.findings["nodules"]:
        assert not (analysed.out / "seg.dcm").exists()
        return

    report, seg = dcmread(analysed.out / "sr.dcm"), dcmread(analysed.out / "seg.dcm")

    assert misplaced_lines(analysed, report) == []
    assert misplaced_segments(analysed, seg) == []


@pytest.mark.real_ct
def test_a_planted_shift_of_half_a_pixel_is_seen(analysed: Analysed) -> None:
    if not analysed.findings["nodules"]:
        assert analysed.findings["status"] == "analysed"
        return
    report = dcmread(analysed.out / "sr.dcm")
    for item in tree_of(report):
        if item.get("ValueType") == "SCOORD":
            item.GraphicData = [float(value) - 0.5 for value in item.GraphicData]
    seg = dcmread(analysed.out / "seg.dcm")
    shifted = deepcopy(seg)
    for frame in shifted.PerFrameFunctionalGroupsSequence:
        plane = frame.PlanePositionSequence[0]
        x, y, z = (float(value) for value in plane.ImagePositionPatient)
        half_mm = 0.5 * analysed.series.affine[0, 2]
        plane.ImagePositionPatient = [x + float(half_mm), y, z]

    assert len(misplaced_lines(analysed, report)) == 2 * len(analysed.findings["nodules"])
    assert len(misplaced_segments(analysed, shifted)) == len(analysed.findings["nodules"])


@pytest.mark.real_ct
def test_the_known_lesion_of_lidc_0001_is_listed_among_few(
    analyse_once: Callable[[str], Analysed],
) -> None:
    """The readers' own centroid, from annotations.json; at most ten nodules are listed."""
    folder = need_ct("lidc_idri_0001")
    truth = json.loads((folder / "annotations.json").read_text())["nodules"][0]
    nodules = analyse_once("lidc_idri_0001").findings["nodules"]
    distances = [
        np.linalg.norm(np.subtract(nodule["centre_lps_mm"], truth["centroid_world_lps_mm"]))
        for nodule in nodules
    ]

    assert len(nodules) <= 10
    assert min(distances) <= 10.0


def tree_of(ds: Dataset) -> list[Dataset]:
    """Every content item below a report, depth first."""
    items = []
    for item in ds.get("ContentSequence") or ():
        items += [item, *tree_of(item)]
    return items


def misplaced_lines(analysed: Analysed, report: Dataset) -> list[str]:
    """Axes of the report whose ends are not those of findings.json, in LPS mm."""
    headers = {str(header.SOPInstanceUID): header for header in analysed.series.headers}
    wrong = []
    for nodule in analysed.findings["nodules"]:
        for name in ("Long Axis", "Short Axis"):
            wanted = nodule[name.lower().replace(" ", "_")]
            ends = _line_lps_mm(report, nodule["tracking_uid"], name, headers)
            expected = np.array([wanted["start_lps_mm"], wanted["end_lps_mm"]])
            if np.abs(ends - expected).max() > PLACE_TOLERANCE_MM:
                wrong.append(f"nodule {nodule['id']} {name}")
    return wrong


def _line_lps_mm(
    report: Dataset, tracking_uid: str, name: str, headers: dict[str, Dataset]
) -> NDArray[np.float64]:
    for group in tree_of(report):
        children = group.get("ContentSequence") or ()
        if not any(child.get("UID") == tracking_uid for child in children):
            continue
        for child in children:
            if child.ConceptNameCodeSequence[0].CodeMeaning == name:
                (line,) = child.ContentSequence
                (image,) = line.ContentSequence
                uid = image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
                return _to_lps_mm(line.GraphicData, headers[str(uid)])
    raise AssertionError(f"no {name} for {tracking_uid}")


def _to_lps_mm(graphic_data: Any, header: Dataset) -> NDArray[np.float64]:
    """PS3.3 C.18.6.1.1 and C.7.6.2.1.1: from the corner to the patient."""
    points = np.array(graphic_data, dtype=np.float64).reshape(-1, 2) - 0.5
    position = np.array(header.ImagePositionPatient, dtype=np.float64)
    cosines = np.array(header.ImageOrientationPatient, dtype=np.float64)
    rows_mm, columns_mm = (float(value) for value in header.PixelSpacing)
    return np.asarray(
        position + points[:, :1] * cosines[:3] * columns_mm + points[:, 1:] * cosines[3:] * rows_mm
    )


def misplaced_segments(analysed: Analysed, seg: Dataset) -> list[str]:
    """Segments whose voxels are not those of findings.json, by the SEG's own geometry."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    rows_mm, columns_mm = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    points: dict[int, list[NDArray[np.float64]]] = {}
    for frame, plane in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        identification = (
            frame.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        )
        number = int(identification[0].ReferencedSegmentNumber)
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
        j, i = np.nonzero(plane)
        points.setdefault(number, []).append(
            position + i[:, None] * cosines[:3] * columns_mm + j[:, None] * cosines[3:] * rows_mm
        )
    numbers = {str(segment.TrackingUID): int(segment.SegmentNumber)
               for segment in seg.SegmentSequence}  # fmt: skip
    wrong = []
    for nodule in analysed.findings["nodules"]:
        voxels = np.concatenate(points[numbers[nodule["tracking_uid"]]])
        away_mm = np.abs(voxels.mean(axis=0) - nodule["centre_lps_mm"]).max()
        if len(voxels) != nodule["voxel_count"] or away_mm > PLACE_TOLERANCE_MM:
            wrong.append(f"nodule {nodule['id']}")
    return wrong


@pytest.mark.real_ct
def test_the_folder_holds_a_page_and_a_picture_of_each_nodule(analysed: Analysed) -> None:
    pages = PdfReader(analysed.out / "report.pdf").pages
    wanted = {f"key_{nodule['id']}.png" for nodule in analysed.findings["nodules"]}

    assert len(pages) == 1
    assert pages[0].extract_text().count("Research use, not for diagnosis") == 2
    assert {path.name for path in analysed.out.glob("key_*.png")} == wanted
