"""One order of an HL7 message with its results: its numbers, its day, what it is keyed by."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from workers.context.facts import iso_date
from workers.context.hl7_message import Segment


@dataclass(slots=True, kw_only=True)
class Order:
    """ORC, OBR and what follows; SPM-17 and ZDS-1 beside them."""

    orc: Segment | None = None
    obr: Segment | None = None
    collected: str = ""
    study_uid: str = ""
    results: list[Segment] = field(default_factory=list)


def observed_of(order: Order) -> str:
    """Day of specimen or examination."""
    if order.obr is None:
        return order.collected
    return order.collected or iso_date(order.obr.text(7)) or iso_date(order.obr.text(22))


def accession_of(order: Order) -> str:
    """OBR-18 where radiology keeps it, else the filler's, else the placer's number."""
    return stated_accession(order) or (_number(order) if order.obr is not None else "")


def stated_accession(order: Order) -> str:
    """OBR-18; empty where it is not there."""
    return "" if order.obr is None else order.obr.text(18)


def order_numbers(order: Order) -> tuple[str, ...]:
    """Filler's and placer's numbers: at many sites one of them is the accession number."""
    found = [
        segment.text(field)
        for segment in (order.obr, order.orc)
        if segment is not None
        for field in (3, 2)
    ]
    return tuple(dict.fromkeys(number for number in found if number))


def _number(order: Order) -> str:
    return next(iter(order_numbers(order)), "")


def result_key(sender: str, order: Order, what: str, observed: str) -> str:
    """Equal for a result and its corrections: the order's number, or, without one, the day."""
    return re.sub(r"\s", " ", f"{sender}/{_number(order) or observed}/{what}")
