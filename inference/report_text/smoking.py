"""Smoking in a clause: pack-years, status, years since quitting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inference.report_text.cues import Cue

CIGARETTES_PER_PACK = 20

_N = r"(\d{1,4}(?:\.\d+)?)"
_STATED = Cue("smoking", "stated")
_INDEX = Cue("smoking", "index")
_PER_DAY = r"(?:/|a|per|each|every|x)?\s*(?:d\b|day|daily)"
_DAILY = Cue("smoking", "daily")
_YEARS = Cue("smoking", "years")
_SMOKE = Cue("smoking", "smoke")
_QUIT = Cue("smoking", "quit")
_QUIT_AGO = Cue("smoking", "quit_ago")
_NEVER = Cue("smoking", "never")
_FORMER = Cue("smoking", "former")
_CURRENT = Cue("smoking", "current")
_PASSIVE = Cue("smoking", "passive")
_OTHERS = Cue("smoking", "others")
_RULE = Cue("smoking", "rule")
_NO_QUITTING = Cue("smoking", "no_quitting")
_PATIENT_SMOKES = Cue("smoking", "patient_smokes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoked:
    """One item: ``pack_years``, ``smoking_status`` or ``quit_years``, where it stands."""

    kind: str
    value: float | str
    start: int
    end: int


def find_smoking(text: str) -> list[Smoked]:
    """What a sentence says of the patient's smoking."""
    if _RULE.search(text) and not _PATIENT_SMOKES.search(text):
        return []
    blanked = _PASSIVE.blank(text)
    if _OTHERS.search(blanked):
        blanked = _without_clauses(blanked)
    return [*_pack_years(blanked), *_status(blanked), *_quit(blanked)]


def _without_clauses(text: str) -> str:
    """Clauses about other people's smoke made blank."""
    pieces = re.split(r"([,;。.](?!\d))", text)
    return "".join(" " * len(piece) if _OTHERS.search(piece) else piece for piece in pieces)


def _pack_years(text: str) -> Iterator[Smoked]:
    for hit in _STATED.finditer(text):
        number = next(group for group in hit.groups() if group)
        before = text[max(0, hit.start() - 14) : hit.start()]
        if re.search(r"(?i)(?:<|less than|under|小于|不足)\s*$", before):
            continue
        yield _item("pack_years", float(number), hit)
        return
    for hit in _INDEX.finditer(text):
        number = float(next(group for group in hit.groups() if group))
        yield _item("pack_years", number / CIGARETTES_PER_PACK, hit)
        return
    if not _SMOKE.search(text):
        return
    for hit in _DAILY.finditer(text):
        numbers = [float(group) for group in hit.groups()[:2] if group]
        numbers += [
            float(group) for group in hit.groups() if group and re.fullmatch(r"[\d.]+", group)
        ]
        packs = hit["ppd"] or hit["pack"] or hit["zh"] in ("包", "盒") or hit["zh2"] in ("包", "盒")
        daily = numbers[0] if packs else numbers[0] / CIGARETTES_PER_PACK
        if packs and text[hit.end() :].startswith("半"):
            daily += 0.5
        years = _years_beside(text, hit)
        if years is not None:
            yield Smoked(
                kind="pack_years", value=round(daily * years, 3), start=hit.start(), end=hit.end()
            )
            return


def _years_beside(text: str, daily: re.Match[str]) -> float | None:
    """Years of smoking, not those since: just after the daily number, else before it."""
    quit_spans = [hit.span() for hit in _QUIT.finditer(text)]
    found = [
        hit
        for hit in _YEARS.finditer(text)
        if not any(
            start <= hit.start() + 1 < end or start < hit.end() <= end for start, end in quit_spans
        )
        and not (hit.start() < daily.end() and daily.start() < hit.end())
        and not re.match(r"(?i)\s*[- ]?(?:old|M\b|F\b|male|female|岁)", text[hit.end() :])
    ]
    after = [hit for hit in found if 0 <= hit.start() - daily.end() <= 40]
    before = [hit for hit in found if 0 <= daily.start() - hit.end() <= 40]
    chosen = after[:1] or before[-1:]
    return float(next(group for group in chosen[0].groups() if group)) if chosen else None


def _status(text: str) -> Iterator[Smoked]:
    former, current, never = _FORMER.search(text), _CURRENT.search(text), _NEVER.search(text)
    if (
        former
        and re.match(r"(?i)quit", former.group())
        and _NO_QUITTING.search(text[: former.start()])
    ):
        former = None
    if former and re.search(r"(?:未|尚未|没有|建议|应)$", text[: former.start()]):
        former = None
    if former and not _SMOKE.search(text):
        former = None
    if former:
        yield _item("smoking_status", "former", former)
    elif never and not (
        current and current.start() != never.start() and current.end() > never.end()
    ):
        yield _item("smoking_status", "never", never)
    elif current:
        yield _item("smoking_status", "current", current)


def _quit(text: str) -> Iterator[Smoked]:
    if not _SMOKE.search(text):
        return
    for hit in _QUIT.finditer(text):
        number = next(group for group in hit.groups() if group)
        words = hit.group()
        if re.search(r"(?i)(?:age|aged|at)\s+\d+\s*(?:years?|y)", words) or (
            re.search(r"(?i)pack|ppd|smok(?:ed|ing) (?:for|x)", words)
            and "ago" not in text[hit.end() : hit.end() + 6]
        ):
            continue
        yield _item("quit_years", float(number), hit)
        return


def _item(kind: str, value: float | str, hit: re.Match[str]) -> Smoked:
    return Smoked(kind=kind, value=value, start=hit.start(), end=hit.end())
