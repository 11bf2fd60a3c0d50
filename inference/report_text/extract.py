"""A text in, its facts out: nodules, history, category, each with the words it came from.

Pure and deterministic: no network, no model, no file but the packaged lexicons. Sentences
(`sections`) -> terms, places and sizes (`segments`) -> records (`nodules`, `history`).
"""

from __future__ import annotations

from collections.abc import Iterator

from inference.report_text.categories import find_categories
from inference.report_text.drafts import finish
from inference.report_text.facts import Category, HistoryFact, ReportFacts, Source
from inference.report_text.history import find_history, without_repeats
from inference.report_text.nodules import SILENT, NoduleReader
from inference.report_text.sections import CHINESE, split
from inference.report_text.segments import Reading, read_sentence
from inference.report_text.text import normalise

LONGEST = 200_000
"""Characters; what is longer is no report."""
_CHINESE_SHARE = 0.1


def extract(text: str) -> ReportFacts:
    """Read a report, request or letter in English or Chinese.

    Parameters
    ----------
    text : str
        As it came, headings and line breaks included.

    Returns
    -------
    ReportFacts
        Nothing that the text does not say; places are characters of `text`.

    Raises
    ------
    ValueError
        If the text is longer than `LONGEST`.
    """
    if len(text) > LONGEST:
        raise ValueError(f"text of {len(text)} characters, the limit is {LONGEST}")
    if not text.strip():
        return ReportFacts()
    normal = normalise(text)
    readings = [read_sentence(sentence) for sentence in split(normal)]
    reader = NoduleReader(normal)
    for reading in readings:
        reader.read(reading)

    def history() -> Iterator[HistoryFact]:
        for reading in readings:
            yield from find_history(reading, reader.source)

    nodules = finish(reader.drafts)
    category, source = _exam_category(readings, reader)
    own = {nodule.category for nodule in nodules}
    if category in own:
        category, source = None, None
    return ReportFacts(
        nodules=nodules,
        history=without_repeats(history()),
        exam_category=category,
        category_source=source,
        language="zh" if len(CHINESE.findall(text)) > _CHINESE_SHARE * len(text) else "en",
    )


def _exam_category(
    readings: list[Reading], reader: NoduleReader
) -> tuple[Category | None, Source | None]:
    """The first category that is stated for this examination."""
    for reading in readings:
        sentence = reading.sentence
        if sentence.section in SILENT:
            continue
        # A template's heading may be the system's name: "Lung-RADS: 3".
        lead = f"{sentence.heading}: " if "rads" in sentence.heading else ""
        for stated in find_categories(lead + sentence.text):
            if stated.present:
                start, end = max(0, stated.start - len(lead)), stated.end - len(lead)
                return stated.value, reader.source(reading, start, max(end, start + 1))
    return None, None
