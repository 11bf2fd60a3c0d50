"""``findings.json``: the findings as others rely on them (docs/findings.schema.json)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from inference.findings import (
    Axis,
    CaseFindings,
    FleischnerAssessment,
    FollowUp,
    LungRadsAssessment,
    Nodule,
)
from inference.follow_up_json import follow_up_to_dict, growth_to_dict
from inference.grade_values import NoduleGrade
from inference.known import KnownContext
from inference.pet_json import pet_to_dict, uptake_to_dict
from inference.pipeline import ALGORITHM_NAME, ALGORITHM_VERSION
from inference.report_json import comparison_to_dict, reported_nodule_to_dict
from inference.volume import Volume

SCHEMA_VERSION = 1


def findings_to_dict(
    findings: CaseFindings,
    *,
    volume: Volume,
    study_instance_uid: str,
    series_instance_uid: str,
    sop_instance_uids: Sequence[str],
    tracking_uids: Sequence[str],
) -> dict[str, Any]:
    """Write the findings of an analysed series as plain values.

    Parameters
    ----------
    findings : CaseFindings
        Of one analysis.
    volume : Volume
        In which they were found, for the axes' places.
    study_instance_uid, series_instance_uid : str
        Of the CT.
    sop_instance_uids : sequence of str
        Of the slices, in the volume's order.
    tracking_uids : sequence of str
        One per nodule.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "study_instance_uid": study_instance_uid,
        "series_instance_uid": series_instance_uid,
        "status": "analysed",
        "reason": None,
        "algorithm": {
            "name": findings.algorithm_name,
            "version": findings.algorithm_version,
            "weights": dict(findings.weights),
            "bank_version": findings.bank_version,
        },
        "device": findings.device,
        "engine": findings.engine,
        "timings_s": dict(findings.timings_s),
        "peak_rss_mb": round(findings.peak_rss_mb, 1),
        "quality": {
            "slice_spacing_mm": findings.quality.slice_spacing_mm,
            "coverage": findings.quality.coverage,
            "warnings": list(findings.quality.warnings),
            "air_hu": findings.quality.air_hu,
            "blood_hu": findings.quality.blood_hu,
        },
        "limits": list(findings.limits),
        "clinical_context": _known(findings.known),
        "lungs": {
            "left_ml": findings.lungs.left_ml,
            "right_ml": findings.lungs.right_ml,
            "total_ml": findings.lungs.total_ml,
            "sides": {
                side.side: {
                    "aerated_ml": side.aerated_ml,
                    "unaerated_ml": side.unaerated_ml,
                    "aerated_fraction": side.aerated_fraction,
                }
                for side in findings.lungs.sides
            },
            "beyond": list(findings.lungs.beyond),
        },
        "candidates": [
            {
                "centre_lps_mm": list(item.centre_lps_mm),
                "probability": item.probability,
                "diameter_mm": item.diameter_mm,
            }
            for item in findings.candidates
        ],
        "nodules": [
            _nodule(nodule, uid, volume, sop_instance_uids, findings.follow_up)
            for nodule, uid in zip(findings.nodules, tracking_uids, strict=True)
        ],
        "follow_up": follow_up_to_dict(findings.follow_up),
        "pet": pet_to_dict(findings.pet),
        "exam": {
            "lung_rads": _lung_rads(findings.exam_lung_rads),
            "fleischner_2017": _fleischner(findings.exam_fleischner),
            **comparison_to_dict(findings.reported),
        },
    }


def _known(known: KnownContext | None) -> dict[str, Any] | None:
    return None if known is None else asdict(known)


def not_eligible_to_dict(
    *, study_instance_uid: str, series_instance_uid: str, reason: str
) -> dict[str, Any]:
    """What is written where nothing was analysed."""
    return {
        "schema_version": SCHEMA_VERSION,
        "study_instance_uid": study_instance_uid,
        "series_instance_uid": series_instance_uid,
        "status": "not_eligible",
        "reason": reason,
        "algorithm": {
            "name": ALGORITHM_NAME,
            "version": ALGORITHM_VERSION,
            "weights": {},
            "bank_version": None,
        },
    }


