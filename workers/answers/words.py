"""What a label says: viewers keep a radiologist's words, and none of our codes.

Only plain words count; whatever else a label says stays a comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicom_node.read.measurement_report import FINDING, TrackedFinding

REJECTED = frozenset(
    {
        "rejected", "reject", "false positive", "no nodule", "not a nodule",
        "假阳性", "非结节", "排除",
    }
)  # fmt: skip
"""A label or the meaning of a code that is one of these says that there is no nodule."""
REJECTED_CODES = frozenset({("99PULMONODE", "REJECTED"), ("DCM", "111152"), ("SCT", "64100000")})
"""Coding scheme and value: ours; Not for Presentation (CID 6034); False positive."""
NODULE_CODES = frozenset(
    {
        ("SCT", "27925004"), ("SCT", "786838002"), ("SCT", "427359005"), ("SCT", "445249002"),
        ("SCT", "4147007"), ("SRT", "M-03010"), ("SRT", "M-01020"), ("RADLEX", "RID3875"),
    }
)  # fmt: skip
"""Nodule, Pulmonary nodule, Solitary and Multiple nodules of lung, Mass."""
NODULE_WORDS = re.compile(r"(?i)\b(nodule|nodules|mass)\b|结节|肿块")
DOUBT = re.compile(r"(?i)\b(not|no|never|or|vs|versus|unlikely|rather than)\b|[?\uff1f]|不|非|否")
"""What turns a level in a label into something else than a level."""
LEVEL = re.compile(r"(?i)(?:\blevel|级别|等级)\s*[:=\uff1a]?\s*(IV|III|II|I)\b")
RATING = re.compile(r"(?i)(?:\brating|评分)\s*[:=\uff1a]?\s*([1-5](?:\.\d+)?)(?![\d.])")
LUNG_RADS = re.compile(r"(?i)\blung-?\s?rads\s*[:=\uff1a]?\s*(0|1|2|3|4A|4B|4X)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What a label says, as far as it is plain.

    `unclear` says why not, and is empty otherwise.
    """

    rejected: bool = False
    level: str | None = None
    rating: float | None = None
    lung_rads: str | None = None
    unclear: str = ""


def read_label(text: str) -> Spoken:
    """Read one label."""
    if _plain(text) in REJECTED:
        return Spoken(rejected=True)
    levels = {found.upper() for found in LEVEL.findall(text)}
    ratings = {float(found) for found in RATING.findall(text)}
    categories = {found.upper() for found in LUNG_RADS.findall(text)}
    if any(phrase in _plain(text) for phrase in REJECTED):
        return Spoken(unclear="its label may reject it, and says more than that")
    if (levels or ratings or categories) and DOUBT.search(text):
        return Spoken(unclear="its label doubts or denies what it names")
    for name, found in (("level", levels), ("rating", ratings), ("Lung-RADS", categories)):
        if len(found) > 1:
            told = ", ".join(sorted(map(str, found)))
            return Spoken(unclear=f"its label names more than one {name}: {told}")
    rating = next(iter(ratings), None)
    if rating is not None and rating > 5:
        return Spoken(unclear=f"its label gives a rating of {rating:g}, on a scale of 1 to 5")
    return Spoken(
        level=next(iter(levels), None), rating=rating, lung_rads=next(iter(categories), None)
    )


def says_rejected(finding: TrackedFinding) -> bool:
    """Whether a code of the finding says that there is no nodule."""
    return any(
        (finding.schemes.get(concept, ""), value) in REJECTED_CODES
        or _plain(finding.meanings.get(concept, "")) in REJECTED
        for concept, value in finding.codes.items()
    )


def says_nodule(finding: TrackedFinding) -> bool:
    """Whether a finding calls itself a nodule, by its code or by its label."""
    code = finding.schemes.get(FINDING, ""), finding.codes.get(FINDING, "")
    if code[1]:
        return code in NODULE_CODES or NODULE_WORDS.search(finding.meanings[FINDING]) is not None
    return any(NODULE_WORDS.search(text) for text in finding.comments)


def _plain(text: str) -> str:
    return " ".join(text.casefold().strip(" .:!-").split())
