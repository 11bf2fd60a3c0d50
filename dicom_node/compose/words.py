"""The words of reports in a language: one table each, in ``languages/``.

Codes and their meanings stay English everywhere, since viewers look for them; what is free text
follows the destination's language. What comes with the findings (reasons, warnings, advice) is
written in English where it arises. It is recognised here by the pattern of its sentence and said
in the other language; a sentence that no table knows stays English rather than being left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

Language = Literal["en", "zh"]
ENGLISH: Language = "en"
LANGUAGES: tuple[Language, ...] = ("en", "zh")
PLACEHOLDER = re.compile(r"\\\{(\w+)\\\}")
"""A placeholder in a template that `re.escape` went over."""
NUMBERS = frozenset(
    {"count", "mm", "ml", "part", "thick", "percent", "total", "limit", "years", "low", "high",
     "size", "degrees", "found", "wanted", "z", "left_ml", "right_ml", "value",
     "before", "days", "doubling"}
)  # fmt: skip
"""Placeholders that stand for a number; the others for any words."""
ITEMS = {
    **dict.fromkeys(("told", "lobe", "type", "other"), "[^;]+?"),
    "message": "[^;()]+?",
    "day": "[0-9-]+",
}
"""Placeholders that stay within one item of a list."""
BETWEEN_ITEMS = {"; ": "semicolon", ", ": "comma", " and the ": "comma"}
"""What the findings put between the items of a list, and what reports write for it."""


class Table(BaseModel):
    """One language's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    say: Mapping[str, str]
    names: Mapping[str, str]
    phrases: Mapping[str, str]


class Words:
    """A language to write in.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.
    """

    def __init__(self, language: Language = ENGLISH) -> None:
        self.language = language
        self._table = load_table(language)
        self._patterns = _patterns()

    def say(self, key: str, **values: object) -> str:
        """A sentence of the report itself."""
        return self._table.say[key].format(**values)

    def name(self, word: str) -> str:
        """What a single word of the findings is called; itself when no table knows it."""
        return self._table.names.get(word, word)

    def names(self, words: Iterable[str]) -> str:
        """A list of such words."""
        return self.say("comma").join(map(self.name, words))

    def translate(self, text: str) -> str:
        """A sentence that came with the findings, and what it is made of, in this language."""
        if text in self._table.names:
            return self._table.names[text]
        for key, pattern in self._patterns:
            if match := pattern.fullmatch(text):
                values = {name: self.translate(value) for name, value in match.groupdict().items()}
                return self._table.phrases[key].format(**values)
        for separator, key in BETWEEN_ITEMS.items():
            parts = text.split(separator)
            if len(parts) > 1 and all(self._is_item(part, separator) for part in parts):
                return self.say(key).join(map(self.translate, parts))
        return text

    def _is_item(self, text: str, separator: str) -> bool:
        """Whether a part of a list is a word or sentence of its own; " and the " joins words."""
        return text in self._table.names or (
            separator != " and the "
            and any(pattern.fullmatch(text) for _, pattern in self._patterns)
        )


@cache
def words_of(language: Language) -> Words:
    """The words of a language, read once."""
    return Words(language)


@cache
def load_table(language: Language) -> Table:
    """A language's table as it stands in its file."""
    text = (files("dicom_node.compose.languages") / f"{language}.yaml").read_text("utf-8")
    return Table.model_validate(yaml.safe_load(text))


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The sentences of the findings; those that say the most by themselves are tried first."""
    phrases = load_table(ENGLISH).phrases
    by_length = sorted(phrases, key=lambda key: -len(re.sub(r"\{\w+\}", "", phrases[key])))
    return tuple((key, re.compile(_pattern(phrases[key]))) for key in by_length)


def _pattern(template: str) -> str:
    def group(match: re.Match[str]) -> str:
        what = r"[+-]?\d[\d.]*" if match[1] in NUMBERS else ITEMS.get(match[1], ".+?")
        return f"(?P<{match[1]}>{what})"

    return PLACEHOLDER.sub(group, re.escape(template))
