"""How each scanner's results change: the newest weeks beside those before.

A change of protocol, kernel or calibration shows in these numbers before anybody sees it in a
report. Nothing here says which is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.state.fact_tables import ResultFacts

DAY_S = 86400.0
RECENT_DAYS = 14
BEFORE_DAYS = 90
LEAST_RESULTS = 20
"""In each of both spans, for a change to be spoken of."""
FAR = 3.0
"""Standard errors of the difference, from which a change is marked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What a scanner gave in some days; a mean is `None` without any value.

    Attributes
    ----------
    results, nodules : int
    levels : tuple of int
        Nodules of level I, II, III, IV.
    means, deviations : dict of str to float or None
        Of `nodules` and of each of `MEASURES`, per result.
    """

    results: int
    nodules: int
    levels: tuple[int, int, int, int]
    means: dict[str, float | None]
    deviations: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerDrift:
    """One scanner now and before, with the measures that moved far."""

    scanner: str
    recent: Span
    before: Span
    moved: tuple[str, ...]


MEASURES = {
    "nodules": ResultFacts.nodules,
    "slice_spacing_mm": ResultFacts.slice_spacing_mm,
    "air_hu": ResultFacts.air_hu,
    "blood_hu": ResultFacts.blood_hu,
    "analysis_s": ResultFacts.analysis_s,
}


def drift_by_scanner(session: Session, *, now: float) -> list[ScannerDrift]:
    """Every scanner of the last weeks, the busiest first."""
    edge = now - RECENT_DAYS * DAY_S
    recent = _spans(session, edge, now + DAY_S)
    before = _spans(session, edge - BEFORE_DAYS * DAY_S, edge)
    names = sorted({*recent, *before}, key=lambda name: (-_results(recent, before, name), name))
    return [
        ScannerDrift(
            scanner=name,
            recent=recent.get(name, EMPTY),
            before=before.get(name, EMPTY),
            moved=tuple(
                measure
                for measure in MEASURES
                if has_moved(recent.get(name, EMPTY), before.get(name, EMPTY), measure)
            ),
        )
        for name in names
    ]


EMPTY = Span(
    results=0,
    nodules=0,
    levels=(0, 0, 0, 0),
    means=dict.fromkeys(MEASURES),
    deviations=dict.fromkeys(MEASURES),
)


def has_moved(recent: Span, before: Span, measure: str) -> bool:
    """Whether two means differ by more than `FAR` standard errors (Welch)."""
    means = recent.means[measure], before.means[measure]
    if min(recent.results, before.results) < LEAST_RESULTS or None in means:
        return False
    variance = sum(
        (span.deviations[measure] or 0.0) ** 2 / span.results for span in (recent, before)
    )
    difference = abs(float(means[0] or 0.0) - float(means[1] or 0.0))
    return difference > FAR * math.sqrt(variance) + 1e-9


def _results(recent: dict[str, Span], before: dict[str, Span], name: str) -> int:
    return sum(spans[name].results for spans in (recent, before) if name in spans)


def _spans(session: Session, since: float, until: float) -> dict[str, Span]:
    columns: list[Any] = []
    for measure, column in MEASURES.items():
        columns += [
            func.avg(column).label(f"{measure}_mean"),
            func.avg(column * column * 1.0).label(f"{measure}_square"),
        ]
    rows = session.execute(
        select(
            ResultFacts.scanner,
            func.count().label("results"),
            func.sum(ResultFacts.nodules).label("all_nodules"),
            func.sum(ResultFacts.level_1),
            func.sum(ResultFacts.level_2),
            func.sum(ResultFacts.level_3),
            func.sum(ResultFacts.level_4),
            *columns,
        )
        .where(ResultFacts.committed_at >= since, ResultFacts.committed_at < until)
        .group_by(ResultFacts.scanner)
    ).all()
    return {row[0]: _span(row) for row in rows}


def _span(row: Any) -> Span:
    values = row._mapping
    means = {name: _number(values[f"{name}_mean"]) for name in MEASURES}
    squares = {name: _number(values[f"{name}_square"]) for name in MEASURES}
    return Span(
        results=int(row[1]),
        nodules=int(row[2]),
        levels=(int(row[3]), int(row[4]), int(row[5]), int(row[6])),
        means=means,
        deviations={
            name: None if mean is None else math.sqrt(max(0.0, (squares[name] or 0.0) - mean**2))
            for name, mean in means.items()
        },
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
