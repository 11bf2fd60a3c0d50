"""From findings and the study's header to the words and numbers of a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from pydicom.dataset import Dataset

from dicom_node.compose.words import Words as Sentences
from dicom_node.compose.words import words_of
from dicom_node.read.ct_series import CtSeries
from inference.findings import CaseFindings, Nodule
from inference.pictures.key_image import KeyImageWords, NodulePictures
from workers.page.content import Bar, Box, Fact, NoduleRow, PageContent, PagePicture
from workers.page.growth import change_in_short, follow_up_box
from workers.page.typeface import Typeface
from workers.page.words import WORDS, Words
from workers.report_words import nodule_remarks, report_facts

PICTURED_AT_MOST = 3
SIMILAR_AT_MOST = 5
UNKNOWN = "-"
DIGEST_LETTERS = 8
DATE_PATTERN = re.compile(r"(\d{4})(\d{2})(\d{2})")
"""DA value representation (PS3.5 section 6.2)."""


def compose_page(
    series: CtSeries,
    findings: CaseFindings,
    *,
    pictures: Sequence[NodulePictures],
    looked_at: PagePicture | None,
    created: datetime,
    revision: int,
    language: str,
    typeface: Typeface,
) -> PageContent:
    """Say what a page says.

    Parameters
    ----------
    series : CtSeries
        Its header names patient and study.
    findings : CaseFindings
        Of its analysis.
    pictures : sequence of NodulePictures
        Of the nodules; the page shows the first `PICTURED_AT_MOST`.
    looked_at : PagePicture, optional
        Shown where there is no nodule.
    created : datetime
        Content date and time, in the study's time zone.
    revision : int
        From 1.
    language : str
        Of `words.WORDS`.
    typeface : Typeface
        Decides in which letters a name can be written.
    """
    words, said = WORDS[language], words_of(WORDS[language].language)
    top = most_suspicious(findings.nodules)
    shown = pictures[:PICTURED_AT_MOST]
    rest = [nodule.id for nodule in findings.nodules[len(shown) :]]
    by_number = {nodule.id: nodule for nodule in findings.nodules}
    captions = [
        f"{words.nodule.format(number=each.number)}, {describe(by_number[each.number], words)}"
        for each in shown
    ]
    page_pictures = [
        PagePicture(caption=caption, tiles=(each.axial, each.coronal, each.sagittal))
        for caption, each in zip(captions, shown, strict=True)
    ]
    if not findings.nodules and looked_at is not None:
        page_pictures = [looked_at]
    return PageContent(
        language=language,
        title=words.title,
        made=words.made.format(when=created.strftime("%Y-%m-%d %H:%M"), revision=revision),
        warning=words.not_for_diagnosis,
        subject=_subject(series, findings, words, typeface),
        summary=_summary(findings, top, words),
        caution=_caution(findings, words, said),
        columns=words.columns,
        rows=tuple(_row(nodule, words) for nodule in findings.nodules),
        pictures=tuple(page_pictures),
        pictures_note=words.rest_in_key_images.format(numbers=ranges(rest)) if rest else "",
        boxes=() if top is None else (_contributions(top, words), _similar(top, words)),
        follow_up=follow_up_box(findings, words, said),
        notes=Box(
            title=words.notes,
            lines=(
                *(
                    words.warning_line.format(text=said.translate(text))
                    for text in findings.quality.warnings
                ),
                *_reported(findings, words, said),
                *_rules(findings, words, said),
                *((words.level_meaning,) if top is not None else ()),
                *(words.limit_line.format(text=said.translate(text)) for text in findings.limits),
            ),
        ),
        more=words.more,
        versions=words.versions.format(
            name=findings.algorithm_name,
            version=findings.algorithm_version,
            device=findings.device,
            bank=findings.bank_version or UNKNOWN,
            weights=", ".join(
                f"{name} {digest[:DIGEST_LETTERS]}"
                for name, digest in sorted(findings.weights.items())
            )
            or UNKNOWN,
        ),
    )


def key_image_words(
    nodule: Nodule, findings: CaseFindings, *, revision: int, image: str, language: str
) -> KeyImageWords:
    """What is written on a nodule's key image; `image` is the number of its key slice."""
    words = WORDS[language]
    measured = nodule.measurements
    parts = [
        words.mean.format(size=_mm(measured.mean_diameter_mm)),
        f"{measured.volume_mm3:.0f} mm3",
        *_judgements(nodule, words),
    ]
    if nodule.change is not None and nodule.change.status != "unknown":
        parts.append(change_in_short(nodule.change, words_of(words.language)))
    title = f"{words.nodule.format(number=nodule.id)}, {describe(nodule, words)}"
    return KeyImageWords(
        title=title,
        subtitle=", ".join(parts),
        warning=words.not_for_diagnosis,
        footnote=words.footnote.format(
            name=findings.algorithm_name, version=findings.algorithm_version, revision=revision
        ),
        measures=words.measures.format(
            long=_mm(measured.long_axis.length_mm), short=_mm(measured.short_axis.length_mm)
        ),
        axial=words.axial.format(image=image),
        coronal=words.coronal,
        sagittal=words.sagittal,
        whole_slice=words.whole_slice,
    )


