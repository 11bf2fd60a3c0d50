"""What reports say of the nodules, as ``findings.json`` writes it; absent without a report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from inference.report_values import ReportComparison, ReportedAs


def reported_nodule_to_dict(told: ReportedAs | None) -> dict[str, Any]:
    """A nodule's ``report`` under its key; empty where no report describes it."""
    if told is None:
        return {}
    return {
        "report": {
            "reports": [asdict(item) for item in told.reports],
            "said": dict(told.said),
            "why": list(told.why),
            "listed_for_report": told.listed_for_it,
            "spiculation_used": told.spiculation,
        }
    }


def comparison_to_dict(comparison: ReportComparison | None) -> dict[str, Any]:
    """The examination's ``report`` under its key; empty where there was no report."""
    if comparison is None:
        return {}
    return {
        "report": {
            "reports": [asdict(item) for item in comparison.reports],
            "not_found": [
                {
                    "reports": [asdict(report) for report in item.reports],
                    "said": dict(item.said),
                    "why": item.why,
                }
                for item in comparison.not_found
            ],
            "detected_only": list(comparison.detected_only),
        }
    }
