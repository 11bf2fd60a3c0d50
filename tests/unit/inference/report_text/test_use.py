"""Reported nodules as rows for the grader, as vectors, and linked to detected ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import sentence_encoder
from inference.attributes import ATTRIBUTES
from inference.findings import Nodule
from inference.image_row import REPORT_COLUMNS
from inference.report_text.embedding import embed_nodules, say_in_english
from inference.report_text.extract import extract
from inference.report_text.facts import ReportedNodule
from inference.report_text.link import Unmatched, link_nodules
from inference.report_text.to_modality import report_columns, report_rows
from tests.unit.inference.report_text.detected import detected


def test_columns_are_those_of_the_report_modality() -> None:
    assert tuple(report_columns(ReportedNodule())) == REPORT_COLUMNS


def test_a_rows_values_stand_on_the_readers_scales() -> None:
    told = extract("Ill-defined, spiculated ground-glass nodule, RUL, not calcified.").nodules

    (row,) = report_rows(told)

    named = dict(zip(ATTRIBUTES, row.tolist(), strict=True))
    assert named["texture"] == 1.0
    assert named["margin"] == 1.0
    assert named["spiculation"] == 4.0
    assert named["calcification"] == 6.0
    assert np.isnan([named["subtlety"], named["sphericity"], named["lobulation"]]).all()


@pytest.mark.parametrize(
    ("words", "rating"),
    [
        ("popcorn calcification", 1.0),
        ("laminated calcification", 2.0),
        ("calcified nodule", 3.0),
        ("eccentric calcification", 4.0),
        ("central calcification", 5.0),
        ("possible calcification", np.nan),
        ("calcification", np.nan),
    ],
)
def test_calcification_is_a_kind_and_none_is_guessed(words: str, rating: float) -> None:
    told = extract(f"6 mm nodule in the RUL, {words}.").nodules

    value = report_rows(told)[0, ATTRIBUTES.index("calcification")]

    assert value == pytest.approx(rating, nan_ok=True)


def test_a_nodule_that_the_report_does_not_name_is_unknown_throughout() -> None:
    assert np.isnan(report_rows([None])).all()
    assert report_rows([]).shape == (0, 8)


RUL8 = ReportedNodule(size_mm=8.0, lobe="RUL", laterality="right", type="solid")
LLL5 = ReportedNodule(size_mm=5.0, lobe="LLL", laterality="left")


def test_nodules_are_linked_by_lobe_and_size_one_to_one() -> None:
    found = [
        detected(1, lobe="right upper lobe", long_mm=5.0),
        detected(2, lobe="right upper lobe", long_mm=8.4),
        detected(3, lobe="left lower lobe", long_mm=5.2),
    ]

    linked = link_nodules([LLL5, RUL8], found)

    assert [(link.reported, link.detected) for link in linked.links] == [(0, 3), (1, 2)]
    assert linked.links[1].why == ("lobe RUL", "reported 8 mm, measured 8.4 mm")
    assert linked.detected_only == (1,)
    assert linked.to_search == ()


def test_two_alike_never_share_one_detected_nodule() -> None:
    linked = link_nodules([RUL8, RUL8], [detected(1, lobe="right upper lobe", long_mm=8.0)])

    assert len(linked.links) == 1
    assert len(linked.to_search) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"lobe": "left upper lobe", "laterality": "left"},
        {"lobe": "right lower lobe", "lobe_probability": 0.95},
        {"lobe": "right upper lobe", "long_mm": 20.0},
    ],
    ids=["other side", "surely another lobe", "much larger"],
)
def test_what_cannot_be_it_is_searched_for(other: dict[str, Any]) -> None:
    linked = link_nodules([RUL8], [detected(1, **{"long_mm": 8.0, **other})])

    assert linked.links == ()
    assert linked.to_search == (
        Unmatched(
            reported=0,
            why="no detected nodule fits in place and size",
            side="right",
            lobes=("right upper lobe",),
            size_mm=(4.8, 11.2),
        ),
    )


def test_a_lobe_that_is_hardly_known_does_not_part_them_and_is_said() -> None:
    found = detected(1, lobe="right middle lobe", lobe_probability=0.55, long_mm=8.0)

    (link,) = link_nodules([RUL8], [found]).links

    assert "reported in RUL, found near the border of right middle lobe" in link.why


@pytest.mark.parametrize(
    "told",
    [
        dataclasses.replace(RUL8, change="resolved"),
        dataclasses.replace(RUL8, certainty="negated"),
        ReportedNodule(count="several"),
    ],
    ids=["resolved", "denied", "nothing told"],
)
def test_what_is_gone_or_not_described_is_not_searched_for(told: ReportedNodule) -> None:
    linked = link_nodules([told], [])

    assert linked.links == linked.to_search == ()


def test_the_encoder_reads_english_whatever_the_report_was_written_in() -> None:
    (told,) = extract("右肺上叶实性结节，直径约8mm，可见毛刺，无钙化，较前增大。").nodules

    assert say_in_english(told) == (
        "solid nodule in the right upper lobe of 8 mm, spiculation, no calcification, growing"
    )


def test_vectors_come_from_the_encoder_that_is_given() -> None:
    def lengths(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[len(text)] for text in texts], dtype=np.float32)

    vectors = embed_nodules([RUL8, LLL5], lengths)

    assert vectors.tolist() == [[len(say_in_english(RUL8))], [len(say_in_english(LLL5))]]


def test_like_nodules_have_like_vectors() -> None:
    for package in ("sentence_transformers", sentence_encoder.PACKAGE):
        pytest.importorskip(package, reason="the extra `sentences` is not installed")
    calcified = ReportedNodule(type="calcified", calcification="present", size_mm=3.0)

    vectors = embed_nodules([RUL8, dataclasses.replace(RUL8, size_mm=9.0), calcified])

    assert vectors.shape == (3, 384)
    alike = vectors @ vectors.T
    assert alike[0, 1] > alike[0, 2]


def test_detected_nodules_of_the_tests_are_real_ones() -> None:
    assert isinstance(detected(1), Nodule)
