"""How far negation, doubt, conditions and advice reach.

After NegEx (Chapman et al., J Biomed Inform 2001;34:301) and ConText (Harkema et al., J Biomed
Inform 2009;42:839): a cue reaches forward to the term unless a breaker stands in between.
Chinese cues reach to the next comma; enumerations (、及和或) do not stop them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.report_text.facts import Presence
from inference.report_text.terms import Mention

_ZONE = re.compile(
    r"(?i)\b(?:if(?! any)|should (?:it|the|they|this|there|any)|unless|in case|in the event|provided that"
    r"|recommend(?:ed|s|ation|ing)?|suggest(?:ed)? (?:follow|CT|repeat|a |PET|short|correlat|further|re)|(?:is|are) (?:suggested|advised|recommended|warranted)|advise[sd]?|advisable|please (?:note|corr|see|rep|arr|perf)"
    r"|follow[- ]?up (?:in|at|with|CT (?:in|at|to|is|chest in)|low|is|imaging (?:in|is|to|at)|LDCT|per|as per|recomm|to |after|interval)|repeat (?:CT|LDCT|low|scan|imag|in|chest)|consider (?:PET|biops|CT|follow|tissue|referr|short|percut|further)"
    r"|guidelines?|fleischner|criteria|USPSTF|NLST|NELSON|per (?:the )?(?:ACR|BTS)|eligib\w+|in order to|so as to"
    r"|to (?:assess|evaluate|document|confirm|ensure|exclude|monitor|establish|rule out|see (?:if|whether)|check|demonstrate|reassess|re-?evaluate|determine)"
    r"|for (?:stability|growth|resolution|change|interval|further|re-?assess|surveillance|evaluation of)|would (?:be|need|require|warrant|prompt|upgrade|mean)|needs? to be|to be followed)\b"
    r"|建议|必要时|如(?=有|果|需|无|临床|病灶|结节|出现|其|增|持续)|若|倘|一旦|指南|请结合|定期(?:复查|随访)|以(?:观察|除外|排除|明确|评估|了解)"
)
_RULE = re.compile(
    r"(?i)\bnodules?\s+(?:of\s+|measuring\s+|that (?:are|measure)\s+)?(?:<|>|≥|≤|less|greater|smaller|larger|below|under|above|over|between|\d).{0,60}\b(?:require|need|should|warrant|do not|does not|can be|are (?:considered|followed|managed|usually|generally|classified|category))"
    r"|\b(?:category|lung-rads) [0-4][abx]?\s*(?:=|:|means|is defined|nodules are)\s*[a-z]|(?:结节)?(?:直径)?[<>≤≥大小于]+\s*\d+\s*mm的?(?:者|结节).{0,12}(?:需|应|可|建议|无需|属)"
)
_BREAK_EN = re.compile(
    r"(?i)[;:。]|\b(?:but|however|although|though|except|apart|aside|other than|besides|which|showing|shows|is|are|was|were|there|seen|in|of|within|from|on|at|involving|has|have|measures?|measuring|with(?!out)|now|due|then|and (?:a|an|the|\d)|demonstrat\w+|contain\w+|adjacent|around|because|since|than|associated)\b"
)
_BREAK_ZH = re.compile(r"[,;:。]|(?<!未)(?<!不)[见示呈有](?![变改])|伴|除|外|余|但")
_NATURE = re.compile(
    r"(?i)benign|malignan|metasta|inflammat|infect|granulomat|neoplas|primary|reactive|tumou?r|cancer|carcinoma|calcified granuloma|post|hamartoma|恶性|良性|炎|转移|肉芽肿|癌|感染|结核|错构瘤|肿瘤|侵袭|浸润|腺瘤|原位|AIS|MIA"
)
_POST_ABSENT = re.compile(
    r"(?i)^\s*(?:(?:征|情况)?\s*[:=-]+\s*(?:none|no\b|nil|absent|negative|not (?:seen|present|identified)|N\b|0\b|false|无|否|未见|-|阴性)|\(\s*-\s*\)"
    r"|(?:is|are|was) (?:absent|not (?:seen|present|identified|evident|demonstrated|visible))|(?:was|were|is|are) not|\s*absent\b|未见|\(无\)|不明显)"
)
_POST_PRESENT = re.compile(r"(?i)^\s*(?:征)?\s*[:=]\s*(?:yes|present|positive|Y\b|有|是|\+|可见)")
_POST_POSSIBLE = re.compile(
    r"(?i)^\s*(?:(?:征)?\s*[:=]\s*(?:possible|equivocal|questionable|probable|可疑|可能|suspected)|(?:is|are) (?:possible|suspected|questionable|equivocal|not excluded)|cannot be excluded|可疑|可能|待排|不除外|\?|\(\?\)|\(±\))"
)


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
            if len(between) <= 90 and not _BREAK_EN.search(between) and _listed(between, text, target):
                return True
        elif len(between) <= 26 and not _BREAK_ZH.search(between):
            return True
    return False


def _in_change(cue: Mention, mentions: Sequence[Mention]) -> bool:
    """ "No change" denies the change, not what follows."""
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
        if len(between) > reach or re.search(r"[;:。]|,(?!\s*\d)", between) or _NATURE.search(between):
            continue
        if re.search(r"(?i)\b(?:with|in|of|to|from|and|adjacent|versus|a \w+ of)\b", between):
            continue
        if cue.words.isascii() or not re.search(r"[见呈伴]", between):
            return True
    return False


def nodule_doubted(text: str, mentions: Sequence[Mention], target: Mention) -> bool:
    """Whether a nodule's being there is in doubt, and not only what it is."""
    before, after = text[: target.start], text[target.end : target.end + 40]
    if target.words.isascii():
        named = _NATURE.search(before[-24:])
    else:
        named = _NATURE.search(before[-8:])
    if _doubted(text, mentions, target, reach=48) and not named:
        return True
    direct = re.match(
        r"(?i)\s*(?:\?|\(\?\)|(?:is|are) (?:possible|suspected|questionable|equivocal|not (?:entirely |completely )?excluded)"
        r"|(?:cannot|can not|could not) be (?:entirely |completely )?(?:excluded|ruled out)"
        r"|(?:vs\.?|versus|or) (?:a |an )?(?:prominent |summation of |overlapping |normal )?(?:vessel|vascular|artifact|artefact|scar|atelecta|confluence|mucus|nipple|rib|summation)|可能(?!为|是|恶|良|炎)|待排|不除外|不能除外|待除外|可疑)",
        after,
    )
    return direct is not None and not named
