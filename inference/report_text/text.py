"""A report's characters in one form, each with its place in the text as it came.

Full-width characters become half-width, spelled numbers before a unit become figures, spoken
punctuation becomes punctuation. Nothing is understood here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

_SAME = {
    "×": "x", "✕": "x", "╳": "x", "Х": "x", "х": "x", "∗": "x", "＊": "x", "～": "~", "〜": "~",
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "一一": "-", "→": ">", "⇒": ">", "➔": ">",
    "“": '"', "”": '"', "‘": "'", "’": "'", "【": "[", "】": "]", "、": "、", "。": "。",
    "\t": " ", "\u00a0": " ", "\u3000": " ", "\u2009": " ", "\u202f": " ", "\ufeff": " ", "•": "•",
    "φ": " ", "Φ": " ", "ø": " ", "Ø": " ", "·": "·",
}  # fmt: skip
_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}  # fmt: skip
_ONE = "(?:" + "|".join(sorted([*_SMALL, *_TENS], key=len, reverse=True)) + ")"
_SPELLED = rf"{_ONE}(?:[- ]{_ONE})?(?: point {_ONE}(?: {_ONE})?| and a half)?"
_MEASURED = (
    r"(?=(?:\s*-?\s*(?:mm|cm|millimet|centimet|pack|cig|ppd|years?\b|yrs?\b))"
    r"|\s+(?:by|x|times|to|and)\s+(?:\d|" + _ONE + r"\b)[^.;]{0,30}(?:mm|cm|millimet|centimet))"
)
_ENGLISH_NUMBER = re.compile(rf"(?i)\b{_SPELLED}\b{_MEASURED}")
_HALF = re.compile(
    r"(?i)\b(?:one[- ]half|half)(?: an?| of an?)?(?=[- ](?:pack|ppd))"
    r"|\b(?:a|an)(?= pack\b(?! year))"
)
_DIGITS = "零一二三四五六七八九"
_CHINESE_NUMBER = re.compile(
    r"[零一二两三四五六七八九十百半]+(?:点[零一二三四五六七八九]+)?"
    r"(?=\s*(?:余|多|几)?\s*(?:毫米|厘米|公分|mm|cm|年|包|支|根|盒))"
)
_POINT = re.compile(r"(?i)(?<=\d)\s+point\s+(?=\d)")
_COMMA_DECIMAL = re.compile(r"(?<=\d),(?=\d{1,2}\s*(?:mm|cm)\b)")
_SPOKEN = re.compile(
    r"(?i)[ ,.]*(?<!\ba)(?<!\bthe)(?<!\btime)(?<!\binterval)\s(?:period|full stop)\b"
    r"(?!\s+(?:of|from|between|since|to)\b|-)"
    r"|\s(?:new|next) (?:line|paragraph)\b[.,]?|(?<=\w)\s+comma(?=\s)"
    r"|(?:(?<=sion)|(?<=ings)|(?<=tion)|(?<=ison))\s+colon(?=\s)"
)


@dataclass(frozen=True, slots=True)
class NormalText:
    """Text in one form; ``origin[i]`` is the place of character ``i`` in the original."""

    text: str
    origin: tuple[int, ...]
    original: str

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original's characters behind ``text[start:end]``."""
        if start >= end:
            return (self.origin[min(start, len(self.origin) - 1)],) * 2
        return self.origin[start], self.origin[end - 1] + 1


def normalise(original: str) -> NormalText:
    """Bring a text into one form."""
    characters: list[str] = []
    origin: list[int] = []
    for place, character in enumerate(original):
        if character == "\r":
            continue
        same = _SAME.get(character)
        if same is None:
            same = character if character in "。、·" else unicodedata.normalize("NFKC", character)
        for one in same:
            characters.append(one)
            origin.append(place)
    normal = NormalText("".join(characters) + "\n", (*origin, len(original)), original)
    normal = _replace(normal, _SPOKEN, _punctuation)
    normal = _replace(normal, _ENGLISH_NUMBER, lambda found: _figure(found.group()))
    normal = _replace(normal, _POINT, lambda _: ".")
    normal = _replace(normal, _COMMA_DECIMAL, lambda _: ".")
    normal = _replace(normal, _HALF, lambda found: "1" if found.group() in ("a", "an") else "0.5")
    return _replace(normal, _CHINESE_NUMBER, lambda found: _chinese_figure(found.group()))


def _replace(
    normal: NormalText, pattern: re.Pattern[str], words: Callable[[re.Match[str]], str]
) -> NormalText:
    text: list[str] = []
    origin: list[int] = []
    last = 0
    for found in pattern.finditer(normal.text):
        start, end = found.span()
        new = words(found)
        text += [normal.text[last:start], new]
        origin += normal.origin[last:start]
        # The first and the last new character stand for both ends of what they replace.
        origin += [normal.origin[start]] * (len(new) - 1) + [normal.origin[max(start, end - 1)]] * (
            len(new) > 0
        )
        last = end
    if not text:
        return normal
    text.append(normal.text[last:])
    origin += normal.origin[last:]
    return NormalText("".join(text), tuple(origin), normal.original)


def _punctuation(found: re.Match[str]) -> str:
    spoken = found.group().strip().lower()
    if spoken.startswith(("new", "next")):
        return "\n"
    return {"comma": ",", "colon": ":"}.get(spoken, ".")


def _figure(words: str) -> str:
    whole, _, rest = words.lower().replace("-", " ").partition(" point ")
    half = whole.endswith(" and a half")
    value = 0
    for word in whole.removesuffix(" and a half").split():
        value += _SMALL.get(word, _TENS.get(word, 0))
    if rest:
        return f"{value}." + "".join(str(_SMALL.get(word, 0)) for word in rest.split())
    return f"{value}.5" if half else str(value)


def _chinese_figure(words: str) -> str:
    whole, _, rest = words.replace("两", "二").partition("点")
    if whole == "半":
        return "0.5"
    value, digit = 0.0, 0
    for character in whole:
        if character == "百":
            value, digit = value + (digit or 1) * 100, 0
        elif character == "十":
            value, digit = value + (digit or 1) * 10, 0
        elif character == "半":
            value += 0.5
        else:
            digit = _DIGITS.index(character)
    whole_part = f"{value + digit:g}"
    if rest:
        return f"{whole_part}." + "".join(str(_DIGITS.index(c)) for c in rest)
    return whole_part
