"""The only place where the words of `dicom_node` and of `inference` meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dicom_node.compose.content import (
    AlgorithmContent,
    AxisContent,
    ContributionContent,
    GrowthContent,
    NoduleContent,
    ReportContent,
    SimilarCaseContent,
    StageContent,
    UptakeContent,
)
from dicom_node.compose.identity import device_uid
from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.patient_module import read_patient_module
from inference.findings import Axis, CaseFindings, ClinicalContext, FollowUp, Nodule, NoduleChange
from inference.grade_values import NOT_GRADED, NoduleGrade
from inference.known import KnownValue
from inference.pet_values import PetUsed
from inference.volume import Volume
from workers.context.facts import Person
from workers.context.resolve import CtPatient
from workers.context.shown import context_facts
from workers.report_words import nodule_remarks, report_facts

DIGEST_LETTERS = 16
"""Of a set of weights, where people read it."""
CT_HEADER = "ct header"


def to_volume(series: CtSeries) -> Volume:
    """The series' grid as `inference` sees it; the array is shared, not copied."""
    return Volume(hu=series.hu, affine=series.affine)


def to_context(series: CtSeries) -> ClinicalContext:
    """What the CT header says of the patient, where given.

    Who does not smoke now may have smoked, so only a smoker is known to have.
    """
    patient = read_patient_module(series.headers[0])
    return ClinicalContext(
        age_years=patient.age_years,
        sex="F" if patient.sex == "F" else "M" if patient.sex == "M" else None,
        size_m=patient.size_m,
        weight_kg=patient.weight_kg,
        ever_smoker=True if patient.smoking_status == "YES" else None,
    )


def to_ct_patient(series: CtSeries) -> CtPatient:
    """Whose CT it is, and what its header says, as the clinical context is resolved against."""
    patient = read_patient_module(series.headers[0])
    context = to_context(series)

    def said(item: str, unit: str = "", **value: Any) -> KnownValue:
        return KnownValue(item=item, unit=unit, on=patient.study_date, source=CT_HEADER, **value)

    numbers = {
        "age": (context.age_years, "a"),
        "size": (context.size_m, "m"),
        "weight": (context.weight_kg, "kg"),
    }
    return CtPatient(
        person=Person(names=patient.names, birth_date=patient.birth_date, sex=patient.sex),
        study_date=patient.study_date,
        accession=patient.accession_number,
        study_uid=series.study_instance_uid,
        context=context,
        header=(
            *(
                said(item, unit, number=number)
                for item, (number, unit) in numbers.items()
                if number
            ),
            *((said("sex", text=context.sex),) if context.sex else ()),
            *((said("smoking_status", flag=True),) if context.ever_smoker else ()),
        ),
    )


def to_report_content(
    findings: CaseFindings, *, revision: int, tracking_uids: Sequence[str]
) -> ReportContent:
    """What the report says of the findings.

    Parameters
    ----------
    findings : CaseFindings
        Of one analysis.
    revision : int
        From 1; becomes the Instance Number.
    tracking_uids : sequence of str
        One per nodule, in the nodules' order.
    """
    exam = findings.exam_lung_rads
    lungs = findings.lungs
    facts = {"Lung volume": f"{lungs.total_ml:.0f} ml"}
    if lungs.left_ml is not None and lungs.right_ml is not None:
        facts["Lung volume"] += f" (left {lungs.left_ml:.0f}, right {lungs.right_ml:.0f})"
    beyond = " and the ".join(lungs.beyond) or "first or last slice"
    partial_why = (
        f"the lungs reach beyond the {beyond}" if findings.quality.coverage == "partial" else None
    )
    for side in lungs.sides:
        if side.aerated_fraction is not None and side.aerated_fraction < 0.97:
            facts[f"Without air, {side.side}"] = (
                f"{side.unaerated_ml:.0f} ml ({100 * (1 - side.aerated_fraction):.0f} % of the "
                "cavity)"
            )
    return ReportContent(
        algorithm=to_algorithm_content(
            findings.algorithm_name, findings.algorithm_version, findings.weights
        ),
        revision=revision,
        nodules=tuple(
            _to_nodule_content(nodule, uid)
            for nodule, uid in zip(findings.nodules, tracking_uids, strict=True)
        ),
        exam_lung_rads_category=exam.category,
        exam_lung_rads_applicable=exam.applicable,
        exam_lung_rads_why=exam.why,
        exam_lung_rads_management=exam.management,
        exam_lung_rads_offered=exam.offered,
        exam_fleischner=findings.exam_fleischner.recommendation,
        exam_fleischner_applicable=findings.exam_fleischner.applicable,
        exam_fleischner_why=findings.exam_fleischner.why,
        weights=dict(sorted(findings.weights.items())),
        bank_version=findings.bank_version,
        warnings=findings.quality.warnings,
        limits=findings.limits,
        facts=(
            facts
            | _follow_up_facts(findings.follow_up)
            | _pet_facts(findings.pet)
            | report_facts(findings.reported)
            | context_facts(findings.known)
        ),
        partial_why=partial_why,
    )


