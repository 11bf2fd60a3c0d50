"""A reported nodule in few English words, and as plain values: for findings and reports.

The words are a list whose every part a report's tables know in each language
(`dicom_node.compose.words`); they are none of the text's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from inference.report_text.facts import LOBE_NAMES, ReportedNodule, ReportFacts


def said_of(nodule: ReportedNodule) -> dict[str, Any]:
    """What is told of a nodule, by field; lengths in mm."""
    return dict(ReportFacts(nodules=(nodule,)).to_dict()["nodules"][0])


def in_words(nodule: ReportedNodule) -> str:
    """What is told of a nodule: ``8 x 6 mm, solid, right upper lobe, spiculated``."""
    return ", ".join(_parts(nodule))


def _parts(nodule: ReportedNodule) -> Iterator[str]:
    if nodule.certainty == "possible":
        yield "uncertain"
    if nodule.axes_mm and nodule.size_mm in nodule.axes_mm:
        yield " x ".join(f"{axis:g}" for axis in nodule.axes_mm) + " mm"
    elif nodule.size_mm is not None:
        yield f"{nodule.size_mm:g} mm"
    elif nodule.size_below_mm is not None:
        yield f"under {nodule.size_below_mm:g} mm"
    if nodule.type is not None:
        yield nodule.type
    if nodule.lobe is not None:
        yield LOBE_NAMES[nodule.lobe]
    elif nodule.laterality is not None:
        yield "both lungs" if nodule.laterality == "bilateral" else f"{nodule.laterality} lung"
    for name, present in (
        ("spiculated", nodule.spiculation),
        ("lobulated", nodule.lobulation),
        ("with calcification", nodule.calcification),
        ("with a cavity", nodule.cavity),
    ):
        if present == "present" and not (
            name == "with calcification" and nodule.type == "calcified"
        ):
            yield name
        elif present == "absent" and name in ("spiculated", "lobulated"):
            yield f"not {name}"
    if nodule.change is not None:
        yield nodule.change
    if nodule.count is not None:
        yield "several" if nodule.count == "several" else f"{nodule.count} of them"
