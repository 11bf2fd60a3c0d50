"""An earlier examination, from what is kept of it, for `inference.follow_up`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dicom_node.errors import DicomNodeError
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.earlier import days_before, why_not_earlier
from dicom_node.read.eligibility import RuleSet
from dicom_node.read.series import load_ct_series
from inference.detection import Detector
from inference.errors import NotAnalysable
from inference.findings_json import findings_to_dict
from inference.follow_up.exam import PriorExam, PriorFinding
from inference.pipeline import ALGORITHM_VERSION, analyse
from inference.segmentation import Segmenter
from workers.case import assign_tracking_uids
from workers.folder import judge_folder
from workers.translate import to_context, to_volume


def prior_of_result(
    findings: Mapping[str, Any],
    *,
    days: float,
    volume_of: CtSeries | None,
    source: str,
    weights: Mapping[str, str],
) -> PriorExam:
    """An earlier examination by its ``findings.json``.

    Parameters
    ----------
    findings : mapping
        Of an analysed series.
    days : float
        From then to now, over 0.
    volume_of : CtSeries or None
        The CT of then, where it is still at hand.
    source : str
        Where it was got from, for reports.
    weights : mapping of str to str
        Name to sha256 of the segmenter of now.
    """
    algorithm = findings["algorithm"]
    return PriorExam(
        key=str(findings["study_instance_uid"]),
        days_before=days,
        findings=tuple(_to_finding(nodule) for nodule in findings["nodules"]),
        volume=None if volume_of is None else to_volume(volume_of),
        places=tuple(_point(item["centre_lps_mm"]) for item in findings["candidates"]),
        same_method=algorithm["version"] == ALGORITHM_VERSION
        and all(algorithm["weights"].get(name) == digest for name, digest in weights.items()),
        source=source,
    )


def _to_finding(nodule: Mapping[str, Any]) -> PriorFinding:
    return PriorFinding(
        key=str(nodule["tracking_uid"]),
        centre_lps_mm=_point(nodule["centre_lps_mm"]),
        type=nodule["type"],
        mean_diameter_mm=float(nodule["mean_diameter_mm"]),
        volume_mm3=float(nodule["volume_mm3"]),
        solid_mean_diameter_mm=nodule["solid_mean_diameter_mm"],
        category=nodule["guidelines"]["lung_rads"]["category"],
        laterality=nodule["laterality"],
        lobe=nodule["lobe"]["name"],
    )


def _point(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def prior_of_folder(
    folder: Path,
    rules: RuleSet,
    now: CtSeries,
    *,
    detector: Detector,
    segmenter: Segmenter,
    source: str = "folder",
    progress: Callable[[str], None] = lambda _stage: None,
) -> PriorExam | str:
    """Analyse the best series of a folder as the earlier examination of a series.

    Returns
    -------
    PriorExam or str
        Or why it cannot be compared with.
    """
    progress("prior: read")
    try:
        best = judge_folder(folder, rules)[0]
        if best.refusal is not None:
            return best.refusal[1]
        series = load_ct_series(best.paths)
    except DicomNodeError as error:
        return str(error)
    refused = why_not_earlier(now.headers[0], series.headers[0])
    if refused is not None:
        return refused
    volume = to_volume(series)
    try:
        found = analyse(
            volume,
            context=to_context(series),
            detector=detector,
            segmenter=segmenter,
            progress=lambda stage: progress(f"prior: {stage}"),
        )
    except NotAnalysable as error:
        return error.why
    findings = findings_to_dict(
        found,
        volume=volume,
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=series.series_instance_uid,
        sop_instance_uids=series.sop_instance_uids,
        tracking_uids=assign_tracking_uids(found.nodules, series.series_instance_uid, 1, None),
    )
    return prior_of_result(
        findings,
        days=days_before(now.headers[0], series.headers[0]),
        volume_of=series,
        source=source,
        weights=segmenter.weights,
    )
