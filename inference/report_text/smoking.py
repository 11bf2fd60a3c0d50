"""Smoking in a clause: pack-years, status, years since quitting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

CIGARETTES_PER_PACK = 20

_N = r"(\d{1,4}(?:\.\d+)?)"
_STATED = re.compile(
    rf"(?i){_N}\s*\+?(?:\s*(?:-|to|~)\s*\d+)?[\s-]*(?:pack[\s/-]*(?:years?|yrs?)|pk[\s/-]*(?:years?|yrs?)|p/?y(?:rs?|h)?\b|包\s*[·*/x-]?\s*年)"
    rf"|(?:pack[\s-]*(?:years?|yrs?)|包年)(?: history| smoking history)?(?: of smoking)?\s*(?:\(.*?\))?\s*(?::|=|of|is|约|为|数)+\s*(?:约|about|approximately)?\s*{_N}"
)
_INDEX = re.compile(rf"(?i)(?:吸烟指数|烟龄指数)\s*(?:约|为|:|=|达)*\s*{_N}|{_N}\s*(?:支\s*[·*/x-]?\s*年|年\s*[·*/x-]?\s*支)(?!\s*/)")
_PER_DAY = r"(?:/|a|per|each|every|x)?\s*(?:d\b|day|daily)"
_DAILY = re.compile(
    rf"(?i){_N}(?:\s*-\s*{_N})?\s*(?:-?\s*(?P<ppd>ppd|p\.p\.d\.|PPD)|(?:-|\s)*(?P<pack>packs?(?:\s+of\s+cigarettes)?)\s*(?:/|a|per|each|every|-)?\s*(?:d\b|day|daily)|(?P<cig>cig(?:arette)?s?)\s*{_PER_DAY}|(?P<cpd>cpd))"
    rf"|(?:每天|每日|日|一天|每日约|日均|平均每[天日])\s*(?:吸烟|吸|抽烟|抽|平均)?\s*(?:约|大约|平均)?\s*{_N}(?:\s*[-~至]\s*\d+)?\s*(?:余|多)?\s*(?P<zh>支|包|根|盒)"
    rf"|{_N}(?:\s*[-~至]\s*\d+)?\s*(?:余|多)?\s*(?P<zh2>支|包|根|盒)\s*(?:/|每)?\s*(?:天|日|d\b)"
)
_YEARS = re.compile(
    rf"(?i)(?:for|x|over|times|during)?\s*(?:the (?:past|last)\s*)?(?:about|approximately|~|over|more than|around|nearly|some)?\s*{_N}\s*\+?\s*-?\s*(?:years?|yrs?|y\b)(?!\s*(?:ago|old|-old|of age|previously|since quit))"
    rf"|{_N}\s*(?:余|多)?\s*年(?!前|龄|代|\d|支|包|内)"
)
_SMOKE = re.compile(
    r"(?i)smok|tobacco|cigarette|ppd|pack|nicotine|\bcig|吸烟|烟|抽烟|戒|支/|包/"
)
_QUIT = re.compile(
    rf"(?i)(?:quit|stopped|ceased|gave up|given up|discontinued|cessation|abstinent|smoke[- ]?free|ex-?smoker|former smoker|off cigarettes)\b[^.;\d]{{0,36}}?{_N}\s*(?:years?|yrs?|y\b)"
    rf"|{_N}\s*(?:years?|yrs?|y)\s*(?:since (?:quit|stopp|cess)|smoke[- ]?free|after (?:quit|stopp)|abstinent)"
    rf"|(?:已)?戒(?:烟|断|除)?(?:已|约|了|史)*\s*{_N}\s*(?:余|多)?年|{_N}\s*(?:余|多)?年前(?:已)?(?:戒烟|戒除|戒断|停止吸烟)"
)
_QUIT_AGO = re.compile(r"(?i)\b(?:for|since|in|at|age|\d{4})\b")
_NEVER = re.compile(
    r"(?i)\bnever[\s-]+(?:a\s+)?(?:smok\w+|used tobacco|tobacco)|\b(?:life-?long\s+|life\s?time\s+)?(?:non|never)[\s-]?smok\w+|\bnonsmok\w+|\bdenie[sd]\s+(?:any\s+|ever\s+)?(?:history of\s+|a history of\s+|use of\s+|current or past\s+)?(?:smok|tobacco|cigarette)\w*|\bno\s+(?:significant\s+|known\s+|prior\s+|personal\s+)?(?:history of\s+|hx of\s+)?(?:smoking|tobacco|cigarette)|\bdo(?:es)?\s+not\s+smoke(?!\s+any ?more)|\bwithout (?:a )?(?:smoking|tobacco)|\bhas not smoked\b|\bnot a smoker|(?:smok(?:ing|er)|tobacco)(?:\s+(?:status|history|use))?\s*[:=-]+\s*(?:never|no\b|none|nil|non\b|denies|denied|negative)"
    r"|(?:无|否认|没有)(?:长期|嗜|明确)?(?:吸|抽)?烟(?:酒)?(?:、?(?:饮|嗜)酒)?(?:史|嗜好|习惯)?|(?:从不|从未|未曾?|不|终身不|终生未)(?:吸烟|抽烟|吸)|(?:吸烟|烟酒)史?\s*[:]?\s*(?:无|否认|从不|否)|无烟酒(?:嗜好|史)?|非吸烟者|不嗜烟|否认烟酒"
)
_FORMER = re.compile(
    r"(?i)\b(?:former|ex|past|previous|prior|reformed)[\s-]+(?:heavy\s+|cigarette\s+|light\s+|tobacco\s+)?smok\w+|\bquit\b|\bstopped smoking|\b(?:stopped|ceased|gave up|given up|discontinued)\s+(?:smoking|tobacco|cigarettes?|in\b|\d+ years)|\bsmoking\s+cessation\s+(?:\d+|in|since|at)|\bused to smoke|\b(?:no longer smokes|does not smoke any ?more)|\bsmoked\s+(?:until|till|in the past)|(?:smok(?:ing|er)|tobacco)(?:\s+(?:status|history|use))?\s*[:=-]+\s*(?:former|ex\b|past|quit|previous)|\bhas (?:since )?stopped|\bformer\s+\d+|\bremote smoking|\bex-smoker"
    r"|戒烟(?!建议|劝)|戒断|已戒|曾(?:经)?吸烟|既往吸烟|曾抽烟|停止吸烟|戒除"
)
_CURRENT = re.compile(
    r"(?i)\b(?:current(?:ly)?|active|ongoing|present|continued|persistent|continuing|daily)[\s-]+(?:heavy\s+|cigarette\s+|every\s?day\s+|light\s+|tobacco\s+|daily\s+)?(?:smok\w+|tobacco)|\b(?:he|she|patient|pt|still|continues to|currently|who|and|also)\s+smokes?\b|(?<!denies )(?<!former )\bsmokes\b|\bis (?:still )?smoking|\bstill smoking|\bcontinues (?:to smoke|smoking)|(?:smok(?:ing|er)|tobacco)(?:\s+(?:status|history|use))?\s*[:=-]+\s*(?:current|active|yes|ongoing|daily)|\bsmoker,? (?:current|active)|\bcurrent\s+\d+\s*(?:ppd|pack)"
    r"|(?:目前|现|仍|至今|现在|一直)(?:仍|在|仍在|还在|未戒|继续)*(?:吸烟|抽烟|未戒)|未戒(?:烟)?|吸烟至今|尚未戒烟|现吸烟|仍在吸|正在吸烟|吸烟中"
)
_OTHERS = re.compile(
    r"(?i)\b(?:second[\s-]?hand|passive|environmental tobacco|side-?stream|household)\b|\b(?:husband|wife|spouse|father|mother|partner|parents?|brother|sister|roommate|colleagues?|son|daughter)\b[^.;,]{0,40}(?:smok|pack|cigar)|被动吸|二手烟|(?:丈夫|父亲|母亲|妻子|家人|配偶|同事|老伴|爱人)[^,;。]{0,10}(?:吸|抽)?烟"
)
_RULE = re.compile(
    r"(?i)(?:eligib|USPSTF|criteria|guideline|recommend(?:s|ed)? (?:for|in|annual)|(?:at least|≥|>=|more than|>)\s*\d+\s*pack[^.]{0,60}(?:screen|eligib|adults|individuals|persons)|(?:adults|individuals|persons|patients) (?:aged|with|who)[^.]{0,40}pack|cessation (?:counsel|advice|program|was|is|recomm|discuss)|counsel|encourag|指南|标准|筛查对象|高危人群|建议戒烟|劝)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoked:
    """One item: ``pack_years``, ``smoking_status`` or ``quit_years``, where it stands."""

    kind: str
    value: float | str
    start: int
    end: int


def find_smoking(text: str) -> list[Smoked]:
    """What a sentence says of the patient's smoking."""
    if _RULE.search(text) and not re.search(r"(?i)(?:he|she|patient|pt|患者)\s+(?:is|has|quit|smok)|current smoker|former smoker", text):
        return []
    blanked = _OTHERS.sub(lambda hit: " " * len(hit.group()), text)
    if _OTHERS.search(text):
        blanked = _without_clauses(text)
    return [*_pack_years(blanked), *_status(blanked), *_quit(blanked)]


