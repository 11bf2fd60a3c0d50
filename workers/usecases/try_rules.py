"""What the eligibility rules say of the series in a folder, as plain values."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dicom_node.read.eligibility import RuleSet
from workers.folder import judge_folder


def try_rules(folder: Path, rules: RuleSet) -> list[dict[str, Any]]:
    """Which rule says what of each series; no patient data."""
    return [
        {
            "series_instance_uid": item.series_uid,
            "instances": len(item.paths),
            "eligible": item.refusal is None,
            "code": item.refusal[0] if item.refusal else None,
            "reason": item.refusal[1] if item.refusal else None,
            "warnings": [*item.geometry.warnings, *item.verdict.warnings],
            "checks": [asdict(check) for check in item.verdict.checks],
        }
        for item in judge_folder(folder, rules)
    ]
