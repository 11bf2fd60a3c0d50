from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.compose.content import NoduleContent, NotAnalysedSeries
from dicom_node.compose.segment_check import check_seg, measure_agreement
from dicom_node.compose.sr_document import Reference
from dicom_node.compose.sr_not_analysed import compose_not_analysed
from dicom_node.compose.template_check import check_sr
from dicom_node.read.ct_series import CtSeries
from tests.conformance.checkers import (
    dcentvfy,
    dcentvfy_beside,
    dciodvfy,
    dsrdump,
    read_back,
)
from tests.conftest import need_ct, need_program
from tests.unit.dicom_node.compose.cases import (
    CREATED,
    compose_both,
    oblique_affine,
    read_headers,
    report,
    series_on_disk,
    three_nodules,
)

REAL_CT = (
    "cmb_crc_MSB-01068",
    "cptac_lscc_C3N-00247",
    "lidc_idri_0001",
    "lung_fused_LungFCP-01-0001",
    "lung_pet_ct_dx_A0001",
)
PHANTOM = "oblique descending phantom"


@dataclass(frozen=True)
class Case:
    series: CtSeries
    ct: list[Path]
    nodules: tuple[NoduleContent, ...]
    seg: Path
    sr: Path
    negative: Path
    phantom: bool


@pytest.fixture(
    scope="module",
    params=[PHANTOM, *(pytest.param(name, marks=pytest.mark.real_ct) for name in REAL_CT)],
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("composed")
    if request.param == PHANTOM:
        # 100 columns: no multiple of 8, so that frames do not begin on a byte's border.
        series, ct = series_on_disk(
            folder / "ct", shape=(20, 91, 100), affine=oblique_affine(), descending=True
        )
    else:
        ct = sorted((need_ct(request.param) / "dicom").iterdir())
        series = read_headers(ct)
    nodules = three_nodules(series)
    seg, sr = compose_both(series, report(nodules))
    _, negative = compose_both(series, report())
    assert seg is not None
    paths = [folder / f"{name}.dcm" for name in ("seg", "sr", "negative")]
    for path, composed in zip(paths, (seg, sr, negative), strict=True):
        path.write_bytes(composed.data)
    return Case(series, ct, nodules, *paths, phantom=request.param == PHANTOM)


@pytest.mark.peer
def test_dciodvfy_finds_no_error(case: Case) -> None:
    found = {path.name: dciodvfy(path) for path in (case.seg, case.sr, case.negative)}

    assert found == {"seg.dcm": [], "sr.dcm": [], "negative.dcm": []}


@pytest.mark.peer
def test_dciodvfy_finds_no_error_in_our_simulated_ct(tmp_path: Path) -> None:
    _, ct = series_on_disk(tmp_path, affine=oblique_affine(), shape=(3, 16, 18))

    assert [dciodvfy(path) for path in ct] == [[], [], []]


@pytest.mark.peer
def test_dcentvfy_finds_no_error_across_ct_and_results(case: Case) -> None:
    for ours in ([case.seg, case.sr], [case.negative]):
        errors = dcentvfy([*case.ct, *ours]) if case.phantom else dcentvfy_beside(case.ct, ours)

        assert errors == []


@pytest.mark.peer
def test_dsrdump_reads_the_reports(case: Case) -> None:
    assert [dsrdump(case.sr), dsrdump(case.negative)] == [[], []]


def test_our_own_checks_find_nothing(case: Case) -> None:
    seg, sr = dcmread(case.seg), dcmread(case.sr)

    assert check_sr(sr, seg=seg) == []
    assert check_sr(dcmread(case.negative)) == []
    assert check_seg(seg, case.series) == []
    assert measure_agreement(sr, seg, case.series) == []


def test_highdicom_reads_back_what_was_put_in(case: Case) -> None:
    found = read_back(case.sr, case.seg, list(case.series.sop_instance_uids))

    assert [each.tracking_uid for each in found] == [each.tracking_uid for each in case.nodules]
    for got, put in zip(found, case.nodules, strict=True):
        mask = np.zeros(case.series.hu.shape, dtype=bool)
        box = tuple(
            slice(start, start + size)
            for start, size in zip(put.mask_origin_kji, put.mask.shape, strict=True)
        )
        mask[box] = put.mask
        assert np.array_equal(got.mask, mask)
        for meaning, axis in (("Long Axis", put.long_axis), ("Short Axis", put.short_axis)):
            ends = np.array([axis.start_ji, axis.end_ji])[:, ::-1] + 0.5
            assert got.axes_scoord[meaning] == pytest.approx(ends, abs=1e-3)  # 32-bit floats
        drawn = got.contour_scoord[:-1, ::-1] - 0.5
        assert drawn == pytest.approx(put.contour_ji, abs=1e-3)
        assert got.values["Volume"] == pytest.approx(put.volume_mm3, abs=0.06)


@pytest.mark.peer
def test_a_report_that_nothing_was_analysed_is_conformant(tmp_path: Path) -> None:
    series, ct = series_on_disk(tmp_path / "ct", shape=(4, 20, 20))
    missed = NotAnalysedSeries(number=3, images=4, code="thickness", why="slices 8 mm thick")
    composed = compose_not_analysed(
        series.headers[0],
        report(not_analysed=(missed,)),
        key="1.2.3",
        evidence=[Reference.to(header) for header in series.headers],
        created=CREATED,
    )
    path = tmp_path / "sr.dcm"
    path.write_bytes(composed.data)

    assert dciodvfy(path) == []
    assert dcentvfy([*ct, path]) == []
    assert dsrdump(path) == []
    assert check_sr(dcmread(path)) == []


@pytest.mark.peer
def test_the_validators_do_see_a_fault(tmp_path: Path) -> None:
    series, ct = series_on_disk(tmp_path / "ct")
    seg, sr = compose_both(series, report(three_nodules(series)))
    assert seg is not None
    for name, composed in (("seg.dcm", seg), ("sr.dcm", sr)):
        (tmp_path / name).write_bytes(composed.data)
    broken = dcmread(tmp_path / "seg.dcm")
    del broken.SegmentSequence
    broken.save_as(tmp_path / "broken.dcm")

    assert dciodvfy(tmp_path / "broken.dcm") != []
    assert dcentvfy([*ct[:-1], tmp_path / "sr.dcm"]) != []


@pytest.mark.peer
def test_dcmdump_shows_the_declared_character_set(tmp_path: Path, chinese: CtSeries) -> None:
    path = tmp_path / "sr.dcm"
    path.write_bytes(compose_both(chinese, report())[1].data)

    said = subprocess.run(
        [need_program("dcmdump"), "+P", "0008,0005", str(path)], capture_output=True, text=True
    )

    assert "GB18030" in said.stdout


@pytest.fixture
def chinese(tmp_path: Path) -> CtSeries:
    series, paths = series_on_disk(tmp_path / "ct", shape=(8, 60, 60))
    for path in paths:
        ds = dcmread(path)
        ds.SpecificCharacterSet = "GB18030"
        ds.PatientName = "Wang^XiaoDong=王^小东"
        ds.save_as(path)
    del series
    return read_headers(paths)
