"""How far negation, doubt, conditions and advice reach.

After NegEx (Chapman et al., J Biomed Inform 2001;34:301) and ConText (Harkema et al., J Biomed
Inform 2009;42:839): a cue reaches forward to the term unless a breaker stands in between.
Chinese cues reach to the next comma; enumerations (、及和或) do not stop them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.report_text.cues import Cue
from inference.report_text.facts import Presence
from inference.report_text.terms import Mention

_ZONE = Cue("scope", "zone")
_RULE = Cue("scope", "rule")
CORRECTED = Cue("scope", "corrected")
_BREAK_EN = Cue("scope", "break_en")
_BREAK_ZH = Cue("scope", "break_zh")
_NATURE = Cue("scope", "nature")
_POST_ABSENT = Cue("scope", "post_absent")
_POST_PRESENT = Cue("scope", "post_present")
_POST_POSSIBLE = Cue("scope", "post_possible")
_DOUBT_AFTER = Cue("scope", "doubt_after")
_DOUBT_ENDS = Cue("scope", "doubt_ends")


def excluded_from(text: str) -> int:
    """Where advice, conditions or purposes begin; the length of the text if nowhere."""
    if _RULE.search(text):
        return 0
    found = _ZONE.search(text)
    return found.start() if found else len(text)


def is_denied(text: str, mentions: Sequence[Mention], target: Mention) -> bool:
    """Whether a negation reaches a term from before."""
    for cue in mentions:
        if cue.label != "negation" or cue.end > target.start or _in_change(cue, mentions):
            continue
        between = text[cue.end : target.start]
        if cue.words.isascii():
            if (
                len(between) <= 90
                and not _BREAK_EN.search(between)
                and _listed(between, text, target)
            ):
                return True
        elif len(between) <= 26 and not _BREAK_ZH.search(between):
            return True
    return False


def _in_change(cue: Mention, mentions: Sequence[Mention]) -> bool:
    """So "no change" denies the change, not what follows."""
    return any(
        other.label == "change" and other.start <= cue.start and cue.start < other.end
        for other in mentions
    )


def _listed(between: str, text: str, target: Mention) -> bool:
    """A comma is passed only inside an enumeration that ends in "or" or "nor"."""
    if "," not in between:
        return True
    if re.search(r"(?i)\b(?:n?or|and)\b", between.rsplit(",", 1)[1]):
        return True
    rest = text[target.end : target.end + 60]
    rest = re.split(r"[.;]", rest)[0]
    return re.search(r"(?i)^[^;]{0,45}\b(?:or|nor)\b", rest) is not None


def presence(text: str, mentions: Sequence[Mention], target: Mention) -> Presence:
    """Whether a feature is there, not there, or perhaps there."""
    after = text[target.end : target.end + 30]
    if target.value == "absent" or _POST_ABSENT.search(after):
        return "absent"
    if _POST_PRESENT.search(after):
        return "present"
    if is_denied(text, mentions, target):
        return "absent"
    if _POST_POSSIBLE.search(after) or _doubted(text, mentions, target, reach=26):
        return "possible"
    return "present"


def _doubted(text: str, mentions: Sequence[Mention], target: Mention, *, reach: int) -> bool:
    for cue in mentions:
        if cue.label != "hedge" or cue.end > target.start or cue.value != "possible":
            continue
        between = text[cue.end : target.start]
        if (
            len(between) > reach
            or re.search(r"[;:。]|,(?!\s*\d)", between)
            or _NATURE.search(between)
        ):
            continue
        if _DOUBT_ENDS.search(between):
            continue
        if cue.words.isascii() or not re.search(r"[见呈伴]", between):
            return True
    return False


def nodule_doubted(text: str, mentions: Sequence[Mention], target: Mention) -> bool:
    """Whether a nodule's being there is in doubt, and not only what it is."""
    before, after = text[: target.start], text[target.end : target.end + 40]
    named = _NATURE.search(before[-24:] if target.words.isascii() else before[-8:])
    if _doubted(text, mentions, target, reach=48) and not named:
        return True
    direct = _DOUBT_AFTER.match(after)
    return direct is not None and not named
