"""The patient's own cancers and lung cancer in the family.

A cancer counts as history where words say so (history of, treated, known, 术后, 病史); what is
asked, suspected, screened for or advised is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from inference.report_text.facts import Certainty
from inference.report_text.terms import Mention, longest

_CA = r"(?:cancers?|carcinomas?|adenocarcinomas?|ca\b\.?|malignanc(?:y|ies)|malignant (?:tumou?rs?|neoplasms?)|neoplasms?|tumou?rs?|primary)"
_CA_ALONE = r"(?:cancers?|carcinomas?|adenocarcinomas?)"
_HISTORY = re.compile(
    r"(?i)\b(?:history|h/o|hx|hist|known|prior|previous(?:ly)?|past|s/p|status[- ]post|post|treated|diagnosed|diagnosis of|remission|survivor|PMH?x?|resected|resection|mastectomy|lobectomy|colectomy|nephrectomy|gastrectomy|thyroidectomy|prostatectomy|hysterectomy|hemicolectomy|esophagectomy|cystectomy|segmentectomy|pneumonectomy|orchiectomy|chemo\w*|radiotherapy|radiation|after|following|in (?:19|20)\d\d|underwent|surgery for|operated|excised|staging|restaging|biopsy[- ]proven|proven|personal|years ago|with metast\w+|patient with|background of|surveillance|follow[- ]?up of|year[- ]old (?:man|woman|male|female|patient|gentleman|lady)? ?with)\b"
    r"|(?:术后|病史|史|既往|化疗|放疗|确诊|切除|治疗后|综合治疗|病人|患者|根治|已知|曾患|患有|曾|诊断为|年前|复查|靶向)"
)
_QUESTION = re.compile(
    r"(?i)\b(?:rule out|r/o|ruling out|exclude|evaluat\w* (?:for|of possible)|assess for|suspected|suspicio\w+|suspect|concern(?:ing|ed)? (?:for|about|of)|worrisome|\?|screening|screen|question of|possible|possibly|probable|probably|likely|consistent with|compatible with|represent\w*|suggest\w*|favou?r\w*|differential|versus|vs|risk|indicative of|in keeping with|presumed|worry|query|could be|may be|might be|to exclude|cannot be excluded|not excluded|features of|probability of|chance of|early)\b|\?"
    r"|可能|考虑|待排|筛查|除外|排除|可疑|疑|不除外|高危|早期|倾向|风险|\?|微浸润|符合|恶性肿瘤标志|肿瘤标志物|警惕"
)
_HEDGED_HISTORY = re.compile(r"(?i)\b(?:possible|questionable|probable|uncertain|unclear|\?)\s+(?:remote |prior |past |personal )?(?:history|h/o|hx)|可能(?:有|患)|疑有")
_DENIED = re.compile(
    r"(?i)\b(?:no|not|without|denies|denied|neg(?:ative)?\.? for|never|nor|free of|absence of|none of)\b[^.;]{0,60}$|(?:无|否认|没有|未患)[^,;。]{0,14}$"
)
_DENIED_AFTER = re.compile(r"(?i)^\s*(?:(?:personal |known )?(?:history)?\s*(?::|=|-)+\s*(?:no\b|none|nil|denied|denies|negative|无|否认)|(?:病)?史?\s*:?\s*(?:无|否认))")
_PERSON = r"(?:father|mother|brother|sister|parents?|sibling|uncle|aunt|grand(?:father|mother|parent)s?|son|daughter|cousin|niece|nephew|relatives?|first[- ]degree|dad|mum|mom)"
_FAMILY = re.compile(
    rf"(?i)\b(?:fam(?:ily|ilial)?|FHx?|{_PERSON}s?)\b|家族|父亲|母亲|父母|兄弟|姐姐|妹妹|哥哥|弟弟|祖父|祖母|外婆|外公|叔|姑|姨|舅|爷爷|奶奶|亲属|其父|其母|姐|妹|兄|直系"
)
_OWN = re.compile(r"(?i)\b(?:personal|own|patient|he|she|self)\b|本人|患者|个人")
_NO_CANCER_FAMILY = re.compile(
    r"(?i)(?:no|denies|denied|negative|without|nil)\s*(?:known |significant |any |relevant |personal (?:or|and|nor) )*(?:fam(?:ily)?|FHx?)[^.;]{0,16}(?:history)?[^.;]{0,20}(?:cancer|malignan|carcinoma|tumou?r|neoplas)|家族[^,;。]{0,6}(?:无|否认)[^,;。]{0,8}(?:肿瘤|癌)|(?:无|否认)[^,;。]{0,8}家族[^,;。]{0,6}(?:肿瘤|癌)|(?:无|否认)[^,;。]{0,4}(?:肿瘤|癌症?|肺癌)[^,;。]{0,3}家族"
)
_FIELD_NO = re.compile(r"(?i)(?:family history|FHx?|家族史)\s*(?:of (?:lung )?cancer)?\s*[:=-]+\s*(?:no\b|none|negative|nil|denie[sd]|non-?contributory(?= for)|无(?:肿瘤|癌|特殊肿瘤))")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldCancer:
    """``cancer_history`` or ``family_lung_cancer`` at a place."""

    kind: str
    value: str | None
    certainty: Certainty
    start: int
    end: int


@cache
def _kinds() -> list[tuple[str, re.Pattern[str]]]:
    table = yaml.safe_load(
        files("inference.report_text.lexicon").joinpath("cancers.yaml").read_text("utf-8")
    )
    kinds = []
    for language, terms in table.items():
        for value, patterns in terms.items():
            body = "|".join(f"(?:{pattern})" for pattern in patterns)
            noun = _CA_ALONE if value == "unspecified" else _CA
            body = re.sub(r"(?<![A-Za-z])CA(?![A-Za-z])", lambda _, noun=noun: noun, body)
            body = re.sub(r"(?<=[a-z)?])CA(?![A-Za-z])", "(?:carcinoma|ca)", body)
            if language == "english":
                body = rf"(?<![A-Za-z])(?:{body})(?![A-Za-z])"
            kinds.append((value, re.compile(body, re.IGNORECASE)))
    return kinds


def find_cancers(text: str, section: str) -> Iterator[ToldCancer]:
    """What a sentence says of cancer, the patient's and the family's.

    Parameters
    ----------
    section : str
        Kind of section; in a history a bare "breast cancer" is one.
    """
    hits = longest(
        Mention(start=hit.start(), end=hit.end(), label="cancer", value=value, words=hit.group())
        for value, pattern in _kinds()
        for hit in pattern.finditer(text)
    )
    field_no = _FIELD_NO.search(text)
    if field_no is not None or (section == "family" and re.match(r"(?i)\s*(?:no\b|none|negative|nil|denie|non-?contrib|无|否认)", text)):
        words = text if field_no is None else field_no.group()
        about_cancer = re.search(r"(?i)cancer|malign|tumou?r|癌|肿瘤", text) is not None
        simple = section == "family" and re.match(r"(?i)\s*(?:none|no|nil|negative|无)\s*[.。]?\s*$", text)
        if about_cancer or simple or field_no is not None:
            start = 0 if field_no is None else field_no.start()
            yield ToldCancer(kind="family_lung_cancer", value=None, certainty="negated", start=start, end=start + len(words))
            return
    whole_family = _NO_CANCER_FAMILY.search(text)
    for hit in hits:
        yield from _judge(text, section, hit, whole_family is not None)


def _judge(text: str, section: str, hit: Mention, none_in_family: bool) -> Iterator[ToldCancer]:
    before, after = _clause(text, hit)
    whole = before + hit.words + after
    family = section == "family" or _of_family(before, after)
    denied = _is_denied(text, hit, before, after)
    span = {"start": hit.start, "end": hit.end}
    if family or none_in_family:
        own_too = _OWN.search(before) is not None and re.search(r"(?i)\b(?:or|and|nor)\b", before) is not None and _FAMILY.search(before) is not None or re.search(r"本人及|个人及|个人或", before) is not None
        if denied and hit.value in ("lung", "unspecified"):
            yield ToldCancer(kind="family_lung_cancer", value=None, certainty="negated", **span)
            if own_too:
                yield ToldCancer(kind="cancer_history", value=hit.value, certainty="negated", **span)
        elif not denied and hit.value == "lung":
            possible = re.search(r"(?i)\b(?:possible|possibly|maybe|unclear|may have)\b|可能|疑", whole)
            yield ToldCancer(
                kind="family_lung_cancer", value=None, certainty="possible" if possible else "asserted", **span
            )
        return
    if re.match(r"(?i)\s*(?:screen|clinic|board|risk|program|protocol|stag\w+ system|筛查|风险|标志物|标记物|科|医院)", after):
        return
    history = _HISTORY.search(whole) is not None or section == "history"
    if denied:
        if history or re.search(r"(?i)\b(?:known|any)\b", before) or section == "request":
            yield ToldCancer(kind="cancer_history", value=hit.value, certainty="negated", **span)
        return
    if hit.value == "unspecified" and re.match(r"(?i)tumou?r|肿瘤", hit.words) and not re.search(r"恶性", hit.words) and not re.search(r"病史|史", after[:4]):
        return
    question = _QUESTION.search(before[-45:]) or _QUESTION.match(after[:8]) or re.match(r"(?i)\s*(?:待排|可能|\?|is suspected|cannot be excluded|not excluded|suspected|不除外)", after)
    hedged = _HEDGED_HISTORY.search(before)
    if hedged:
        yield ToldCancer(kind="cancer_history", value=hit.value, certainty="possible", **span)
    elif question and not _strong(before, after):
        return
    elif history or (section == "request" and hit.value != "unspecified"):
        yield ToldCancer(kind="cancer_history", value=hit.value, certainty="asserted", **span)


def _strong(before: str, after: str) -> bool:
    """Words of history nearer than the question."""
    near = re.search(r"(?i)\b(?:history of|h/o|hx of|hx:?|known|s/p|status[- ]post|treated|prior|previous|mastectomy for|resect\w+ (?:of|for))\s+(?:\w+\s+){0,3}$", before)
    return near is not None or re.match(r"(?:根治)?(?:术后|病史|化疗后|放疗后|综合治疗后|切除)", after) is not None


def _clause(text: str, hit: Mention) -> tuple[str, str]:
    before = re.split(r"[;。]|\.\s", text[: hit.start])[-1]
    after = re.split(r"[;。]|\.\s", text[hit.end :])[0]
    return before[-120:], after[:80]


def _of_family(before: str, after: str) -> bool:
    relatives = list(_FAMILY.finditer(before))
    if relatives:
        rest = before[relatives[-1].end() :]
        if re.search(r"(?i)[,;]\s*(?:personal|patient|he|she|own|s/p|history of|本人|患者|既往)|\bpersonal\b|本人", rest):
            return False
        return True
    return re.match(rf"(?i)\s*(?:history\s*)?(?:in|[(:,-])\s*(?:\w+\s+){{0,3}}(?:family|{_PERSON})s?\b|\s*家族史?|\s*(?:in (?:the )?family)|\s*\(?(?:father|mother|brother|sister|父|母|兄)", after) is not None


def _is_denied(text: str, hit: Mention, before: str, after: str) -> bool:
    if _DENIED_AFTER.match(after):
        return True
    found = _DENIED.search(before)
    if found is None:
        return False
    reach = found.group()
    if re.search(r"(?i)\b(?:but|however|except|other than|apart from|besides|although)\b|但|除", reach):
        return False
    # A comma ends it unless an enumeration goes on.
    if "," in reach and not re.search(r"(?i)\b(?:or|nor|and)\b", reach + after[:20]):
        return False
    return not re.search(r"(?i)no (?:evidence of )?(?:recurren|residual|new|active|metast)|no longer|not only|no evidence of", reach) and not re.search(r"未见(?:明显|明确)?|无(?:明显)?(?:复发|转移)", reach)
