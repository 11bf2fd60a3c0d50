"""An analysed CT as the earlier examination of another."""

from __future__ import annotations

from inference.findings import CaseFindings
from inference.follow_up.exam import PriorExam, PriorFinding
from inference.volume import Volume


def exam_of(found: CaseFindings, volume: Volume | None, *, days: float) -> PriorExam:
    return PriorExam(
        key="1.2.3",
        days_before=days,
        findings=tuple(
            PriorFinding(
                key=f"1.2.3.{nodule.id}",
                centre_lps_mm=nodule.centre_lps_mm,
                type=nodule.type,
                mean_diameter_mm=nodule.measurements.mean_diameter_mm,
                volume_mm3=nodule.measurements.volume_mm3,
                laterality=nodule.laterality,
                lobe=nodule.lobe,
            )
            for nodule in found.nodules
        ),
        volume=volume,
        places=tuple(item.centre_lps_mm for item in found.candidates),
        same_method=True,
    )
