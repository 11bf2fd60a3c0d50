"""How extracted facts are compared with the sentences' expected ones; README.md has the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]

LOBE_SIDE = {"RUL": "right", "RML": "right", "RLL": "right", "LUL": "left", "LLL": "left"}
# Counted wrong when wrong, never counted missing.
INFORMATIVE = frozenset({"mean_mm", "range_mm", "volume_mm3", "prior_axes_mm", "quit_years"})
HISTORY_KINDS = frozenset(
    {
        "pack_years", "smoking_status", "quit_years", "cancer_history",
        "family_lung_cancer", "emphysema", "asbestos",
    }
)  # fmt: skip
SIZE_TOLERANCE_MM = 0.05
HISTORY_TOLERANCE = 0.5  # pack-years, years


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One fact: ``right``, ``missed`` (expected, not found) or ``wrong`` (found, not expected)."""

    field: str
    verdict: str
    value: object


def score(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[Outcome]:
    """All outcomes of one sentence; both sides have the form of ``expected`` in the file."""
    return [*_nodules(expected, found), *_categories(expected, found), *_history(expected, found)]


def precision_and_recall(outcomes: Iterable[Outcome]) -> tuple[float, float]:
    """Micro-averaged over facts; 1.0 where nothing was found, or nothing was to be found."""
    verdicts = [outcome.verdict for outcome in outcomes]
    right, wrong, missed = (verdicts.count(v) for v in ("right", "wrong", "missed"))
    precision = right / (right + wrong) if right + wrong else 1.0
    recall = right / (right + missed) if right + missed else 1.0
    return precision, recall


def _is_present(nodule: Record) -> bool:
    return nodule.get("certainty") != "negated" or nodule.get("change") == "resolved"


def _facts(nodule: Record) -> dict[str, Any]:
    """Fields as comparable facts, implied ones filled in, a list of margins one fact each."""
    facts = {
        name: value
        for name, value in nodule.items()
        if value is not None
        and name not in ("certainty", "optional", "may", "category", "lobe", "lobes")
    }
    lobes = frozenset(nodule.get("lobes") or ([nodule["lobe"]] if nodule.get("lobe") else []))
    if lobes:
        sides = {LOBE_SIDE[lobe] for lobe in lobes}
        facts["lobe"] = lobes
        facts["laterality"] = sides.pop() if len(sides) == 1 else "bilateral"
    facts["nodule"] = nodule.get("certainty") or "asserted"
    if facts.get("change") == "resolved":
        facts["nodule"] = "resolved"
    if facts.get("type") == "calcified":
        facts.setdefault("calcification", "present")
    if facts.get("count") == 1:
        del facts["count"]
    for name in ("axes_mm", "prior_axes_mm"):
        if name in facts:
            facts[name] = tuple(sorted(facts[name], reverse=True))
            if len(facts[name]) == 1:
                del facts[name]
    for margin in facts.pop("margin", None) or []:
        facts[f"margin:{margin}"] = True
    return facts


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return abs(left - right) <= SIZE_TOLERANCE_MM
    return bool(left == right)


def _affinity(expected: Mapping[str, Any], found: Mapping[str, Any]) -> int:
    """Agreeing fields, less two for a size and two for a lobe that disagree."""
    both = [name for name in expected if name in found]
    agree = sum(_equal(expected[name], found[name]) for name in both)
    differ = sum(
        name in both and not _equal(expected[name], found[name]) for name in ("size_mm", "lobe")
    )
    return agree - 2 * differ


def _merged(found: Sequence[Record], groups: Sequence[Record]) -> list[Record]:
    """Join records that differ only in lobe where the sentence names one group in those lobes."""
    rest = list(found)
    for group in groups:
        alike: dict[str, list[Record]] = {}
        for nodule in rest:
            if nodule.get("lobe") in group["lobes"]:
                same = {k: v for k, v in nodule.items() if k not in ("lobe", "laterality", "count")}
                alike.setdefault(repr(sorted(same.items())), []).append(nodule)
        for several in alike.values():
            if len(several) > 1:
                rest = [nodule for nodule in rest if not any(nodule is one for one in several)]
                one = {k: v for k, v in several[0].items() if k not in ("lobe", "laterality")}
                lobes = [nodule["lobe"] for nodule in several]
                rest.append({**one, "lobes": lobes, "count": "several"})
    return rest


def _nodules(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[Outcome]:
    wanted = [nodule for nodule in expected["nodules"] if _is_present(nodule)]
    got = _merged(
        [nodule for nodule in found["nodules"] if _is_present(nodule)],
        [nodule for nodule in wanted if "lobes" in nodule],
    )
    left, right = [_facts(nodule) for nodule in wanted], [_facts(nodule) for nodule in got]
    pairs = sorted(
        (-_affinity(a, b), i, j) for i, a in enumerate(left) for j, b in enumerate(right)
    )
    partner: dict[int, int] = {}
    for negative_affinity, i, j in pairs:
        if negative_affinity <= 0 and i not in partner and j not in partner.values():
            partner[i] = j
    outcomes: list[Outcome] = []
    for i, nodule in enumerate(wanted):
        if i in partner and not nodule.get("optional"):
            outcomes += _fields(left[i], right[partner[i]], nodule.get("may", {}))
        elif i not in partner and not nodule.get("optional"):
            outcomes += [
                Outcome(field=name.partition(":")[0], verdict="missed", value=value)
                for name, value in _without_implied_side(left[i]).items()
                if name not in INFORMATIVE
            ]
    for j, facts in enumerate(right):
        if j not in partner.values():
            outcomes += [
                Outcome(field=name.partition(":")[0], verdict="wrong", value=value)
                for name, value in _without_implied_side(facts).items()
            ]
    return outcomes


def _without_implied_side(facts: dict[str, Any]) -> dict[str, Any]:
    """A side that follows from the lobe is not counted a second time."""
    return {k: v for k, v in facts.items() if k != "laterality" or "lobe" not in facts}


def _fields(expected: dict[str, Any], found: dict[str, Any], may: Record) -> list[Outcome]:
    tolerated = {name: value for name, value in may.items() if name != "margin"}
    if "certainty" in tolerated:
        tolerated["nodule"] = tolerated.pop("certainty")
    tolerated |= {f"margin:{margin}": True for margin in may.get("margin", [])}
    if tolerated.get("lobe"):
        tolerated["lobe"] = frozenset([tolerated["lobe"]])
    if tolerated.get("count") == 1 and "count" not in found:
        found = {**found, "count": 1}
    if "laterality" not in expected or ("lobe" in expected and "lobe" in found):
        found = _without_implied_side(found)
    if "lobe" in expected and found.get("laterality") == expected["laterality"]:
        found = {name: value for name, value in found.items() if name != "laterality"}
    expected = _without_implied_side(expected)
    outcomes = []
    for name in sorted({*expected, *found}):
        field = name.partition(":")[0]
        has, gets = name in expected, name in found
        if gets and name in tolerated and _equal(found[name], tolerated[name]):
            verdicts = ["right"] if has else []
        elif has and gets and _equal(expected[name], found[name]):
            verdicts = ["right"]
        else:
            verdicts = ["wrong"] * gets + ["missed"] * (has and name not in INFORMATIVE)
        outcomes += [
            Outcome(field=field, verdict=v, value=(found if v == "wrong" else expected)[name])
            for v in verdicts
        ]
    return outcomes


def _category_set(side: Mapping[str, Any]) -> set[tuple[str, str]]:
    stated = [nodule.get("category") for nodule in side["nodules"]] + [side.get("exam_category")]
    return {(category["system"], str(category["value"])) for category in stated if category}


def _categories(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[Outcome]:
    wanted, got = _category_set(expected), _category_set(found)
    verdicts = [("right", wanted & got), ("missed", wanted - got), ("wrong", got - wanted)]
    return [
        Outcome(field="category", verdict=verdict, value=category)
        for verdict, categories in verdicts
        for category in sorted(categories)
    ]


def _same_fact(left: Record, right: Record) -> bool:
    mine, other = left.get("value"), right.get("value")
    if isinstance(mine, (int, float)) and isinstance(other, (int, float)):
        equal = abs(mine - other) <= HISTORY_TOLERANCE
    else:
        equal = mine == other
    certain = left.get("certainty", "asserted") == right.get("certainty", "asserted")
    return left["kind"] == right["kind"] and equal and certain


def _history(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[Outcome]:
    never = any(fact.get("value") == "never" for fact in expected["history"])
    got: list[Record] = []
    for fact in found["history"]:
        ignored = (
            fact["kind"] not in HISTORY_KINDS
            or (fact["kind"], fact.get("value")) == ("smoking_status", "ever")
            or (never and (fact["kind"], fact.get("value")) == ("pack_years", 0))
        )
        if not ignored and not any(_same_fact(fact, other) for other in got):
            got.append(fact)
    outcomes = []
    for fact in expected["history"]:
        hit = next((other for other in got if _same_fact(fact, other)), None)
        if hit is not None:
            got.remove(hit)
        if fact.get("optional") or (hit is None and fact["kind"] in INFORMATIVE):
            continue
        verdict = "missed" if hit is None else "right"
        outcomes.append(Outcome(field=fact["kind"], verdict=verdict, value=fact))
    return outcomes + [Outcome(field=fact["kind"], verdict="wrong", value=fact) for fact in got]