def most_suspicious(nodules: Sequence[Nodule]) -> Nodule | None:
    """The nodule with the highest suspicion; the first one where no level was given."""
    graded = [nodule for nodule in nodules if nodule.grade.suspicion is not None]
    if graded:
        return max(graded, key=lambda nodule: nodule.grade.suspicion or 0.0)
    return nodules[0] if nodules else None


def describe(nodule: Nodule, words: Words) -> str:
    """Type and place in words."""
    return f"{words.types[nodule.type]}, {_place(nodule, words)}"


def ranges(numbers: Sequence[int]) -> str:
    """Rising numbers in short: ``4-9, 11``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def show_name(header: Dataset, typeface: Typeface) -> str:
    """Patient's Name (0010,0010) for people: all component groups that can be drawn."""
    name = header.get("PatientName")
    if name is None:
        return UNKNOWN
    groups = [str(name.alphabetic), str(name.ideographic)]
    shown = [_name_parts(group) for group in groups if group.strip("^ ")]
    drawable = [text for text in shown if typeface.can_draw(text)]
    return " / ".join(drawable or shown[:1]) or UNKNOWN


def show_date(value: object) -> str:
    """A DICOM date as ``2000-01-31``; what is not one as it stands."""
    text = str(value or "").strip()
    match = DATE_PATTERN.fullmatch(text)
    return "-".join(match.groups()) if match else text or UNKNOWN


def _name_parts(group: str) -> str:
    """``Family^Given^Middle^Prefix^Suffix`` as ``Family, Given Middle`` (PS3.5 6.2.1.2)."""
    family, *others = (part.strip() for part in group.split("^"))
    given = " ".join(part for part in others if part)
    return ", ".join(part for part in (family, given) if part)


def _text(header: Dataset, *keywords: str) -> str:
    parts = [str(header.get(keyword) or "").strip() for keyword in keywords]
    return " ".join(part for part in parts if part) or UNKNOWN


def _subject(
    series: CtSeries, findings: CaseFindings, words: Words, typeface: Typeface
) -> tuple[Fact, ...]:
    header = series.headers[0]
    exam = findings.exam_lung_rads
    lungs = f"{findings.lungs.total_ml:.0f} ml"
    if findings.lungs.left_ml is not None and findings.lungs.right_ml is not None:
        lungs = words.lung_sides.format(
            total=f"{findings.lungs.total_ml:.0f}",
            right=f"{findings.lungs.right_ml:.0f}",
            left=f"{findings.lungs.left_ml:.0f}",
        )
    pairs = (
        (words.patient, show_name(header, typeface)),
        (words.patient_id, _text(header, "PatientID")),
        (words.birth_date, show_date(header.get("PatientBirthDate"))),
        (words.sex_age, _text(header, "PatientSex", "PatientAge")),
        (words.study_date, show_date(header.get("StudyDate"))),
        (words.accession, _text(header, "AccessionNumber")),
        (words.study, _text(header, "StudyDescription")),
        (words.series, _text(header, "SeriesNumber", "SeriesDescription")),
        (words.institution, _text(header, "InstitutionName")),
        (words.scanner, _text(header, "Manufacturer", "ManufacturerModelName")),
        (
            words.slices,
            words.slices_value.format(
                count=len(series.headers), spacing=f"{findings.quality.slice_spacing_mm:.2f}"
            ),
        ),
        (words.lungs, lungs),
        (
            words.exam_lung_rads,
            words.exam_lung_rads_value.format(
                category=exam.category or UNKNOWN, applicable=words.applicable[exam.applicable]
            ),
        ),
    )
    return tuple(Fact(name=name, value=value) for name, value in pairs)


def _summary(findings: CaseFindings, top: Nodule | None, words: Words) -> str:
    count = len(findings.nodules)
    if top is None:
        return words.nothing_found
    found = words.one_found if count == 1 else words.many_found.format(count=count)
    if top.grade.level is None or top.grade.suspicion is None:
        return f"{found} {words.no_levels}"
    level = words.most_suspicious.format(
        number=top.id,
        description=describe(top, words),
        level=top.grade.level,
        suspicion=_percent(top.grade.suspicion),
    )
    return f"{found} {level}"


