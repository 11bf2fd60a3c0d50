"""One series, from pixels to final bytes, without queue or database.

The service and `pulmonode analyse` both come through here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.identity import derive_uid
from dicom_node.compose.profile import DEFAULT, Profile
from dicom_node.read.ct_series import CtSeries
from inference.detection import Detector
from inference.findings import CaseFindings, ClinicalContext, Nodule
from inference.findings_json import findings_to_dict
from inference.follow_up.exam import PriorExam
from inference.grading.table import ModalityTable, table_of_values
from inference.known import KnownContext
from inference.pet.uptake import SuvVolume
from inference.pipeline import Grading, analyse
from inference.report_text.exam import ReportedExam
from inference.segmentation import Segmenter
from workers.bank.anonymous import patient_text
from workers.earlier_reports import EarlierReport
from workers.page.draw import CasePictures
from workers.result_objects import ResultSource, compose_objects
from workers.translate import to_context, to_report_content, to_volume

SAME_PLACE_MM = 5.0
"""Nodules of two revisions closer than this, or than half their diameter, are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What one analysis leaves: findings, the report's content, the objects' final bytes.

    `features` are what the graded nodules were graded by, one row each; `None` without any.
    `pictures` are those for a folder, where they were asked for; objects hold their own.
    """

    findings: CaseFindings
    findings_json: Mapping[str, Any]
    content: ReportContent
    objects: tuple[ComposedObject, ...]
    features: ModalityTable | None = None
    pictures: CasePictures | None = None

    def findings_bytes(self) -> bytes:
        """``findings.json`` as it is stored."""
        return (json.dumps(self.findings_json, indent=2, allow_nan=False) + "\n").encode()


def analyse_case(
    series: CtSeries,
    *,
    revision: int,
    created: datetime,
    context: ClinicalContext | None = None,
    known: KnownContext | None = None,
    warnings: Sequence[str] = (),
    previous_findings: Mapping[str, Any] | None = None,
    profiles: Sequence[Profile] = (DEFAULT,),
    earlier: Sequence[EarlierReport] = (),
    detector: Detector | None = None,
    segmenter: Segmenter | None = None,
    grading: Grading | None = None,
    prior: PriorExam | None = None,
    pet: SuvVolume | None = None,
    report: ReportedExam | None = None,
    font_file: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> CaseResult:
    """Find, measure and report the nodules of a series.

    Parameters
    ----------
    series : CtSeries
        Decoded and geometry-checked.
    revision : int
        From 1.
    created : datetime
        Content date and time of the objects.
    context : ClinicalContext, optional
        What is known of the patient; from the CT header when absent.
    known : KnownContext, optional
        The same, value by value with its source, for the report and the grader.
    warnings : sequence of str
        From reception, for the report.
    previous_findings : mapping, optional
        ``findings.json`` of the revision before, whose Tracking UIDs are kept by place.
    profiles : sequence of Profile
        The kinds of destinations to compose for.
    earlier : sequence of EarlierReport
        The reports that these ones replace.
    detector : Detector, optional
        What finds nodules; the default one if absent.
    segmenter : Segmenter, optional
        What outlines them; the default one if absent.
    grading : Grading, optional
        What grades them; without it nothing is graded.
    prior : PriorExam, optional
        An earlier examination to compare with; matched nodules keep its Tracking UIDs.
    pet : SuvVolume, optional
        A PET of the same examination, to measure nodules in.
    report : ReportedExam, optional
        What radiologists' reports of the examination say of its nodules.
    font_file : Path, optional
        TrueType font for letters of pictures that are not Latin.
    progress : callable, optional
        Told the name of each stage.

    Raises
    ------
    inference.errors.NotAnalysable
        If the pixels do not show what the pipeline is for.
    dicom_node.errors.ComposeError
        If an object cannot be composed.
    FontMissing
        If no font on this machine has the letters of a profile's language.
    """
    volume = to_volume(series)
    findings = analyse(
        volume,
        context=context or to_context(series),
        known=known,
        detector=detector,
        segmenter=segmenter,
        grading=grading,
        prior=prior,
        pet=pet,
        report=report,
        progress=progress,
    )
    quality = replace(
        findings.quality,
        warnings=tuple(
            dict.fromkeys(
                (
                    *warnings,
                    *series.warnings,
                    *findings.quality.warnings,
                    *(findings.follow_up.warnings if findings.follow_up else ()),
                )
            )
        ),
    )
    findings = replace(findings, quality=quality, known=known)
    if progress is not None:
        progress("report")
    tracking_uids = assign_tracking_uids(
        findings.nodules, series.series_instance_uid, revision, previous_findings
    )
    content = to_report_content(findings, revision=revision, tracking_uids=tracking_uids)
    objects = compose_objects(
        ResultSource(
            series=series,
            findings=findings,
            content=content,
            created=created,
            earlier=tuple(earlier),
            font_file=font_file,
        ),
        profiles,
    )
    findings_json = findings_to_dict(
        findings,
        volume=volume,
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=series.series_instance_uid,
        sop_instance_uids=series.sop_instance_uids,
        tracking_uids=tracking_uids,
    )
    return CaseResult(
        findings=findings,
        findings_json=findings_json,
        content=content,
        objects=objects,
        features=features_of(findings.nodules, tracking_uids, patient_of(series)),
    )


def features_of(
    nodules: Sequence[Nodule], tracking_uids: Sequence[str], patient: str
) -> ModalityTable | None:
    """Rows of the nodules that a grader was given, named by Tracking UIDs; `None` without any.

    A nodule that the encoder was never trained on the like of has no row.
    """
    rows = [
        (nodule.features, uid)
        for nodule, uid in zip(nodules, tracking_uids, strict=True)
        if nodule.features
    ]
    if not rows:
        return None
    return table_of_values(
        [values for values, _ in rows],
        patients=[patient] * len(rows),
        nodules=[uid for _, uid in rows],
    )


def patient_of(series: CtSeries) -> str:
    """Whose it is, without the ID: equal in all studies with one Patient ID (0010,0020)."""
    patient_id = str(series.headers[0].get("PatientID") or "")
    return patient_text(patient_id, series.study_instance_uid)


def assign_tracking_uids(
    nodules: Sequence[Nodule],
    series_uid: str,
    revision: int,
    previous_findings: Mapping[str, Any] | None,
) -> list[str]:
    """Give each nodule its Tracking UID: the previous revision's where the place is the same.

    The nearest pairs are matched first, each earlier nodule at most once. What the previous
    revision did not list keeps the UID of the nodule at an earlier examination that it was
    matched with by place.
    """
    earlier = list((previous_findings or {}).get("nodules", ()))
    pairs = sorted(
        (math.dist(nodule.centre_lps_mm, old["centre_lps_mm"]), index, number)
        for index, nodule in enumerate(nodules)
        for number, old in enumerate(earlier)
    )
    uids: dict[int, str] = {}
    used: set[int] = set()
    for distance_mm, index, number in pairs:
        limit_mm = max(SAME_PLACE_MM, nodules[index].measurements.mean_diameter_mm / 2)
        if distance_mm <= limit_mm and index not in uids and number not in used:
            uids[index] = str(earlier[number]["tracking_uid"])
            used.add(number)
    for index, nodule in enumerate(nodules):
        change = nodule.change
        if index in uids or change is None or change.matched_by != "place":
            continue
        if change.prior_key is not None and change.prior_key not in uids.values():
            uids[index] = change.prior_key
    return [
        uids.get(index) or derive_uid("tracking", series_uid, str(revision), str(nodule.id))
        for index, nodule in enumerate(nodules)
    ]