def _without_clauses(text: str) -> str:
    """Clauses about other people's smoke made blank."""
    pieces = re.split(r"([,;。.](?!\d))", text)
    return "".join(
        " " * len(piece) if _OTHERS.search(piece) else piece for piece in pieces
    )


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
        numbers += [float(group) for group in hit.groups() if group and re.fullmatch(r"[\d.]+", group)]
        packs = hit["ppd"] or hit["pack"] or hit["zh"] in ("包", "盒") or hit["zh2"] in ("包", "盒")
        daily = numbers[0] if packs else numbers[0] / CIGARETTES_PER_PACK
        years = _years_beside(text, hit)
        if years is not None:
            yield Smoked(kind="pack_years", value=round(daily * years, 3), start=hit.start(), end=hit.end())
            return


def _years_beside(text: str, daily: re.Match[str]) -> float | None:
    """Years of smoking: just after the daily number, else before it; not the years since quitting."""
    quit_spans = [hit.span() for hit in _QUIT.finditer(text)]
    found = [
        hit
        for hit in _YEARS.finditer(text)
        if not any(start <= hit.start() + 1 < end or start < hit.end() <= end for start, end in quit_spans)
        and not (hit.start() < daily.end() and daily.start() < hit.end())
        and not re.match(r"(?i)\s*[- ]?(?:old|M\b|F\b|male|female|岁)", text[hit.end() :])
    ]
    after = [hit for hit in found if 0 <= hit.start() - daily.end() <= 40]
    before = [hit for hit in found if 0 <= daily.start() - hit.end() <= 40]
    chosen = after[:1] or before[-1:]
    return float(next(group for group in chosen[0].groups() if group)) if chosen else None


def _status(text: str) -> Iterator[Smoked]:
    former, current, never = _FORMER.search(text), _CURRENT.search(text), _NEVER.search(text)
    if former and re.match(r"(?i)quit", former.group()) and re.search(r"(?i)\b(?:not|never|to|wants to|trying to|unable to|has not|hasn't|should|advised to|plans to)\s+$", text[: former.start()]):
        former = None
    if former and re.search(r"(?:未|尚未|没有|建议|应)$", text[: former.start()]):
        former = None
    if former and not _SMOKE.search(text):
        former = None
    if former:
        yield _item("smoking_status", "former", former)
    elif never and not (current and current.start() != never.start() and current.end() > never.end()):
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
            re.search(r"(?i)pack|ppd|smok(?:ed|ing) (?:for|x)", words) and "ago" not in text[hit.end() : hit.end() + 6]
        ):
            continue
        yield _item("quit_years", float(number), hit)
        return


def _item(kind: str, value: float | str, hit: re.Match[str]) -> Smoked:
    return Smoked(kind=kind, value=value, start=hit.start(), end=hit.end())
