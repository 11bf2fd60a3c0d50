"""The report in words: what every viewer can show, whatever else it draws.

Most important first: what was found and what follows from it, then each nodule with its reasons,
then what limits the answer, then the software. What is the same of several nodules is said once.
The sentences stand in ``languages/`` (`words`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dicom_node.compose import codes
from dicom_node.compose.content import NoduleContent, NotAnalysedSeries, ReportContent
from dicom_node.compose.sr_growth import growth_text
from dicom_node.compose.sr_uptake import uptake_text
from dicom_node.compose.words import Words, words_of

ENGLISH = words_of("en")
DIGEST_LETTERS = 12
"""Of a checksum that a person compares; the whole ones stand in ``findings.json``."""


def nodule_line(nodule: NoduleContent, words: Words = ENGLISH) -> str:
    """One nodule in one line, for lists."""
    parts = [words.say("nodule", number=nodule.number)]
    if nodule.nodule_type:
        parts.append(words.name(nodule.nodule_type))
    parts.append(f"{nodule.long_axis.length_mm:.1f} x {nodule.short_axis.length_mm:.1f} mm")
    parts.append(f"{nodule.volume_mm3:.0f} mm3")
    if nodule.lobe:
        parts.append(words.name(nodule.lobe))
    elif nodule.laterality:
        parts.append(words.say("lung", side=words.name(nodule.laterality)))
    if nodule.lung_rads_category:
        parts.append(f"Lung-RADS {nodule.lung_rads_category}")
    if nodule.model_level and nodule.model_suspicion is not None:
        percent = f"{100 * nodule.model_suspicion:.0f}"
        parts.append(words.say("level", level=nodule.model_level, percent=percent))
    if nodule.brock_probability is not None:
        parts.append(words.say("brock", percent=f"{100 * nodule.brock_probability:.1f}"))
    if nodule.mayo_probability is not None:
        parts.append(words.say("mayo", percent=f"{100 * nodule.mayo_probability:.1f}"))
    return words.say("comma").join(parts)


def nodule_label(nodule: NoduleContent, words: Words = ENGLISH) -> str:
    """What stands beside a nodule in the picture, where sizes and place are drawn already.

    OHIF's list of measurements shows about the first 50 letters.
    """
    parts = [words.say("nodule", number=nodule.number)]
    if nodule.nodule_type:
        parts.append(words.name(nodule.nodule_type))
    if nodule.lung_rads_category:
        parts.append(f"Lung-RADS {nodule.lung_rads_category}")
    if nodule.model_level and nodule.model_suspicion is not None:
        percent = f"{100 * nodule.model_suspicion:.0f}"
        parts.append(words.say("level", level=nodule.model_level, percent=percent))
    return words.say("comma").join(parts)


def summary_lines(content: ReportContent, words: Words = ENGLISH) -> list[str]:
    """The whole report in lines, most important first."""
    lines = [words.say("not_for_diagnosis")]
    if content.not_analysed:
        lines.append(words.say("not_analysed"))
        lines += [_not_analysed_line(series, words) for series in content.not_analysed]
    else:
        lines += _conclusion_lines(content, words)
        lines += _nodules_lines(content, words)
    lines += _limit_lines(content, words)
    lines += _software_lines(content, words)
    return lines


def _not_analysed_line(series: NotAnalysedSeries, words: Words) -> str:
    number = "?" if series.number is None else series.number
    return words.say("series", number=number, images=series.images, why=words.translate(series.why))


def _conclusion_lines(content: ReportContent, words: Words) -> list[str]:
    """What was found in all, and what the guidelines say of the examination."""
    count = len(content.nodules)
    if count == 0:
        lines = [words.say("nothing_found")]
    else:
        lines = [words.say("found_one" if count == 1 else "found_many", count=count)]
    if content.exam_lung_rads_why:
        category = content.exam_lung_rads_category
        lines.append(
            words.say(
                "lung_rads_exam" if category else "lung_rads_no_category",
                category=category,
                applicable=words.name(content.exam_lung_rads_applicable),
                why=words.translate(content.exam_lung_rads_why),
            )
        )
        if category and content.exam_lung_rads_management:
            management = words.translate(content.exam_lung_rads_management)
            lines.append(words.say("management", category=category, management=management))
    if content.exam_lung_rads_offered:
        offers = map(words.translate, content.exam_lung_rads_offered)
        lines.append(words.say("offered", offers=words.say("semicolon").join(offers)))
    if content.exam_fleischner_why:
        lines.append(
            words.say(
                "fleischner" if content.exam_fleischner else "fleischner_none",
                applicable=words.name(content.exam_fleischner_applicable),
                recommendation=words.translate(content.exam_fleischner or ""),
                why=words.translate(content.exam_fleischner_why),
            )
        )
    return lines


def _nodules_lines(content: ReportContent, words: Words) -> list[str]:
    """What a text-only reader needs of the nodules: each one's line and reasons, then the rest."""
    nodules, lines = content.nodules, []
    for nodule in nodules:
        name = words.say("nodule", number=nodule.number)
        lines.append(nodule.comment or nodule_line(nodule, words))
        if nodule.lung_rads_why and content.exam_lung_rads_applicable != "no":
            why = words.translate(nodule.lung_rads_why)
            lines.append(words.say("own", nodule=name, text=words.say("lung_rads_why", why=why)))
        if nodule.growth:
            text = growth_text(nodule.growth, words)
            lines.append(words.say("own", nodule=name, text=text))
        if nodule.uptake:
            text = uptake_text(nodule.uptake, words)
            lines.append(words.say("own", nodule=name, text=text))
        lines += [words.say("own", nodule=name, text=text) for text in _own_texts(nodule, words)]
        lines += [_about([nodule.number], words.translate(text), words) for text in nodule.remarks]
    shared: dict[str, list[int]] = {}
    for nodule in nodules:
        for text in _shared_texts(nodule, words, alone=len(nodules) == 1):
            shared.setdefault(text, []).append(nodule.number)
    return lines + [_about(numbers, text, words) for text, numbers in shared.items()]


