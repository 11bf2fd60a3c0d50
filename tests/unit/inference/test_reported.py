"""The stage "report" on a phantom: what a report describes is linked, looked for, or said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from inference.assessment import Measured, assess_nodules
from inference.delineation import delineate
from inference.findings import Candidate, CaseFindings, ClinicalContext, Nodule
from inference.lobes import find_lobes
from inference.lungs import LungMask, segment_lungs
from inference.measurement import measure_segmented
from inference.phantom import Phantom
from inference.report_text.exam import ExamText, ReportedExam, read_exam
from inference.report_values import ReportComparison, ReportUsed
from inference.reported import (
    LISTED_AT_MOST,
    NOTHING_FITS,
    TOO_LITTLE,
    TOO_MANY,
    TOO_SMALL,
    SearchedCt,
    not_found_warnings,
    with_reported,
)
from inference.segmenters import make_segmenter
from inference.volume import Volume

KNOWN = ClinicalContext(
    age_years=65, sex="F", emphysema=False, family_history_lung_cancer=False, ever_smoker=True,
    known_cancer=False, extrathoracic_cancer_over_5_years=False,
)  # fmt: skip
SOURCE = ReportUsed(source="hl7", message_id="RAD-1", on="2026-03-02")
LEFT_20MM, RIGHT_14MM = 0, 1
"""The phantom's nodules, in the left and the right upper lobe."""