def _nodule(
    nodule: Nodule,
    tracking_uid: str,
    volume: Volume,
    sop_instance_uids: Sequence[str],
    follow_up: FollowUp | None,
) -> dict[str, Any]:
    measured = nodule.measurements
    origin = np.array(nodule.voi.origin_kji)
    return {
        "id": nodule.id,
        "tracking_uid": tracking_uid,
        "centre_lps_mm": list(nodule.centre_lps_mm),
        "laterality": nodule.laterality,
        "lobe": {"name": nodule.lobe, "probability": nodule.lobe_probability},
        "detection_probability": nodule.detection_probability,
        "long_axis_mm": measured.long_axis.length_mm,
        "short_axis_mm": measured.short_axis.length_mm,
        "mean_diameter_mm": measured.mean_diameter_mm,
        "max_3d_diameter_mm": measured.max_3d_diameter_mm,
        "solid_mean_diameter_mm": measured.solid_mean_diameter_mm,
        "volume_mm3": measured.volume_mm3,
        "solid_volume_mm3": measured.solid_volume_mm3,
        "key_plane": "axial",
        "key_slice": {
            "sop_instance_uid": sop_instance_uids[measured.key_slice_k],
            "index_k": measured.key_slice_k,
        },
        "long_axis": _axis(measured.long_axis, volume),
        "short_axis": _axis(measured.short_axis, volume),
        "voxel_count": int(nodule.voi.mask.sum()),
        "bounding_box_kji": [
            [int(value) for value in origin],
            [int(value) for value in origin + nodule.voi.mask.shape],
        ],
        "type": nodule.type,
        "mean_hu": measured.mean_hu,
        "attributes": dict(nodule.attributes),
        "grade": _grade(nodule.grade),
        "modalities": _modalities(nodule.grade),
        "similar_cases": [asdict(case) for case in nodule.grade.similar_cases],
        "growth": growth_to_dict(nodule.change, follow_up),
        "pet": uptake_to_dict(nodule.uptake),
        "guidelines": {
            "lung_rads": _lung_rads(nodule.lung_rads),
            "fleischner_2017": _fleischner(nodule.fleischner),
            "brock": {
                "probability": nodule.brock.probability,
                "missing": list(nodule.brock.missing),
            },
            "mayo": {
                "probability": nodule.mayo.probability,
                "missing": list(nodule.mayo.missing),
                "withheld": nodule.mayo.withheld,
            },
        },
        **reported_nodule_to_dict(nodule.reported_as),
    }


def _grade(grade: NoduleGrade) -> dict[str, Any]:
    if grade.withheld is not None:
        return {"withheld": grade.withheld}
    return {
        "level": grade.level,
        "patent_grade": grade.patent_grade,
        "probabilities": list(grade.probabilities),
        "suspicion": grade.suspicion,
    }


def _modalities(grade: NoduleGrade) -> dict[str, Any]:
    shares = {
        name: {
            key: value
            for key, value in asdict(share).items()
            if value is not None and (value or key not in ("masked", "simulated"))
        }
        for name, share in grade.modalities.items()
    }
    return shares or {"ct_image": {"present": True}}


def _axis(axis: Axis, volume: Volume) -> dict[str, Any]:
    ends = volume.index_to_lps([(axis.k, *axis.start_ji), (axis.k, *axis.end_ji)])
    return {
        "start_lps_mm": [float(value) for value in ends[0]],
        "end_lps_mm": [float(value) for value in ends[1]],
        "start_ji": list(axis.start_ji),
        "end_ji": list(axis.end_ji),
    }


def _lung_rads(assessment: LungRadsAssessment) -> dict[str, Any]:
    return {
        "version": assessment.version,
        "applicable": assessment.applicable,
        "category": assessment.category,
        "modifier": assessment.modifier,
        "management": assessment.management,
        "why": assessment.why,
        "offered": list(assessment.offered),
    }


def _fleischner(assessment: FleischnerAssessment) -> dict[str, Any]:
    return {
        "version": assessment.version,
        "applicable": assessment.applicable,
        "recommendation": assessment.recommendation,
        "why": assessment.why,
        "missing": list(assessment.missing),
    }
