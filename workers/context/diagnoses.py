"""What diagnoses of cancer mean for the rules.

Mayo asks for a cancer outside the chest diagnosed over five years ago (Swensen 1997), Fleischner
2017 is not for patients with a known primary cancer. An onset that is known to the year only
counts for neither model's favour: it is over five years ago when its last day is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from inference.findings import ClinicalContext
from workers.context.facts import Value

THORACIC = re.compile(r".*\^C(33|34|37|38|39|45\.?0)(\D.*|\..*)?")
SNOMED_LUNG = frozenset({"93880001", "254637007", "254632001"})
"""Primary malignant neoplasm of lung, non-small cell and small cell carcinoma of lung."""
YEARS = 5


def add_cancers(
    context: ClinicalContext, cancers: Iterable[Value], study_date: str
) -> ClinicalContext:
    """The context with what the diagnoses say; refuted ones say nothing."""
    for value in cancers:
        if value.flag is False:
            continue
        if not _is_thoracic(value.code) and _over_5_years(value.since, study_date):
            context = replace(context, extrathoracic_cancer_over_5_years=True)
        else:
            context = replace(context, known_cancer=True)
    return context


def _is_thoracic(code: str) -> bool:
    return THORACIC.fullmatch(code.upper()) is not None or code.split("^")[-1] in SNOMED_LUNG


def _over_5_years(since: str, study_date: str) -> bool:
    """Whether the whole of a day, month or year lies over five years before the CT."""
    if not since or not study_date:
        return False
    study = date.fromisoformat(study_date)
    limit = study.replace(year=study.year - YEARS, day=min(study.day, 28))
    year, month, day = (int(part) for part in f"{since}-12-31"[:10].split("-"))
    if len(since) == len("YYYY-MM"):
        day = 31
    return (year, month, day) < (limit.year, limit.month, limit.day)