def to_algorithm_content(name: str, version: str, weights: Mapping[str, str]) -> AlgorithmContent:
    """The software as the reports name it; another device for other weights."""
    return AlgorithmContent(
        name=name,
        version=version,
        manufacturer=MANUFACTURER,
        model_name=MANUFACTURER_MODEL_NAME,
        device_uid=device_uid(
            name, version, *(f"{key}={digest}" for key, digest in sorted(weights.items()))
        ),
        stages=tuple(
            StageContent(
                name=key,
                version=f"sha256:{digest[:DIGEST_LETTERS]}",
                device_uid=device_uid(key, digest),
            )
            for key, digest in weights.items()
        ),
    )


def _to_nodule_content(nodule: Nodule, tracking_uid: str) -> NoduleContent:
    measured, grade = nodule.measurements, nodule.grade
    return NoduleContent(
        number=nodule.id,
        tracking_uid=tracking_uid,
        mask=nodule.voi.mask,
        mask_origin_kji=nodule.voi.origin_kji,
        key_slice_k=measured.key_slice_k,
        long_axis=_to_axis_content(measured.long_axis),
        short_axis=_to_axis_content(measured.short_axis),
        contour_ji=measured.contour_ji,
        mean_diameter_mm=measured.mean_diameter_mm,
        volume_mm3=measured.volume_mm3,
        mean_hu=measured.mean_hu,
        nodule_type=nodule.type,
        solid_mean_diameter_mm=measured.solid_mean_diameter_mm,
        solid_volume_mm3=measured.solid_volume_mm3,
        max_3d_diameter_mm=measured.max_3d_diameter_mm,
        laterality=nodule.laterality,
        lobe=nodule.lobe,
        detection_probability=nodule.detection_probability,
        lung_rads_category=nodule.lung_rads.category,
        lung_rads_why=nodule.lung_rads.why,
        brock_probability=nodule.brock.probability,
        model_level=grade.level,
        model_suspicion=grade.suspicion,
        model_probabilities=grade.probabilities,
        model_withheld=None if grade.withheld == NOT_GRADED else grade.withheld,
        contributions=_to_contributions(grade),
        masked=tuple(name for name, share in grade.modalities.items() if share.masked),
        similar_cases=_to_similar_cases(grade),
        attributes=nodule.attributes,
        fleischner=nodule.fleischner.recommendation,
        brock_missing=nodule.brock.missing,
        mayo_probability=nodule.mayo.probability,
        mayo_missing=nodule.mayo.missing,
        mayo_withheld=nodule.mayo.withheld,
        remarks=nodule_remarks(nodule.reported_as),
        growth=_to_growth_content(nodule.change),
        uptake=None if nodule.uptake is None else UptakeContent(**asdict(nodule.uptake)),
    )


def _to_growth_content(change: NoduleChange | None) -> GrowthContent | None:
    if change is None:
        return None
    growth = change.growth
    return GrowthContent(
        status=change.status,
        why=change.why,
        volume_change_percent=growth.volume_change_percent if growth else None,
        doubling_days=growth.doubling_days if growth else None,
        diameter_change_mm=change.diameter_change_mm,
    )


def _follow_up_facts(follow_up: FollowUp | None) -> dict[str, str]:
    """The earlier examination, and its nodules that are not listed now."""
    if follow_up is None:
        return {}
    facts = {"Earlier CT": f"{follow_up.days_before:.0f} days before; {follow_up.why}"}
    for number, item in enumerate(follow_up.unlisted, start=1):
        facts[f"Earlier nodule {number} ({item.type})"] = f"{item.status}: {item.why}"
    return facts


def _pet_facts(pet: PetUsed | None) -> dict[str, str]:
    if pet is None:
        return {}
    facts = {"PET": f"SUV by body weight, by {pet.how}"}
    laid = pet.registration
    if laid is not None:
        facts["PET in another frame of reference"] = (
            "places carried over from the CT that was taken with it: lungs overlap "
            f"{laid.overlap:.2f}, correlation {laid.likeness:.2f}, corrected at the nodules "
            f"by up to {laid.residual_mm or 0.0:.1f} mm"
        )
    return facts


def _to_contributions(grade: NoduleGrade) -> tuple[ContributionContent, ...]:
    """The modalities' shares; with a single one there is nothing to share."""
    return tuple(
        ContributionContent(
            modality=name,
            points=100 * share.contribution,
            attention=share.attention,
            simulated=share.simulated,
        )
        for name, share in grade.modalities.items()
        if share.contribution is not None and share.attention is not None
    )


def _to_similar_cases(grade: NoduleGrade) -> tuple[SimilarCaseContent, ...]:
    return tuple(
        SimilarCaseContent(
            case_id=case.case_id,
            similarity=case.similarity,
            level=case.level,
            evidence=case.evidence,
        )
        for case in grade.similar_cases
    )


def _to_axis_content(axis: Axis) -> AxisContent:
    return AxisContent(start_ji=axis.start_ji, end_ji=axis.end_ji, length_mm=axis.length_mm)
