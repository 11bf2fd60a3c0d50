"""The report text extractor on the frozen sentences, which nobody who wrote it had seen.

``python -m tests.context.test_report_text`` prints the figures by field and every error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference.report_text.extract import extract
from tests.context.sentence_scoring import Outcome, precision_and_recall, score

SENTENCES = Path(__file__).with_name("report_sentences.yaml")
LEAST_PRECISION, LEAST_RECALL = 0.95, 0.85


def outcomes() -> Iterator[tuple[Mapping[str, Any], list[Outcome]]]:
    for item in yaml.safe_load(SENTENCES.read_text("utf-8")):
        yield item, score(item["expected"], extract(item["text"]).to_dict())


@pytest.mark.parametrize("language", ["en", "zh", None])
def test_precision_and_recall_on_sentences_never_seen(language: str | None) -> None:
    found = [
        outcome
        for item, scored in outcomes()
        if language is None or item["language"] == language
        for outcome in scored
    ]

    precision, recall = precision_and_recall(found)

    assert len(found) > 600
    assert precision >= LEAST_PRECISION
    assert recall >= LEAST_RECALL


def main() -> None:
    """Print what `docs/report_text.md` says of the frozen set."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    errors: list[str] = []
    clean = total = 0
    for item, scored in outcomes():
        total += 1
        wrong = [outcome for outcome in scored if outcome.verdict != "right"]
        clean += not wrong
        for name in ("all", item["language"], "plain" if item["tags"] == ["plain"] else "traps"):
            groups[name] += scored
        for outcome in scored:
            groups[f"field {outcome.field}"].append(outcome)
        if wrong:
            errors.append(f"{item['id']}: {' / '.join(item['text'].splitlines())}")
            errors += [f"    {each.verdict} {each.field}: {each.value}" for each in wrong]
    for name, found in groups.items():
        precision, recall = precision_and_recall(found)
        print(f"{name:28} precision {precision:.3f} recall {recall:.3f} facts {len(found)}")  # noqa: T201
    print(f"items without any error: {clean} of {total}", *errors, sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