@dataclass(frozen=True, kw_only=True)
class FoundBefore:
    """A detector that gives what another one found, and lists from its own threshold on."""

    candidates: tuple[Candidate, ...]
    report_from: float
    name: str = "found before"
    version: str = "1"
    kind: str = "trained"
    needs_ranking: bool = False
    device: str = "cpu"
    engine: str | None = None
    limits: tuple[str, ...] = ()

    @property
    def weights(self) -> Mapping[str, str]:
        return {}

    def find_candidates(self, volume: Volume, lungs: LungMask) -> tuple[Candidate, ...]:
        del volume, lungs
        return self.candidates


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The phantom as the stage "report" gets it."""

    ct: SearchedCt
    rows: tuple[Measured, ...]
    """Both nodules, the left one first."""


@pytest.fixture(scope="module")
def scene(phantom: Phantom, findings: CaseFindings) -> Scene:
    detector = FoundBefore(candidates=findings.candidates, report_from=0.458)
    lungs, segmenter = segment_lungs(phantom.volume), make_segmenter()
    _, segmented = delineate(phantom.volume, lungs, findings.candidates[:2], segmenter, detector)
    return Scene(
        ct=SearchedCt(
            volume=phantom.volume,
            lungs=lungs,
            lobes=find_lobes(phantom.volume, lungs),
            found=findings.candidates,
            segmenter=segmenter,
            detector=detector,
            report_from=detector.report_from,
        ),
        rows=tuple(
            (candidate, item, *measure_segmented(phantom.volume, item))
            for candidate, item in segmented
        ),
    )


def exam(*texts: str) -> ReportedExam:
    return read_exam([ExamText(report=SOURCE, text=text) for text in texts])


def linked(
    told: ReportedExam, rows: Sequence[Measured], ct: SearchedCt
) -> tuple[list[Measured], tuple[Nodule, ...], ReportComparison]:
    """As the pipeline asks: what is listed was assessed before."""
    listed = assess_nodules(ct.volume, ct.lungs, ct.lobes, rows, KNOWN)
    return with_reported(told, rows, listed, ct, KNOWN)


def is_at(nodule: Nodule, phantom: Phantom, number: int) -> bool:
    place = phantom.truth["nodules"][number]["centre_lps_mm"]
    return math.dist(nodule.centre_lps_mm, place) < 3.0


def test_a_nodule_that_is_described_is_linked_and_says_why(scene: Scene) -> None:
    rows, nodules, comparison = linked(
        exam("Spiculated 15 mm solid nodule in the right upper lobe."), scene.rows, scene.ct
    )
    alone = assess_nodules(
        scene.ct.volume, scene.ct.lungs, scene.ct.lobes, scene.rows, ClinicalContext()
    )

    told = nodules[1].reported_as
    assert told is not None
    assert (told.reports, told.listed_for_it, told.spiculation) == ((SOURCE,), False, True)
    assert told.why == ("lobe RUL", "reported 15 mm, measured 14.1 mm")
    assert told.words == "15 mm, solid, right upper lobe, spiculated"
    assert nodules[1].reported == {"reported_texture": 5.0, "reported_spiculation": 4.0}
    assert nodules[0].reported_as is None
    assert nodules[0].reported == {}
    assert (comparison.detected_only, comparison.not_found) == ((1,), ())
    assert rows == list(scene.rows)
    for before, after in zip(alone, nodules, strict=True):
        assert after.detection_probability == before.detection_probability
        assert np.array_equal(after.voi.mask, before.voi.mask)


@pytest.mark.parametrize(
    ("words", "brock", "mayo"),
    [
        # Brock, 65-year-old woman, 14.05 mm solid, upper lobe, 2 nodules:
        #   -6.7892 + 0.0287 * 3 + 0.6011 - 5.3854 * (1.405 ** -0.5 - 1.58113883) + 0.6581
        #   - 0.0824 * -2 = -1.3074; with spiculation + 0.7729 = -0.5345
        # Mayo: -6.8272 + 0.0391 * 65 + 0.7917 + 0.1274 * 14.05 + 0.7838 = -0.9202;
        #   with spiculation + 1.0407 = 0.1205
        ("15 mm spiculated nodule in the right upper lobe.", 0.3695, 0.5301),
        ("15 mm nodule in the right upper lobe without spiculation.", 0.2129, 0.2849),
        ("15 mm nodule in the right upper lobe, possibly spiculated.", None, None),
        ("15 mm nodule in the right upper lobe.", None, None),
    ],
)
def test_spiculation_of_the_report_is_what_brock_and_mayo_lacked(
    scene: Scene, words: str, brock: float | None, mayo: float | None
) -> None:
    _, nodules, _ = linked(exam(words), scene.rows, scene.ct)

    assert nodules[1].measurements.long_axis.length_mm == pytest.approx(14.05, abs=0.005)
    for estimate, expected in ((nodules[1].brock, brock), (nodules[1].mayo, mayo)):
        if expected is None:
            assert estimate.probability is None
            assert estimate.missing == ("spiculation",)
        else:
            assert estimate.probability == pytest.approx(expected, abs=0.0005)
    assert nodules[0].brock.missing == ("spiculation",)


def test_a_described_nodule_below_the_threshold_is_found_and_listed_last(
    scene: Scene, phantom: Phantom
) -> None:
    omitted = scene.rows[1][0]
    ct = replace(scene.ct, report_from=omitted.probability + 0.05)

    rows, nodules, comparison = linked(
        exam("A 13 x 12 mm nodule is seen in the right upper lobe."), scene.rows[:1], ct
    )

    assert [row[0] for row in rows[:1]] == [scene.rows[0][0]]
    assert [nodule.id for nodule in nodules] == [1, 2]
    assert is_at(nodules[1], phantom, RIGHT_14MM)
    assert nodules[1].detection_probability == omitted.probability
    told = nodules[1].reported_as
    assert told is not None
    assert told.listed_for_it
    assert told.why == ("lobe RUL", "reported 13 mm, measured 14.1 mm")
    assert comparison.not_found == ()
    assert comparison.detected_only == (1,)
    assert not_found_warnings(comparison) == []


def test_the_search_gives_the_same_each_time(scene: Scene) -> None:
    told = exam("A 13 mm nodule in the right upper lobe.")

    first, second = (linked(told, scene.rows[:1], scene.ct) for _ in range(2))

    assert first[0][1][0] == second[0][1][0]
    assert np.array_equal(first[0][1][1].voi.mask, second[0][1][1].voi.mask)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("14 mm nodule in the left lower lobe.", NOTHING_FITS),
        ("45 mm mass in the right upper lobe.", NOTHING_FITS),
        ("Nodule in the left lower lobe.", TOO_LITTLE),
        ("A 9 mm nodule.", TOO_LITTLE),
        ("Nodule under 4 mm in the left lower lobe.", TOO_SMALL),
    ],
)
def test_what_is_not_found_where_it_is_described_is_a_warning(
    scene: Scene, words: str, why: str
) -> None:
    rows, nodules, comparison = linked(exam(words), scene.rows[:1], scene.ct)

    assert (len(rows), len(nodules)) == (1, 1)
    (missed,) = comparison.not_found
    assert missed.why == why
    assert missed.reports == (SOURCE,)
    (warning,) = not_found_warnings(comparison)
    assert warning.endswith(f"that was not found: {why}")


def test_a_candidate_far_below_the_threshold_is_not_taken_for_it(scene: Scene) -> None:
    faint = tuple(replace(item, probability=0.25) for item in scene.ct.found)
    ct = replace(scene.ct, found=faint)

    _, nodules, comparison = linked(
        exam("A 13 mm nodule in the right upper lobe."), scene.rows[:1], ct
    )

    assert len(nodules) == 1
    assert [item.why for item in comparison.not_found] == [NOTHING_FITS]


def test_no_more_than_a_few_are_listed_for_a_report(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.reported.LISTED_AT_MOST", 0)

    _, nodules, comparison = linked(
        exam("A 13 mm nodule in the right upper lobe."), scene.rows[:1], scene.ct
    )

    assert len(nodules) == 1
    assert [item.why for item in comparison.not_found] == [TOO_MANY]
    assert str(LISTED_AT_MOST) in TOO_MANY


def test_a_report_without_nodules_names_none_and_changes_none(scene: Scene) -> None:
    rows, nodules, comparison = linked(exam("The lungs are clear."), scene.rows, scene.ct)

    assert rows == list(scene.rows)
    assert comparison.detected_only == (1, 2)
    assert comparison.reports == (SOURCE,)
    assert all(nodule.brock.missing == ("spiculation",) for nodule in nodules)


def test_what_two_reports_tell_alike_is_one_nodule_and_the_later_one_adds_to_it() -> None:
    told = exam(
        "8 mm nodule in the RUL. 5 mm nodule in the LLL.",
        "Addendum: the 8 mm nodule in the right upper lobe is spiculated.",
        "12 mm nodule in the lingula.",
    )

    assert [(one.size_mm, one.lobe) for one in told.nodules] == [
        (8.0, "RUL"), (5.0, "LLL"), (12.0, "LUL")
    ]  # fmt: skip
    assert told.nodules[0].spiculation == "present"
    assert told.told_in == ((0, 1), (0,), (2,))


def test_two_nodules_of_one_report_stay_two() -> None:
    told = exam("6 mm nodule in the RUL and a 7 mm nodule in the RLL.", "6 mm nodule in the RLL.")

    assert [(one.size_mm, one.lobe) for one in told.nodules] == [(6.0, "RUL"), (6.0, "RLL")]


def test_a_nodule_that_an_impression_only_names_again_is_told_once() -> None:
    echoed = exam(
        "FINDINGS: 6 mm solid nodule in the left upper lobe.\nIMPRESSION: LUL nodule 6 mm."
    )
    another = exam("6 mm solid nodule in the left upper lobe. Another 6 mm nodule in the LUL.")
    other = exam(
        "FINDINGS: 6 mm solid nodule in the LUL.\nIMPRESSION: LUL nodule 6 mm, spiculated."
    )

    assert [len(one.nodules) for one in (echoed, another, other)] == [1, 2, 2]
