"""What is taken from made-up sentences and reports, and where it is said to stand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.report_text.extract import LONGEST, extract
from inference.report_text.facts import ReportFacts
from tests.unit.inference.report_text.comparison import (
    Example,
    examples,
    found_category,
    found_history,
    found_nodules,
)

SETS = {name: list(examples(name)) for name in ("first", "second", "third")}


def _parameters() -> list[Any]:
    return [
        pytest.param(
            example,
            id=f"{name}-{number}",
            marks=[pytest.mark.xfail(reason=example.wrong)] if example.wrong else [],
        )
        for name, found in SETS.items()
        for number, example in enumerate(found)
    ]


@pytest.mark.parametrize("example", _parameters())
def test_a_text_gives_its_facts_and_no_others(example: Example) -> None:
    found = extract(example.text).to_dict()

    nodules = found_nodules(found)
    for row in example.optional:
        if row in nodules:
            nodules.remove(row)
    assert sorted(map(str, map(_ordered, nodules))) == sorted(
        map(str, map(_ordered, example.nodules))
    )
    assert found_history(found) == example.history
    assert found_category(found) == example.category


def _ordered(row: Any) -> list[tuple[str, Any]]:
    plain = {
        key: sorted(value) if isinstance(value, frozenset) else value for key, value in row.items()
    }
    numbers = {
        key: float(value) if isinstance(value, int) else value for key, value in plain.items()
    }
    return sorted(numbers.items())


def test_the_sets_are_of_some_size_and_in_both_languages() -> None:
    texts = [example.text for found in SETS.values() for example in found]
    chinese = [text for text in texts if any("\u4e00" <= sign <= "\u9fff" for sign in text)]

    assert len(texts) >= 250
    assert len(chinese) >= 100
    assert len(set(texts)) == len(texts)


def test_every_value_names_the_words_it_came_from() -> None:
    text = "FINDINGS:\nThe liver is normal. RUL nodule, ８ × ６ ｍｍ,\nspiculated, previously 5 mm."

    nodule = extract(text).nodules[0]

    assert {name: source.words for name, source in nodule.sources.items()} == {
        "nodule": "nodule",
        "lobe": "RUL",
        "size_mm": "８ × ６ ｍｍ",
        "axes_mm": "８ × ６ ｍｍ",
        "spiculation": "spiculated",
        "prior_size_mm": "5 mm",
    }
    for source in nodule.sources.values():
        assert text[source.start : source.end] == source.words
        assert source.words in source.sentence


def test_an_empty_text_says_nothing() -> None:
    assert extract(" \n ") == ReportFacts()


def test_a_text_that_is_no_report_is_refused() -> None:
    with pytest.raises(ValueError, match="the limit is 200000"):
        extract("a" * (LONGEST + 1))


WORDS = [
    "nodule", "6 mm", "RUL", "no", "and", ",", ".", ";", "(", ")", "?", "previously", "largest",
    "right", "\n", "结节", "右肺上叶", "未见", "，", "。", "8mm×6mm", "较前", "吸烟",
    "20支/天", "30年", "癌",
    "Lung-RADS", "4A", "history of", "if", "->", "from", "to", "solid", "component", "both", "half",
    "pack", "a day", "×", "Findings:", "Impression:", "【诊断】", "1.", "2、",
    "another", "one", "½", "٣",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30), st.sampled_from(["", " "]))
def test_no_order_of_words_breaks_it_and_sources_stay_inside(words: list[str], gap: str) -> None:
    text = gap.join(words)

    facts = extract(text)

    assert extract(text) == facts
    for nodule in facts.nodules:
        for source in nodule.sources.values():
            assert text[source.start : source.end] == source.words


def test_a_category_in_an_item_of_its_own_is_the_examinations() -> None:
    facts = extract("IMPRESSION: 1. New 4 mm nodule, LLL. 2. Lung-RADS 4A.")

    assert facts.nodules[0].category is None
    assert facts.exam_category is not None
    assert facts.exam_category.value == "4A"
