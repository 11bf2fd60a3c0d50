"""The frozen report sentences: schema, counts, values backed by the text, scoring of both ends."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

HERE = Path(__file__).resolve().parent
FILE = HERE / "report_sentences.yaml"
README = (HERE / "README.md").read_text(encoding="utf-8")
ITEMS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))


def _scoring() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "tests_context_sentence_scoring", HERE / "sentence_scoring.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SCORING = _scoring()
LOBE_SIDE: dict[str, str] = SCORING.LOBE_SIDE
TRISTATE = {"present", "absent", "possible"}
NODULE_WORDS = {
    "type": {"solid", "part-solid", "ground-glass", "subsolid", "calcified"},
    "lobe": set(LOBE_SIDE),
    "laterality": {"right", "left", "bilateral"},
    "spiculation": TRISTATE,
    "lobulation": TRISTATE,
    "calcification": TRISTATE,
    "cavity": TRISTATE,
    "calcification_pattern": {
        "central", "diffuse", "laminated", "popcorn", "eccentric", "punctate",
    },
    "change": {"new", "stable", "growing", "shrinking", "resolved"},
    "certainty": {"asserted", "possible", "negated"},
}  # fmt: skip
MARGINS = {"smooth", "irregular", "well-defined", "ill-defined"}
ONE_NUMBER = {
    "size_mm", "size_below_mm", "mean_mm", "solid_part_mm", "prior_size_mm", "volume_mm3",
}  # fmt: skip
NUMBERS = {"axes_mm", "range_mm", "prior_axes_mm"}
OTHER = {"lobes", "margin", "count", "category", "optional", "may"}
CATEGORIES = {"0", "1", "2", "3", "4A", "4B", "4X"}
CANCERS = {
    "lung", "breast", "colorectal", "prostate", "thyroid", "melanoma", "lymphoma", "leukemia",
    "kidney", "bladder", "esophagus", "stomach", "liver", "pancreas", "cervix", "uterus", "ovary",
    "testis", "head-neck", "sarcoma", "other", "unspecified",
}  # fmt: skip
SMOKING = {"never", "former", "current"}
STYLES = {"prose", "telegram", "dictation", "template"}

each_item = pytest.mark.parametrize("item", ITEMS, ids=[item["id"] for item in ITEMS])


def _is_trap(item: dict[str, Any]) -> bool:
    return bool(item["tags"] != ["plain"])


def _numbers(text: str) -> set[float]:
    plain = unicodedata.normalize("NFKC", text)
    plain = re.sub(r"(?<=\d),(?=\d)", ".", plain)
    return {float(number) for number in re.findall(r"\d+(?:\.\d+)?", plain)}


def _nothing() -> dict[str, Any]:
    return {"nodules": [], "history": []}


def test_the_file_is_the_one_whose_hash_the_readme_states() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in README


def test_there_are_enough_items_traps_and_both_languages() -> None:
    languages = Counter(item["language"] for item in ITEMS)
    traps = Counter(item["language"] for item in ITEMS if _is_trap(item))
    assert len(ITEMS) >= 240
    assert traps.total() >= 100
    assert set(languages) == {"en", "zh"}
    for counts in (languages, traps):
        assert 0.45 <= counts["en"] / counts.total() <= 0.55


def test_ids_and_texts_are_unique() -> None:
    for field in ("id", "text"):
        values = [item[field] for item in ITEMS]
        assert len(values) == len(set(values)), field


def test_every_tag_is_explained_with_its_count_in_the_readme() -> None:
    counts = Counter(tag for item in ITEMS for tag in item["tags"])
    stated = dict(re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", README, re.MULTILINE))
    assert {tag: str(count) for tag, count in counts.items()} == stated


@each_item
def test_item_has_the_schema(item: dict[str, Any]) -> None:
    assert set(item) - {"note"} == {"id", "language", "style", "tags", "text", "expected"}
    assert re.fullmatch(rf"{item['language']}-\d{{3}}", item["id"])
    assert item["style"] in STYLES
    assert item["tags"]
    assert "plain" not in item["tags"] or item["tags"] == ["plain"]
    assert item["text"].strip() == item["text"]
    has_han = any("一" <= character <= "鿿" for character in item["text"])
    assert has_han == (item["language"] == "zh")
    assert set(item["expected"]) - {"exam_category"} == {"nodules", "history"}


@each_item
def test_nodules_use_the_closed_words_and_agree_with_themselves(item: dict[str, Any]) -> None:
    for nodule in item["expected"]["nodules"]:
        assert set(nodule) <= {*NODULE_WORDS, *ONE_NUMBER, *NUMBERS, *OTHER}
        for record in (nodule, nodule.get("may", {})):
            for name, words in NODULE_WORDS.items():
                assert record.get(name) is None or record[name] in words
            assert set(record.get("margin", [])) <= MARGINS
            assert record.get("count") is None or record["count"] in ("several", 1, 2, 3, 4, 5)
        assert nodule["certainty"]
        assert nodule["certainty"] != "negated" or nodule["optional"] is True
        lobes = nodule.get("lobes") or ([nodule["lobe"]] if "lobe" in nodule else [])
        sides = {LOBE_SIDE[lobe] for lobe in lobes}
        if sides:
            assert nodule["laterality"] == (sides.pop() if len(sides) == 1 else "bilateral")
        for several, one in (
            ("axes_mm", "size_mm"), ("range_mm", "size_mm"), ("prior_axes_mm", "prior_size_mm"),
        ):  # fmt: skip
            if several in nodule:
                assert nodule[one] == max(nodule[several])
        if "solid_part_mm" in nodule:
            assert nodule["type"] == "part-solid"
            assert nodule["solid_part_mm"] < nodule["size_mm"]
        if nodule.get("change") == "resolved":
            assert "size_mm" not in nodule
        if nodule.get("type") == "calcified":
            assert nodule["calcification"] == "present"


@each_item
def test_categories_and_history_use_the_closed_words(item: dict[str, Any]) -> None:
    expected = item["expected"]
    stated = [nodule.get("category") for nodule in expected["nodules"]]
    for category in [*stated, expected.get("exam_category")]:
        assert category is None or category["system"] == "Lung-RADS"
        assert category is None or category["value"] in CATEGORIES
    for fact in expected["history"]:
        assert set(fact) <= {"kind", "value", "certainty", "optional"}
        assert fact["kind"] in SCORING.HISTORY_KINDS
        assert fact["certainty"] in NODULE_WORDS["certainty"]
        if fact["kind"] in ("pack_years", "quit_years"):
            assert fact["value"] > 0
        elif fact["kind"] == "cancer_history":
            assert fact["value"] in CANCERS
        elif fact["kind"] == "smoking_status":
            assert fact["value"] in SMOKING
        else:
            assert "value" not in fact


@each_item
def test_every_size_stands_in_the_text(item: dict[str, Any]) -> None:
    if item["style"] == "dictation":  # numbers are spelled out there
        return
    numbers = _numbers(item["text"])
    for nodule in item["expected"]["nodules"]:
        for name in (ONE_NUMBER | NUMBERS) & set(nodule):
            values = nodule[name] if name in NUMBERS else [nodule[name]]
            for value in values:
                assert {float(value), round(value / 10, 3)} & numbers, name


@each_item
def test_the_expected_facts_score_as_all_right(item: dict[str, Any]) -> None:
    outcomes = SCORING.score(item["expected"], item["expected"])
    assert {outcome.verdict for outcome in outcomes} <= {"right"}


def test_finding_nothing_has_no_recall() -> None:
    outcomes = [one for item in ITEMS for one in SCORING.score(item["expected"], _nothing())]
    assert SCORING.precision_and_recall(outcomes) == (1.0, 0.0)


def test_a_nodule_where_none_is_counts_wrong_with_each_of_its_fields() -> None:
    found = _nothing() | {"nodules": [{"size_mm": 12, "laterality": "left"}]}
    outcomes = SCORING.score(_nothing(), found)
    assert {one.verdict for one in outcomes} == {"wrong"}
    assert sorted(one.field for one in outcomes) == ["laterality", "nodule", "size_mm"]


def test_a_negated_nodule_may_be_left_out_but_not_asserted() -> None:
    expected = _nothing() | {"nodules": [{"certainty": "negated", "optional": True}]}
    assert SCORING.score(expected, _nothing()) == []
    assert SCORING.score(expected, expected) == []
    verdicts = {one.verdict for one in SCORING.score(expected, {"nodules": [{}], "history": []})}
    assert verdicts == {"wrong"}


def test_a_wrong_size_is_one_wrong_and_one_missed() -> None:
    expected = _nothing() | {"nodules": [{"size_mm": 8, "lobe": "RUL"}]}
    found = _nothing() | {"nodules": [{"size_mm": 112, "lobe": "RUL"}]}
    outcomes = SCORING.score(expected, found)
    assert sorted(one.verdict for one in outcomes if one.field == "size_mm") == ["missed", "wrong"]
    assert {one.verdict for one in outcomes if one.field != "size_mm"} == {"right"}


def test_a_side_where_the_text_contradicts_itself_is_wrong() -> None:
    (item,) = (item for item in ITEMS if item["id"] == "en-110")
    found = _nothing() | {"nodules": [{"size_mm": 9, "type": "solid", "lobe": "RUL"}]}
    wrong = [one.field for one in SCORING.score(item["expected"], found) if one.verdict == "wrong"]
    assert wrong == ["lobe"]


def test_a_side_counts_once_with_its_lobe_and_alone_where_it_is_all_there_is() -> None:
    def verdicts(expected: dict[str, Any], found: dict[str, Any]) -> list[tuple[str, str]]:
        sides = ({"nodules": [{"size_mm": 8, **one}], "history": []} for one in (expected, found))
        outcomes = SCORING.score(*sides)
        return sorted((o.field, o.verdict) for o in outcomes if o.field in ("lobe", "laterality"))

    assert verdicts({"lobe": "RUL"}, {"lobe": "RUL"}) == [("lobe", "right")]
    assert verdicts({"lobe": "RUL"}, {"lobe": "LUL"}) == [("lobe", "missed"), ("lobe", "wrong")]
    assert verdicts({"lobe": "RUL"}, {"laterality": "right"}) == [("lobe", "missed")]
    assert verdicts({"lobe": "RUL"}, {"laterality": "left"}) == [
        ("laterality", "wrong"),
        ("lobe", "missed"),
    ]
    assert verdicts({"laterality": "left"}, {"laterality": "left"}) == [("laterality", "right")]
    assert verdicts({"laterality": "left"}, {"lobe": "LUL"}) == [
        ("laterality", "right"),
        ("lobe", "wrong"),
    ]


def test_a_tolerated_value_is_neither_wrong_nor_needed() -> None:
    expected = _nothing() | {"nodules": [{"size_mm": 9, "may": {"change": "growing"}}]}
    for change in ({}, {"change": "growing"}):
        found = _nothing() | {"nodules": [{"size_mm": 9, **change}]}
        assert {one.verdict for one in SCORING.score(expected, found)} == {"right"}
    found = _nothing() | {"nodules": [{"size_mm": 9, "change": "stable"}]}
    assert [o.field for o in SCORING.score(expected, found) if o.verdict == "wrong"] == ["change"]


def test_one_record_per_lobe_is_as_good_as_one_for_the_group() -> None:
    group = {"size_mm": 5, "count": "several", "lobes": ["RUL", "LUL"]}
    singles = [{"size_mm": 5, "lobe": "RUL"}, {"size_mm": 5, "lobe": "LUL"}]
    outcomes = SCORING.score(_nothing() | {"nodules": [group]}, _nothing() | {"nodules": singles})
    assert {one.verdict for one in outcomes} == {"right"}


def test_a_history_fact_with_the_wrong_certainty_is_wrong_and_missed() -> None:
    expected = _nothing() | {"history": [{"kind": "emphysema", "certainty": "negated"}]}
    found = _nothing() | {"history": [{"kind": "emphysema", "certainty": "asserted"}]}
    verdicts = sorted(one.verdict for one in SCORING.score(expected, found))
    assert verdicts == ["missed", "wrong"]