def _about(numbers: Sequence[int], text: str, words: Words) -> str:
    if len(numbers) == 1:
        name = words.say("nodule", number=numbers[0])
    else:
        name = words.say("nodules", numbers=words.say("comma").join(map(str, numbers)))
    return words.say("about", nodules=name, text=text)


def _own_texts(nodule: NoduleContent, words: Words) -> Iterable[str]:
    """What is said of one nodule alone."""
    rated = [name for name in codes.ATTRIBUTES if name in nodule.attributes]
    if rated:
        values = [f"{words.name(name)} {nodule.attributes[name]:.1f}" for name in rated]
        yield words.say("attributes", values=words.say("comma").join(values))
    if nodule.contributions:
        shares = [
            words.say(
                "contribution_simulated" if share.simulated else "contribution",
                modality=words.name(share.modality),
                points=f"{share.points:+.0f}",
                percent=f"{100 * share.attention:.0f}",
            )
            for share in nodule.contributions
        ]
        yield words.say("contributions", shares=words.say("comma").join(shares))
    if nodule.similar_cases:
        cases = [
            words.say(
                "similar_case",
                case=case.case_id,
                percent=f"{100 * case.similarity:.0f}",
                level=case.level,
                evidence=words.name(case.evidence),
            )
            for case in nodule.similar_cases
        ]
        yield words.say("similar", cases=words.say("comma").join(cases))


def _shared_texts(nodule: NoduleContent, words: Words, *, alone: bool) -> Iterable[str]:
    """What is often the same of several nodules; a single one's advice is the examination's."""
    if nodule.fleischner and not alone:
        yield words.say("fleischner_nodule", recommendation=words.translate(nodule.fleischner))
    if nodule.masked:
        yield words.say("masked", modalities=words.names(nodule.masked))
    if nodule.model_withheld:
        yield words.say("no_level", why=words.translate(nodule.model_withheld))
    if nodule.brock_missing:
        yield words.say("brock_missing", inputs=words.names(nodule.brock_missing))
    if nodule.mayo_missing:
        yield words.say("mayo_missing", inputs=words.names(nodule.mayo_missing))
    if nodule.mayo_withheld:
        yield words.say("mayo_withheld", why=words.translate(nodule.mayo_withheld))


def _limit_lines(content: ReportContent, words: Words) -> list[str]:
    """What was not covered, what to be careful of, what the software cannot know."""
    lines = []
    if content.partial_why:
        lines.append(words.say("partial", why=words.translate(content.partial_why)))
    lines += [
        words.say("fact", name=words.translate(name), value=words.translate(value))
        for name, value in content.facts.items()
    ]
    lines += [words.say("warning", text=words.translate(text)) for text in content.warnings]
    return lines + [words.say("limit", text=words.translate(text)) for text in content.limits]


def _software_lines(content: ReportContent, words: Words) -> list[str]:
    algorithm = content.algorithm
    lines = [
        words.say(
            "software",
            name=algorithm.name,
            version=algorithm.version,
            revision=content.revision,
        )
    ]
    if content.weights:
        digests = [f"{name} {sha256[:DIGEST_LETTERS]}" for name, sha256 in content.weights.items()]
        lines.append(words.say("weights", weights=words.say("comma").join(digests)))
    if content.bank_version:
        lines.append(words.say("bank", version=content.bank_version))
    return lines
