"""Lobes, segments and sides of the lungs in a sentence."""

from __future__ import annotations

import re

from inference.report_text.cues import Cue
from inference.report_text.terms import Mention, longest

_LEVELS = {"upper": "U", "middle": "M", "lower": "L", "上": "U", "中": "M", "下": "L", "舌": "U"}
_ABBREVIATION = re.compile(r"(?<![A-Za-z])(RUL|RML|RLL|LUL|LLL|LML)(?![A-Za-z])", re.IGNORECASE)
_SIDES = {
    "right": "right", "rt": "right", "r": "right", "右": "right",
    "left": "left", "lt": "left", "l": "left", "左": "left",
    "bilateral": "bilateral", "both": "bilateral", "双": "bilateral", "两": "bilateral",
}  # fmt: skip
_SIDE = r"(?P<side>right|left|rt\.?|lt\.?|r|l|both|bilateral)"
_LEVEL = r"(?:upper|middle|mid|lower)"
_JOIN = r"\s*(?:,|/|,?\s*and|,?\s*or|&|\+)\s*(?:the\s+)?"
_LOBE_EN = re.compile(
    rf"(?i)(?<![A-Za-z]){_SIDE}[-\s]+(?P<levels>{_LEVEL}(?:{_JOIN}{_LEVEL})*)[-\s]*"
    rf"(?:(?:lobes?|lobar|lobe's|lung)(?![A-Za-z])(?!\s+(?:zones?|fields?))"
    rf"|(?=(?:{_JOIN}(?:(?:right|left|rt|lt)\s+)?{_LEVEL})+[-\s]+(?:lobes?|lobar)))"
)
_LOBE_OF_EN = re.compile(
    rf"(?i)(?<![A-Za-z])(?P<levels>{_LEVEL}(?:{_JOIN}{_LEVEL})*)[-\s]+lobes?(?:,|\s+of|\s+on|\s+in)\s*(?:the\s+|her\s+|his\s+)?"
    r"(?P<side>right|left|rt|lt)(?:\s+lung|\s+side)?(?![A-Za-z])"
)
_LUNG_LOBE_EN = re.compile(
    rf"(?i)(?<![A-Za-z])(?P<side>right|left)\s+lung[,;:\s/-]+(?:in\s+)?(?:the\s+)?(?P<levels>{_LEVEL})(?:\s+lobe)?(?![A-Za-z])(?!\s+(?:zone|field))"
)
_BOTH_LOBES = re.compile(
    rf"(?i)(?<![A-Za-z])(?:(?:both|bilateral)\s+)?(?P<levels>(?:upper|lower)(?:{_JOIN}(?:upper|lower))*)[-\s]+lobes(?![A-Za-z])"
)
_LINGULA = re.compile(r"(?i)(?:(?:left|lt)\s+)?lingula(?:r)?(?:\s+segment)?")
_MIDDLE = re.compile(r"(?i)(?<![A-Za-z])(?:the\s+)?middle[-\s]lobe")
_LEVEL_ALONE = re.compile(r"(?i)(?<![A-Za-z])(?P<levels>upper|lower)[-\s]lobe(?![A-Za-z])")
_SEGMENT_EN = re.compile(
    r"(?i)(?<![A-Za-z])(?:(?P<side>right|left|rt|lt|r|l)\s+(?:lung\s+)?(?:segment\s+|seg\.?\s*)?S?(?P<n>10|[1-9])(?=\s*(?:[,;.()/+]|nodule|segment|$|\s(?:\d|solid|ground|with|measur)))"
    r"|(?:segment|seg\.?)\s+S?(?P<n2>10|[1-9])(?:\s+of)?(?:\s+the)?\s+(?P<side2>right|left)"
    r"|(?P<side3>right|left|R|L)(?:\s+lung)?(?:\s+|,\s*|-)?S\s?(?P<n3>10|[1-9])(?!\d)(?:\s*[+/]\s*\d)?"
    r"|S\s?(?P<n4>10|[1-9])(?:\s*[+/]\s*\d)?\s*(?:\(|,)?\s*(?:of\s+the\s+|of\s+)?(?P<side4>right|left)(?:\s+lung)?\)?)"
)
_NAMED_EN = Cue("places", "named_en")
_SIDE_EN = Cue("places", "side_en")
_BOTH_LUNGS = re.compile(
    r"(?i)(?<![A-Za-z])(?:throughout\s+|in\s+)?(?:both|each|the\s+two)\s+(?:lungs?|sides|bases|apices|hemithoraces)(?![A-Za-z])|bilateral(?:ly)?(?:\s+pulmonary|\s+lungs?)?"
)

