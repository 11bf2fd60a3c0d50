"""Made-up texts with what a careful reader takes from them, and how found facts are compared.

Strict: every expected field and no other. Sizes of a group told once may stand in one record for
each lobe; what is derived beside it (ranges, means, volumes) may be left out of the expectation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inference.report_text.facts import LOBE_SIDES

FOLDER = Path(__file__).parent
INFORMATIVE = ("range_mm", "mean_mm", "volume_mm3", "prior_axes_mm")
SHORT = ("n", "h", "c")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text and its facts; ``wrong`` says why the extractor is known to miss them."""

    text: str
    nodules: tuple[Mapping[str, Any], ...]
    optional: tuple[Mapping[str, Any], ...]
    history: frozenset[tuple[Any, ...]]
    category: str | None
    wrong: str | None


def examples(name: str) -> Iterator[Example]:
    """All of a set."""
    for item in yaml.safe_load((FOLDER / f"{name}_set.yaml").read_text("utf-8")):
        nodules = [dict(one) for one in item.get("n", [])]
        yield Example(
            text=item["t"],
            nodules=tuple(
                row for one in nodules if not one.get("optional") for row in _comparable(one)
            ),
            optional=tuple(
                row for one in nodules if one.pop("optional", False) for row in _comparable(one)
            ),
            history=frozenset(
                (kind, *(rest[:1] or [None]), (rest[1:] or ["asserted"])[0])
                for kind, *rest in item.get("h", [])
            ),
            category=item.get("c"),
            wrong=item.get("wrong"),
        )


def found_nodules(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of `ReportFacts.to_dict`, in comparable form."""
    return [row for one in found["nodules"] for row in _comparable(dict(one))]


def found_history(found: Mapping[str, Any]) -> frozenset[tuple[Any, ...]]:
    """Of `ReportFacts.to_dict`, in comparable form."""
    return frozenset(
        (fact["kind"], fact.get("value"), fact["certainty"]) for fact in found["history"]
    )


def found_category(found: Mapping[str, Any]) -> str | None:
    """That of the examination or of a nodule."""
    told = [one["category"] for one in found["nodules"] if "category" in one]
    told += [found["exam_category"]] if "exam_category" in found else []
    return told[0]["value"] if told else None


def _comparable(nodule: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Fields in one form, implied ones added; a group in several lobes is one row for each."""
    row = {key: value for key, value in nodule.items() if key not in (*INFORMATIVE, "category")}
    row.setdefault("certainty", "asserted")
    if row.get("type") == "calcified":
        row.setdefault("calcification", "present")
    if "axes_mm" in row:
        row["axes_mm"] = sorted(map(float, row["axes_mm"]))
    row["margin"] = frozenset(row.get("margin", ()))
    lobes = row.pop("lobes", None)
    if lobes:
        row.pop("count", None)
    for lobe in lobes or [row.get("lobe")]:
        side = {"lobe": lobe, "laterality": LOBE_SIDES[lobe]} if lobe else {}
        yield {**row, **side}
