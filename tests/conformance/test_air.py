"""The lines of docs/air.md: IHE Radiology, AI Results (AIR), Evidence Creator.

The profile's text was not at hand; the lines follow what is quoted of it (docs/air.md says so).
"""

from __future__ import annotations

import ast
import re
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from dicom_node.compose import codes
from dicom_node.compose.content import StageContent
from dicom_node.compose.content_tree import code_of, concept_of, items, tracking_uid_of, walk
from dicom_node.compose.document_check import check_equipment
from dicom_node.compose.identity import device_uid
from dicom_node.compose.profile import ObjectKind, shipped_profile
from dicom_node.read.ct_series import CtSeries
from tests.conftest import REPOSITORY
from tests.unit.dicom_node.compose.cases import (
    ALGORITHM,
    compose_both,
    decode,
    report,
    series_on_disk,
    three_nodules,
)

CHECKLIST = REPOSITORY / "docs/air.md"
LINE = re.compile(r"^\| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAMED_TEST = re.compile(r"`(tests/\S+\.py)::(test_\w+)`")
AIR = shipped_profile("air")
STAGES = tuple(
    StageContent(name=name, version=f"sha256:{digest}", device_uid=device_uid(name, digest))
    for name, digest in (("detector", "a"), ("segmenter", "b"), ("encoder", "c"), ("grader", "d"))
)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    return series_on_disk(tmp_path_factory.mktemp("air"), shape=(12, 60, 64))[0]


@pytest.fixture(scope="module")
def both(series: CtSeries) -> tuple[Dataset, Dataset]:
    """SEG and SR of a result, as a destination of profile ``air`` gets them."""
    content = report(three_nodules(series), algorithm=replace(ALGORITHM, stages=STAGES))
    seg, sr = compose_both(series, content, profile=AIR)
    assert seg is not None
    return decode(seg), decode(sr)


@pytest.fixture(scope="module")
def sr(both: tuple[Dataset, Dataset]) -> Dataset:
    return both[1]


@pytest.fixture(scope="module")
def seg(both: tuple[Dataset, Dataset]) -> Dataset:
    return both[0]


def processing(ds: Dataset) -> list[Dataset]:
    return [
        item
        for item in ds.ContributingEquipmentSequence
        if code_of(item, "PurposeOfReferenceCodeSequence") == codes.PROCESSING_EQUIPMENT
        and item.ManufacturerModelName != "highdicom"  # which enters itself
    ]


def test_results_are_comprehensive_3d_sr_of_root_template_1500_and_a_segmentation(
    seg: Dataset, sr: Dataset
) -> None:
    assert (sr.SOPClassUID, seg.SOPClassUID) == (Comprehensive3DSRStorage, SegmentationStorage)
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert set(AIR.objects) >= {ObjectKind.SR, ObjectKind.SEG}


@pytest.mark.parametrize("which", ["sr", "seg"])
def test_each_algorithm_is_contributing_equipment(seg: Dataset, sr: Dataset, which: str) -> None:
    found = processing(sr if which == "sr" else seg)

    assert [str(item.DeviceUID) for item in found] == [
        ALGORITHM.device_uid,
        *(stage.device_uid for stage in STAGES),
    ]
    assert [item.ManufacturerModelName for item in found] == [
        "Pulmonode",
        *(f"Pulmonode {stage.name}" for stage in STAGES),
    ]
    assert all(item.Manufacturer and item.SoftwareVersions for item in found)


def test_a_planted_lack_of_contributing_equipment_is_seen(sr: Dataset) -> None:
    broken = deepcopy(sr)
    broken.ContributingEquipmentSequence = [
        item
        for item in sr.ContributingEquipmentSequence
        if code_of(item, "PurposeOfReferenceCodeSequence") != codes.PROCESSING_EQUIPMENT
    ]
    twice = deepcopy(sr)
    twice.ContributingEquipmentSequence = [processing(sr)[0], processing(sr)[0]]

    assert list(check_equipment(sr)) == []
    assert "no Processing Equipment" in next(check_equipment(broken))
    assert "share a Device UID" in next(check_equipment(twice))


def test_another_model_has_another_device_uid() -> None:
    """What `workers.translate` makes of the weights' digests."""
    assert device_uid("detector", "a") != device_uid("detector", "b")
    assert device_uid("detector", "a") != device_uid("segmenter", "a")


def test_observer_and_algorithm_identification_equal_the_equipment(sr: Dataset) -> None:
    whole = processing(sr)[0]
    said = {
        concept: {str(item.get("UID") or item.get("TextValue")) for item in walk(sr)
                  if concept_of(item) == concept}
        for concept in (
            codes.DEVICE_OBSERVER_UID, codes.DEVICE_OBSERVER_MANUFACTURER,
            codes.DEVICE_OBSERVER_MODEL_NAME, codes.ALGORITHM_NAME, codes.ALGORITHM_VERSION,
        )
    }  # fmt: skip

    assert said == {
        codes.DEVICE_OBSERVER_UID: {str(whole.DeviceUID)},
        codes.DEVICE_OBSERVER_MANUFACTURER: {whole.Manufacturer},
        codes.DEVICE_OBSERVER_MODEL_NAME: {whole.ManufacturerModelName},
        codes.ALGORITHM_NAME: {ALGORITHM.name},
        codes.ALGORITHM_VERSION: {ALGORITHM.version},
    }
    assert whole.SoftwareVersions == f"{ALGORITHM.name} {ALGORITHM.version}"


def test_the_procedure_reported_is_the_imaging_procedure(sr: Dataset) -> None:
    (procedure,) = items(sr, codes.PROCEDURE_REPORTED, "CODE")

    assert code_of(procedure, "ConceptCodeSequence") == codes.CT_OF_CHEST


def test_a_result_is_unverified_and_says_so_in_words(sr: Dataset) -> None:
    texts = " ".join(str(item.get("TextValue") or "") for item in walk(sr))

    assert sr.VerificationFlag == "UNVERIFIED"
    assert "Not verified by a physician" in texts
    assert "unverified" in sr.SeriesDescription


def test_the_evidence_lists_every_image_and_the_segmentation_once(
    series: CtSeries, seg: Dataset, sr: Dataset
) -> None:
    (study,) = sr.CurrentRequestedProcedureEvidenceSequence
    listed = [
        str(reference.ReferencedSOPInstanceUID)
        for each in study.ReferencedSeriesSequence
        for reference in each.ReferencedSOPSequence
    ]

    assert sorted(listed) == sorted([*series.sop_instance_uids, str(seg.SOPInstanceUID)])


def test_every_finding_has_one_tracking_uid_in_report_and_segmentation(
    seg: Dataset, sr: Dataset
) -> None:
    groups = [item for item in walk(sr) if concept_of(item) == codes.MEASUREMENT_GROUP]
    tracked = {str(segment.TrackingUID): segment.TrackingID for segment in seg.SegmentSequence}

    assert {tracking_uid_of(group) for group in groups} == set(tracked)
    for group in groups:
        (name,) = items(group, codes.TRACKING_IDENTIFIER, "TEXT")
        assert name.TextValue == tracked[tracking_uid_of(group)]


def test_locations_are_coordinates_on_an_image_that_is_named(sr: Dataset) -> None:
    regions = [item for item in walk(sr) if item.get("ValueType") == "SCOORD"]

    assert len(regions) == 3 * 3  # two axes and an outline of each nodule
    assert all(concept_of(image) == codes.SOURCE for item in regions for image in items(item))


def test_the_segmentation_names_its_equipment_and_algorithm(seg: Dataset) -> None:
    for keyword in (
        "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions",
    ):  # fmt: skip
        assert seg.get(keyword)
    for segment in seg.SegmentSequence:
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentAlgorithmName == ALGORITHM.name
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmFamilyCodeSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (
            ALGORITHM.name,
            ALGORITHM.version,
        )


@cache
def _tests_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_line_of_the_checklist_names_tests_that_exist() -> None:
    lines = LINE.findall(CHECKLIST.read_text())
    missing = []
    for number, _, tests in lines:
        named = NAMED_TEST.findall(tests)
        missing += [number] * (not named)
        missing += [
            f"{number}: {path}::{test}"
            for path, test in named
            if not (REPOSITORY / path).exists() or test not in _tests_of(REPOSITORY / path)
        ]

    assert [int(number) for number, *_ in lines] == list(range(1, len(lines) + 1))
    assert len(lines) >= 12
    assert missing == []


def test_every_test_of_this_file_stands_in_the_checklist() -> None:
    named = {test for _, test in NAMED_TEST.findall(CHECKLIST.read_text())}
    here = {name for name in _tests_of(Path(__file__)) if name.startswith("test_")}

    assert here - named == {
        "test_every_line_of_the_checklist_names_tests_that_exist",
        "test_every_test_of_this_file_stands_in_the_checklist",
    }
