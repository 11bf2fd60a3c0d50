"""Patterns as data: one YAML table per module, one list of alternatives per pattern.

An alternative is a regular expression, or ``{before, any, after}`` where many share a frame. Case
does not matter. A table is read when one of its patterns is first used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

TABLES = "inference.report_text.lexicon.cues"


@dataclass(frozen=True, slots=True)
class Cue:
    """The pattern ``name`` of a table, compiled when it is needed."""

    table: str
    name: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """As `re` knows it."""
        return _compiled(self.table)[self.name]

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        """The first place from ``start`` on."""
        return self.pattern.search(text, start)

    def match(self, text: str) -> re.Match[str] | None:
        """At the beginning of the text."""
        return self.pattern.match(text)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """All places."""
        return self.pattern.finditer(text)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """The whole text."""
        return self.pattern.fullmatch(text)

    def blank(self, text: str) -> str:
        """The text with blanks where the pattern stands, as long as before."""
        return self.pattern.sub(lambda hit: " " * len(hit.group()), text)


@cache
def _compiled(table: str) -> dict[str, re.Pattern[str]]:
    data = yaml.safe_load(files(TABLES).joinpath(f"{table}.yaml").read_text("utf-8"))
    return {name: re.compile(_any(entries), re.IGNORECASE) for name, entries in data.items()}


def _any(entries: list[Any]) -> str:
    return "|".join(_one(entry) for entry in entries)


def _one(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    return f"{entry.get('before', '')}(?:{_any(entry['any'])}){entry.get('after', '')}"
