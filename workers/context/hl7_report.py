"""The texts of a radiology or pathology report in an ORU: the report itself, and its addenda."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from workers.context.facts import FINAL, GONE, TITLE_LENGTH, ReportText
from workers.context.hl7_message import Segment, pick
from workers.context.hl7_order import (
    Order,
    observed_of,
    order_numbers,
    result_key,
    stated_accession,
)

TEXT_TYPES = frozenset({"TX", "FT", "ST"})
ADDENDUM = frozenset({"ADT", "ADDENDUM"})
"""OBX-3: the suffix of an addendum (HL7 v2.5, 7.2.4), or the code itself."""
STUDY_UID_CODES = frozenset({"110180", "113014"})
"""DCM: Study Instance UID, and DICOM Study."""
STUDY_UID_NAME = "STUDYINSTANCEUID"
"""OBX-3.2 without spaces (IHE RAD TF-2 4.28)."""
UID = re.compile(r"[0-9]+(?:\.[0-9]+)+")


def read_reports(order: Order, sender: str, day: str) -> list[ReportText]:
    """The report of an order, and each addendum by itself; none where there is no text."""
    if order.obr is None:
        return []
    texts = [
        obx for obx in order.results if obx.text(2).upper() in TEXT_TYPES and not _is_study_uid(obx)
    ]
    addenda: dict[str, list[Segment]] = {}
    for obx in texts:
        if _is_addendum(obx):
            addenda.setdefault(obx.text(4), []).append(obx)
    found = [_read(order, sender, day, [obx for obx in texts if not _is_addendum(obx)], "report")]
    for number, part in addenda.items():
        # Without a number the next addendum must not take the place of this one.
        name = number or hashlib.sha256(_text(part).encode()).hexdigest()[:16]
        found.append(_read(order, sender, day, part, f"addendum/{name}"))
    return [item for item in found if item is not None]


def _read(
    order: Order, sender: str, day: str, texts: Sequence[Segment], what: str
) -> ReportText | None:
    if order.obr is None or not texts:
        return None
    statuses = {obx.text(11).upper() for obx in texts}
    status = order.obr.text(25).upper() or ("F" if statuses <= FINAL | GONE else "P")
    if "W" in statuses or statuses <= GONE:
        status = "W"
    observed = observed_of(order) or day
    return ReportText(
        kind="report",
        key=result_key(sender, order, what, observed),
        status=status,
        observed_on=observed,
        title=(order.obr.text(4, 2) or order.obr.text(4, 1))[:TITLE_LENGTH],
        text=_text(texts),
        accession=stated_accession(order),
        orders=order_numbers(order),
        study_uid=_study_uid(order),
    )


def _text(texts: Sequence[Segment]) -> str:
    """All OBX of type TX, FT and ST, in order."""
    lines = [obx.whole(5) for obx in texts if obx.text(11).upper() not in GONE]
    return "\n".join(line for line in lines if line)


def _is_addendum(obx: Segment) -> bool:
    return bool(ADDENDUM & {obx.text(3, 1, 2).upper(), obx.text(3, 1).upper()})


def _is_study_uid(obx: Segment) -> bool:
    name = re.sub(r"\s", "", obx.text(3, 2)).upper()
    return obx.text(3) in STUDY_UID_CODES or name == STUDY_UID_NAME


def _study_uid(order: Order) -> str:
    """Of ZDS-1, else of the OBX that says it; empty where it is none."""
    values = [order.study_uid]
    for obx in order.results:
        if _is_study_uid(obx):
            values += [pick(item, number) for item in obx.repetitions(5) for number in (1, 2)]
    return next((value for value in values if UID.fullmatch(value)), "")
