"""The comparison with an earlier examination, as ``findings.json`` writes it."""

from __future__ import annotations

from typing import Any

from inference.findings import EarlierNodule, FollowUp, NoduleChange


def growth_to_dict(
    change: NoduleChange | None, follow_up: FollowUp | None
) -> dict[str, Any] | None:
    """A nodule's ``growth``; `None` where there was no earlier examination."""
    if change is None or follow_up is None:
        return None
    prior, growth = change.prior, change.growth
    return {
        "prior_study": follow_up.exam,
        "days": follow_up.days_before,
        "status": change.status,
        "matched_by": change.matched_by,
        "prior_tracking_uid": change.prior_key,
        "distance_mm": change.distance_mm,
        "mean_diameter_change_mm": change.diameter_change_mm,
        "volume_change_percent": growth.volume_change_percent if growth else None,
        "volume_doubling_days": growth.doubling_days if growth else None,
        "prior": {
            "type": prior.nodule_type,
            "mean_diameter_mm": prior.mean_diameter_mm,
            "solid_mean_diameter_mm": prior.solid_mean_diameter_mm,
            "volume_mm3": prior.volume_mm3,
            "lung_rads_category": prior.category,
        }
        if prior
        else None,
        "why": change.why,
    }


def follow_up_to_dict(follow_up: FollowUp | None) -> dict[str, Any] | None:
    """The examination's ``follow_up``; `None` where there was no earlier examination."""
    if follow_up is None:
        return None
    return {
        "prior_study": follow_up.exam,
        "days": follow_up.days_before,
        "source": follow_up.source,
        "compared": follow_up.compared,
        "why": follow_up.why,
        "lung_overlap": follow_up.overlap,
        "lungs_in_common": follow_up.common,
        "earlier_nodules": [_earlier(item) for item in follow_up.unlisted],
        "warnings": list(follow_up.warnings),
    }


def _earlier(item: EarlierNodule) -> dict[str, Any]:
    return {
        "tracking_uid": item.key,
        "status": item.status,
        "type": item.type,
        "mean_diameter_mm": item.mean_diameter_mm,
        "mean_diameter_now_mm": item.mean_diameter_now_mm,
        "place_lps_mm": None if item.place_lps_mm is None else list(item.place_lps_mm),
        "why": item.why,
    }
