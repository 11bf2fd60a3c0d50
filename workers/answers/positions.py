"""Answered series as data sets: a table of places (``csv:FILE``), segments (``seg:DIR``)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from workers.state.answer_tables import Verdict

COLUMNS = ("series", "x", "y", "z", "diameter", "label", "readers", "type", "patient")
LABEL = {Verdict.ACCEPT: "nodule", Verdict.REGRADE: "nodule", Verdict.REJECT: "non-nodule"}
UNANSWERED = "ignore"


def positions_of(
    findings: Mapping[str, Any], newest: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]] | None:
    """The marks of one series, without `series` and `patient`.

    Accepted nodules and added ones are nodules, rejected ones are none, and what nobody answered
    is neither right nor wrong. `None` when a nodule was added whose size nobody gave: a table
    without it would call it lung.

    Parameters
    ----------
    findings : mapping
        ``findings.json`` of the series.
    newest : mapping
        The last clear answer to each nodule, by Tracking UID.
    """
    marks = []
    ours = {str(nodule["tracking_uid"]): nodule for nodule in findings.get("nodules", ())}
    for uid, nodule in ours.items():
        answer = newest.get(uid)
        label = UNANSWERED if answer is None else LABEL[Verdict(answer["verdict"])]
        said = {} if answer is None else answer["said"]
        diameter_mm = said.get("measures", {}).get("long_axis_mm", nodule["long_axis_mm"])
        kind = said.get("type") or nodule["type"]
        marks.append(_mark(nodule["centre_lps_mm"], diameter_mm, label, kind))
    for uid, answer in newest.items():
        if uid in ours or answer["verdict"] == Verdict.REJECT:
            continue
        place = answer["said"].get("centre_lps_mm")
        diameter_mm = answer["said"].get("measures", {}).get("long_axis_mm")
        if place is None or diameter_mm is None:
            return None
        marks.append(_mark(place, diameter_mm, "nodule", answer["said"].get("type")))
    return marks


def masks_of(
    findings: Mapping[str, Any], newest: Mapping[str, Mapping[str, Any]]
) -> frozenset[str] | None:
    """Tracking UIDs of the nodules whose segments are right, as ``seg:DIR`` takes them.

    `None` when the segments cannot tell the whole truth of the series: a nodule was not
    answered, or one was added, which has no segment.
    """
    ours = [str(nodule["tracking_uid"]) for nodule in findings.get("nodules", ())]
    rejected = {uid for uid, one in newest.items() if one["verdict"] == Verdict.REJECT}
    if set(ours) - newest.keys() or set(newest) - set(ours) - rejected:
        return None
    return frozenset(ours) - rejected


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _mark(
    place: Sequence[float], diameter_mm: float, label: str, kind: str | None
) -> dict[str, Any]:
    x, y, z = (f"{value:.2f}" for value in place)
    return {
        "x": x, "y": y, "z": z, "diameter": f"{diameter_mm:.2f}", "label": label,
        "readers": "", "type": kind or "",
    }  # fmt: skip
