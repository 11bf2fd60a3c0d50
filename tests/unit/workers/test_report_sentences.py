# ruff: noqa: RUF001 - Chinese punctuation is meant
"""Whatever the findings say in a sentence, the reports' tables know it in every language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dicom_node.compose.words import words_of
from inference import detection, graders, pipeline
from inference.centre_detection import CentreHeatmapDetector
from inference.findings import Axis, ClinicalContext, LungSide, Measurements, PriorNodule
from inference.follow_up import change, compare, look
from inference.follow_up.exam import PriorExam, PriorFinding
from inference.follow_up.registration import Registration
from inference.known import KnownContext, KnownValue
from inference.lung_coverage import _side_warnings
from inference.pet import beside
from inference.pet_values import PetRegistration, PetUsed
from inference.report_text.extract import extract
from inference.report_text.link import link_nodules
from inference.report_text.said import in_words
from inference.report_values import ReportComparison, ReportedAs, ReportedOnly, ReportUsed
from inference.reported import (
    NOTHING_FITS,
    REPORT_LIMIT,
    TOO_LITTLE,
    TOO_MANY,
    TOO_SMALL,
    not_found_warnings,
)
from inference.retina_detection import RetinaDetector
from inference.rules import fleischner, lung_rads
from inference.rules.mayo import mayo
from inference.volume import Volume
from tests.unit.inference.report_text.detected import detected
from workers.context.resolve import RULE_INPUTS
from workers.context.shown import context_facts
from workers.report_words import SOURCES, nodule_remarks, report_facts
from workers.translate import _follow_up_facts, _pet_facts

CHINESE = words_of("zh")
DAY = "2026-03-02"
NO_LUNGS = "no lungs: there is nothing but air in the volume"
TYPES = ("solid", "part-solid", "ground-glass", "calcified")
CONTEXTS = (
    ClinicalContext(),
    ClinicalContext(screening_exam=True, age_years=60),
    ClinicalContext(screening_exam=False, age_years=60, known_cancer=False,
                    immunosuppressed=False, high_risk=True),
    ClinicalContext(age_years=30, known_cancer=True, immunosuppressed=True),
)  # fmt: skip
SIZES_MM = (5.0, 7.0, 9.0, 16.0, 31.0)
AXIS = Axis(k=0, start_ji=(0.0, 0.0), end_ji=(1.0, 0.0), length_mm=1.0)
MEASURED = Measurements(
    long_axis=AXIS, short_axis=AXIS, contour_ji=np.zeros((4, 2)), mean_diameter_mm=1.0,
    max_3d_diameter_mm=1.0, volume_mm3=1.0, mean_hu=0.0, solid_mean_diameter_mm=None,
    solid_volume_mm3=None,
)  # fmt: skip


def limits() -> Iterator[str]:
    for detector in (detection.BlobDetector, CentreHeatmapDetector, RetinaDetector):
        yield from detector.limits
    yield from (*pipeline.LIMITS, pipeline.NOT_GRADED_LIMIT, *graders.LIMITS)
    yield from (compare.NEVER_VALIDATED, compare.NO_PRIOR_LIMIT)
    yield from (beside.PET_LIMIT, beside.PET_GRADED_LIMIT, beside.CARRIED_LIMIT)
    for modalities in ("clinical", "serology, pet"):
        yield graders.SIMULATED_LIMIT.format(modalities=modalities)


def of_lung_rads() -> Iterator[str]:
    for context, kind, mm, new in product(CONTEXTS, TYPES, SIZES_MM, (False, True)):
        measured = replace(MEASURED, mean_diameter_mm=mm, solid_mean_diameter_mm=mm / 2)
        one: Any = lung_rads.assess_nodule(measured, kind, context, new=new)
        for nodules, coverage, unseen in (
            ([], "full", False), ([one], "full", True), ([one, one], "partial", False)
        ):  # fmt: skip
            exam = lung_rads.assess_exam(nodules, context, coverage=coverage, unseen=unseen)
            yield from (exam.why, exam.management or "", *exam.offered)
        yield from (one.why, one.management or "")


def of_fleischner() -> Iterator[str]:
    for context, kind, mm, part in product(CONTEXTS, TYPES, SIZES_MM, (None, 4.0, 7.0, 12.0)):
        one: Any = fleischner.SizedNodule(
            nodule_type=kind, mean_diameter_mm=mm, solid_mean_diameter_mm=part
        )
        for answer in (
            fleischner.assess_nodule(one, context),
            fleischner.assess_nodule(one, context, others=[one]),
            fleischner.assess_exam([one, one], context),
            fleischner.assess_exam([], context),
        ):
            yield from (answer.why, answer.recommendation or "")


def of_mayo() -> Iterator[str]:
    for context, kind, mm in product(CONTEXTS, TYPES, (3.0, 9.0)):
        one: Any = mayo(
            diameter_mm=mm, nodule_type=kind, context=context, upper_lobe=None, spiculation=None
        )
        yield one.withheld or ""


def of_lungs() -> Iterator[str]:
    for air, missing, other in ((10.0, 0.0, 900.0), (900.0, 300.0, 900.0), (200.0, 0.0, 2000.0)):
        side = LungSide(side="left", aerated_ml=air, unaerated_ml=missing)
        beside = LungSide(side="right", aerated_ml=other, unaerated_ml=0.0)
        yield from _side_warnings(side, beside)


def of_follow_up() -> Iterator[str]:
    for volume, mm, how in product((None, 90.0, 60.0, 200.0), (3.0, 8.0), change.HOW):
        prior = PriorNodule(
            days_before=90.0, nodule_type="solid", mean_diameter_mm=mm, volume_mm3=volume
        )
        nodule: Any = SimpleNamespace(measurements=replace(MEASURED, volume_mm3=100.0))
        since: Any = change.change_since(
            nodule,
            prior,
            matched_by=how,
            key=None,
            distance_mm=None,
        )
        yield since.why


def of_earlier_ct() -> Iterator[str]:
    yield from compare._warnings(*(a_scene(5.0), a_scene(1.0), a_registration(0.9, 0.5, 0.1)))
    for laid in (a_registration(0.01, 0.9, 0.9), a_registration(0.9, 0.01, 0.9)):
        yield laid.why_not
    for mm, place in product((5.0, 9.0), ((0.0, 0.0, 0.0), (50.0, 50.0, 50.0))):
        scene = a_scene(5.0)
        yield look.why_not_visible(scene.volume, scene.lungs, place, mm) or ""
    exam = PriorExam(
        key="1", days_before=90.0,
        findings=(PriorFinding(key="2", centre_lps_mm=None, type="solid", mean_diameter_mm=6.0,
                               volume_mm3=None),),
    )  # fmt: skip
    _, followed = compare._without_ct(exam, [], ClinicalContext(), "the earlier CT is not at hand")
    yield from (followed.why, *followed.warnings, *(item.why for item in followed.unlisted))
    for status in ("resolved", "smaller", "present", "unknown"):
        facts = _follow_up_facts(
            replace(followed, unlisted=(replace(followed.unlisted[0], status=status),))
        )
        yield from (*facts, *facts.values())


def of_pet() -> Iterator[str]:
    yield beside.NOT_USED.format(why=beside.OWN_CT.format(why=NO_LUNGS))
    yield beside.NOT_USED.format(why=beside.UNLIKE.format(found=0.52))
    yield beside.NOT_USED.format(why=a_registration(0.9, 0.01, 0.9).why_not)
    for why in (beside.NOT_COVERED, beside.NOT_FOUND.format(found=0.3), beside.TOO_FAR):
        yield beside.NOT_MEASURED.format(number=2, why=why)
    facts = _pet_facts(
        PetUsed(series="1", how="a test", registration=PetRegistration(
            ct_series="2", overlap=0.9, likeness=0.8, residual_mm=2.0))
    )  # fmt: skip
    carried = list(facts)[1]
    yield from (carried, facts[carried])


def a_scene(spacing_mm: float) -> Any:
    """A block of lung, 100 mm on each side."""
    shape = (int(100 / spacing_mm), 50, 50)
    affine = np.diag([2.0, 2.0, spacing_mm, 1.0])[[0, 1, 2, 3]][:, [2, 1, 0, 3]]
    lungs = np.zeros(shape, dtype=np.uint8)
    return SimpleNamespace(
        volume=Volume(hu=np.zeros(shape, dtype=np.int16), affine=affine),
        lungs=SimpleNamespace(affine=affine, lungs=lungs, search=lungs > 0, unaerated=lungs),
    )


def a_registration(common: float, overlap: float, likeness: float) -> Any:
    nothing: Any = None
    return Registration(
        affine=np.eye(4), shift_mm=nothing, grid=nothing, prior_grid=nothing,
        common=common, overlap=overlap, likeness=likeness,
    )  # fmt: skip


def of_reports() -> Iterator[str]:
    told = extract(
        "Possible 8 x 6 mm part-solid nodule in the RUL, spiculated, lobulated, growing. "
        "Stable 9 mm calcified nodule in the left lung, no spiculation. Several 4 mm nodules in "
        "both lungs. Subsolid nodule under 5 mm in the lingula with cavitation."
    ).nodules
    found = (
        detected(1, long_mm=8.4, lobe="right middle lobe", lobe_probability=0.55),
        detected(2, long_mm=9.0, lobe="left lower lobe", type="ground-glass"),
    )
    why = [link.why for link in link_nodules(told, found).links]
    assert len(why) == len(found)
    for source in (*SOURCES, "hl7"):
        report = ReportUsed(source=source, message_id="A.1^x", on="" if source == "file" else DAY)
        for nodule, reasons, listed, times in product(told, why, (False, True), (1, 2)):
            yield from nodule_remarks(
                ReportedAs(
                    reports=(report,) * times, said={}, words=in_words(nodule), why=reasons,
                    listed_for_it=listed, spiculation=not listed,
                )
            )  # fmt: skip
        for reason in (TOO_LITTLE, TOO_SMALL, TOO_MANY, NOTHING_FITS):
            only = ReportedOnly(reports=(report,), said={}, words=in_words(told[0]), why=reason)
            yield from not_found_warnings(ReportComparison(reports=(report,), not_found=(only,)))
        facts = report_facts(ReportComparison(reports=(report,) * 2, detected_only=(2, 3)))
        yield from (*facts, facts["Radiologist's report"])
    yield REPORT_LIMIT


def of_context() -> Iterator[str]:
    flags = ("smoking_status", "emphysema", "family_history_lung_cancer", "cancer",
             "immunosuppressed", "screening_exam")  # fmt: skip
    values = [
        KnownValue(item=item, flag=flag, source=source, message_id="M.1", on=DAY)
        for item, flag, source in product(flags, (True, False), ("hl7", "fhir", "report text"))
    ]
    numbers = (("age", "a"), ("size", "m"), ("weight", "kg"), ("pack_years", "{PackYears}"))
    values += [
        KnownValue(item=item, number=40.0, unit=unit, source=source, message_id="M.1", on=DAY)
        for (item, unit), source in product(numbers, ("hl7", "dicom sr"))
    ]
    values += [KnownValue(item="sex", text="F", source="ct header", on=DAY),
               KnownValue(item="age", number=60.0, unit="a", source="ct header")]  # fmt: skip
    known = context_facts(KnownContext(values=tuple(values), missing=RULE_INPUTS))
    yield from (*known, *known.values())
    yield from known["Clinical context"].split("; ")


@pytest.mark.parametrize(
    "source",
    [limits, of_lung_rads, of_fleischner, of_mayo, of_lungs, of_follow_up, of_earlier_ct,
     of_pet, of_reports, of_context],
)  # fmt: skip
def test_every_sentence_is_known_in_chinese_with_all_that_it_is_made_of(source: Any) -> None:
    said = sorted(set(source()) - {""})
    foreign = [
        text
        for text in said
        for word in [CHINESE.translate(text)]
        if any(part in word for part in (" nodule", " the ", " and ", " at ", "known_"))
        or not any("\u4e00" <= letter <= "\u9fff" for letter in word)
    ]

    assert len(said) >= 2
    assert foreign == []


def test_a_report_and_a_context_are_said_in_chinese_to_the_last_word() -> None:
    remark = (
        "described in the report (HL7 message RAD-1, 2026-03-02): 8 x 6 mm, solid, right upper "
        "lobe, not spiculated; lobe RUL; reported 8 mm, measured 8.4 mm"
    )
    context = (
        "ever smoked yes (HL7 message A-1, 2026-03-01); CEA 7.5 ng/mL [H] (reference 0-5) (HL7 "
        "message B-2, 2026-03-01)"
    )

    assert CHINESE.translate(remark) == (
        "报告（HL7 消息 RAD-1，2026-03-02）中所述：8 x 6 mm，实性，右肺上叶，无毛刺；"
        "肺叶 RUL；报告 8 mm，测量 8.4 mm"
    )
    assert CHINESE.translate(context) == (
        "曾吸烟：是（HL7 消息 A-1，2026-03-01）；"
        "CEA 7.5 ng/mL [H] (reference 0-5)（HL7 消息 B-2，2026-03-01）"
    )
    assert words_of("en").translate(remark) == remark
    assert words_of("en").translate(context) == context