def _caution(findings: CaseFindings, words: Words, said: Sentences) -> str | None:
    if findings.quality.coverage == "full":
        return None
    beyond = " and the ".join(findings.lungs.beyond) or "first or last slice"
    return words.partial.format(why=said.translate(f"the lungs reach beyond the {beyond}"))


def _reported(findings: CaseFindings, words: Words, said: Sentences) -> tuple[str, ...]:
    """What the radiologist's report says: of which nodule, and what it does not name."""
    lines = [
        (words.nodule.format(number=nodule.id), text)
        for nodule in findings.nodules
        for text in nodule_remarks(nodule.reported_as)
    ]
    return tuple(
        words.exam_rule_line.format(rule=said.translate(name), text=said.translate(text))
        for name, text in (*report_facts(findings.reported).items(), *lines)
    )


def _rules(findings: CaseFindings, words: Words, said: Sentences) -> tuple[str, ...]:
    """What the guidelines say of the examination, and why."""
    lung_rads, fleischner = findings.exam_lung_rads, findings.exam_fleischner
    texts = {
        "Lung-RADS v2022": _sentences(words, said, lung_rads.why, lung_rads.management),
        "Fleischner 2017": _sentences(words, said, fleischner.why, fleischner.recommendation),
    }
    return tuple(
        words.exam_rule_line.format(rule=rule, text=text) for rule, text in texts.items() if text
    )


def _sentences(words: Words, said: Sentences, *texts: str | None) -> str:
    return words.full_stop.join(said.translate(text).rstrip(".。") for text in texts if text)


def _row(nodule: Nodule, words: Words) -> NoduleRow:
    measured, grade = nodule.measurements, nodule.grade
    return NoduleRow(
        number=str(nodule.id),
        place=_place(nodule, words),
        nodule_type=words.types[nodule.type],
        axes=f"{_mm(measured.long_axis.length_mm)} x {_mm(measured.short_axis.length_mm)}",
        mean=_mm(measured.mean_diameter_mm),
        volume=f"{measured.volume_mm3:.0f}",
        level=grade.level or words.withheld,
        probabilities=tuple(grade.probabilities),
        suspicion=UNKNOWN if grade.suspicion is None else _percent(grade.suspicion),
        lung_rads=nodule.lung_rads.category or UNKNOWN,
        brock=UNKNOWN
        if nodule.brock.probability is None
        else f"{100 * nodule.brock.probability:.1f} %",
    )


def _judgements(nodule: Nodule, words: Words) -> list[str]:
    parts = []
    if nodule.grade.level is not None and nodule.grade.suspicion is not None:
        parts.append(
            words.level.format(level=nodule.grade.level, suspicion=_percent(nodule.grade.suspicion))
        )
    if nodule.lung_rads.category is not None:
        parts.append(words.lung_rads.format(category=nodule.lung_rads.category))
    if nodule.brock.probability is not None:
        parts.append(words.brock.format(risk=f"{100 * nodule.brock.probability:.1f} %"))
    return parts


def _contributions(nodule: Nodule, words: Words) -> Box:
    """How each modality moved the suspicion; with one alone there is nothing to tell apart."""
    grade = nodule.grade
    title = words.contributions.format(number=nodule.id)
    bars = tuple(
        Bar(
            name=words.modalities.get(name, name),
            value=share.contribution,
            text=f"{100 * share.contribution:+.1f}",
        )
        for name, share in grade.modalities.items()
        if share.contribution is not None
    )
    if grade.withheld is not None:
        return Box(title=title, lines=(words.no_levels,))
    shares = grade.modalities.items()
    lines = [
        text.format(names=words.comma.join(words.modalities.get(name, name) for name in named))
        for text, named in (
            (words.simulated, [name for name, share in shares if share.simulated]),
            (words.masked, [name for name, share in shares if share.masked]),
        )
        if named
    ]
    if bars:
        return Box(title=title, bars=bars, lines=tuple(lines))
    used = [name for name, share in shares if share.present and not share.masked]
    names = words.comma.join(words.modalities.get(name, name) for name in used) or UNKNOWN
    return Box(title=title, lines=(words.one_modality.format(name=names), *lines))


def _similar(nodule: Nodule, words: Words) -> Box:
    lines = tuple(
        words.similar_line.format(
            case=case.case_id,
            level=case.level,
            evidence=words.evidence[case.evidence],
            similarity=f"{case.similarity:.2f}",
        )
        for case in nodule.grade.similar_cases[:SIMILAR_AT_MOST]
    )
    return Box(title=words.similar.format(number=nodule.id), lines=lines or (words.no_similar,))


def _place(nodule: Nodule, words: Words) -> str:
    return words.places.get(nodule.lobe or nodule.laterality or "", words.unknown_place)


def _mm(value: float) -> str:
    return f"{value:.1f}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