_LOBE_ZH = re.compile(
    r"(?P<side>右|左|双|两)(?:侧)?肺?(?P<levels>[上中下舌](?:[叶肺]?[、/及和与][上中下舌]|[上中下])*)(?:[叶肺]|(?<=舌)段)(?!野)"
)
_ALONE_ZH = re.compile(r"(?P<levels>[上下])叶")
_SEGMENT_ZH = re.compile(
    r"(?P<side>右|左)侧?肺?\(?[sS](?P<n>10|[1-9])(?!\d)(?:[aciABab]?)(?:\s*[+/]\s*\d+)*\)?段?"
)
_NAMED_ZH = re.compile(
    r"(?P<side>右|左)侧?肺?(?P<name>尖后段|尖前段|尖段|背段|(?:前|后|内|外|前内|内前|后外)?基底段|舌段|后段|前段)"
)
_SIDE_ZH = re.compile(
    r"(?P<side>右|左|双|两)(?:侧)?(?:上|中|下)?(?:肺(?:野|尖|底|门(?:旁|区)?|部|内|叶)?|侧(?!叶)|肺门)(?!动脉|静脉)"
)


def find_places(text: str) -> list[Mention]:
    """Mentions labelled ``place`` (lobes), ``side`` and ``level`` (a lobe without its side)."""
    found: list[Mention] = []
    for hit in _ABBREVIATION.finditer(text):
        name = hit.group().upper()
        found.append(_mention(hit, "place", (name,) if name != "LML" else ("?",)))
    for pattern in (_LOBE_EN, _LOBE_OF_EN, _LUNG_LOBE_EN, _LOBE_ZH):
        found += [
            _mention(hit, "place", _lobes(hit["side"], _levels(hit["levels"])))
            for hit in pattern.finditer(text)
        ]
    found += [
        _mention(hit, "place", _lobes("both", _levels(hit["levels"])))
        for hit in _BOTH_LOBES.finditer(text)
    ]
    found += [_mention(hit, "place", ("LUL",)) for hit in _LINGULA.finditer(text)]
    found += [_mention(hit, "place", ("RML",)) for hit in _MIDDLE.finditer(text)]
    for pattern in (_SEGMENT_EN, _SEGMENT_ZH):
        for hit in pattern.finditer(text):
            named = {key.rstrip("234"): value for key, value in hit.groupdict().items() if value}
            lobe = _segment(named["side"], int(named["n"]))
            found.append(_mention(hit, "place", (lobe,)))
    for named_pattern in (_NAMED_EN.pattern, _NAMED_ZH):
        for hit in named_pattern.finditer(text):
            found.append(_mention(hit, "place", (_named(hit["side"], hit["name"].lower()),)))
    found = longest(found)
    weaker = [
        *(_mention(hit, "level", _levels(hit["levels"])[0]) for hit in _LEVEL_ALONE.finditer(text)),
        *(_mention(hit, "level", _levels(hit["levels"])[0]) for hit in _ALONE_ZH.finditer(text)),
        *(_mention(hit, "side", _side(hit["side"])) for hit in _SIDE_EN.finditer(text)),
        *(_mention(hit, "side", _side(hit["side"])) for hit in _SIDE_ZH.finditer(text)),
        *(_mention(hit, "side", "bilateral") for hit in _BOTH_LUNGS.finditer(text)),
    ]
    taken = [(one.start, one.end) for one in found]
    free = [
        one
        for one in weaker
        if not any(one.start < end and start < one.end for start, end in taken)
    ]
    return sorted([*found, *longest(free)], key=lambda one: one.start)


def _mention(hit: re.Match[str], label: str, value: object) -> Mention:
    return Mention(start=hit.start(), end=hit.end(), label=label, value=value, words=hit.group())


def _side(words: str) -> str:
    return _SIDES[words.lower().rstrip(".").removesuffix("ly")]


def _levels(words: str) -> list[str]:
    names = re.findall(r"upper|middle|mid|lower|[上中下舌]", words.lower())
    return [_LEVELS["middle" if name == "mid" else name] for name in names]


def _lobes(side: str, levels: list[str]) -> tuple[str, ...]:
    """Names of lobes; a left middle lobe is a contradiction, ``?``."""
    where = _side(side)
    letters = {"right": "R", "left": "L", "bilateral": "RL"}[where]
    names = [f"{letter}{level}L" for letter in letters for level in levels]
    if where == "bilateral":
        names = [name for name in names if name != "LML"]
    return tuple(dict.fromkeys("?" if name == "LML" else name for name in names))


def _segment(side: str, number: int) -> str:
    right = _side(side) == "right"
    if number >= 6:
        return "RLL" if right else "LLL"
    if right:
        return "RUL" if number <= 3 else "RML"
    return "LUL"


def _named(side: str, name: str) -> str:
    right = _side(side) == "right"
    upper = ("apicoposterior", "尖后段", "尖前段", "尖段", "后段", "前段", "舌段")
    if name in upper:
        return "RUL" if right and name != "舌段" else ("?" if right else "LUL")
    return "RLL" if right else "LLL"
