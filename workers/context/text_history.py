"""The patient's history as reports tell it, as values beside those that come in codes.

Only what a text affirms: what it denies, suspects or asks says nothing here. Weaker than any code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from inference.report_text.exam import read_once
from inference.report_text.facts import HistoryFact
from workers.context.exam_report import ToldReport
from workers.context.facts import Value

FLAGS = {"emphysema": "emphysema", "family_lung_cancer": "family_history_lung_cancer"}
SMOKED = {"current": True, "former": True, "never": False}
SENDER = "text"
"""System of what stands for a code."""


def history_values(told: Iterable[ToldReport]) -> Iterator[tuple[ToldReport, Value]]:
    """Each affirmed item of history with the report that tells it."""
    for item in told:
        for fact in read_once(item.report.text).history:
            if fact.certainty == "asserted":
                for name, number, flag in _items(fact):
                    yield item, _to_value(item, fact, name, number, flag)


def _items(fact: HistoryFact) -> Iterator[tuple[str, float | None, bool | None]]:
    """Item, number and flag; nothing for what no rule asks for."""
    if fact.kind in FLAGS:
        yield FLAGS[fact.kind], None, True
    elif fact.kind == "cancer_history":
        yield "cancer", None, True
    elif fact.kind == "smoking_status" and fact.value in SMOKED:
        yield "smoking_status", None, SMOKED[str(fact.value)]
    elif fact.kind == "pack_years" and isinstance(fact.value, float):
        yield "pack_years", fact.value, None


def _to_value(
    item: ToldReport, fact: HistoryFact, name: str, number: float | None, flag: bool | None
) -> Value:
    words = str(fact.value) if isinstance(fact.value, str) else fact.kind
    return Value(
        item=name,
        code=f"{SENDER}^{words}",
        key=f"{item.report.key}/{SENDER}/{name}/{words}",
        status=item.report.status,
        observed_on=item.report.observed_on,
        number=number,
        flag=flag,
        problem="" if item.report.observed_on else "there is no day",
    )
