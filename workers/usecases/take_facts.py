"""A few numbers of each result go into a table of their own, so that pages need open no findings.

Done after the result, by maintenance: results that came before this release, or back from their
records, are counted the same way. Losing the table loses nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import select, update

from workers.application import Application
from workers.errors import ObjectChanged, ObjectMissing
from workers.state.fact_tables import ResultFacts
from workers.state.schema import Instance, Job, Notice, Result
from workers.state.store import get_content

log = structlog.get_logger()

AT_ONCE = 200
UNKNOWN_SCANNER = "unknown"
LEVELS = {"I": "level_1", "II": "level_2", "III": "level_3", "IV": "level_4"}


def take_facts(app: Application, *, limit: int = AT_ONCE) -> int:
    """Count results that are not counted yet; returns how many.

    Findings that are missing or changed are passed over, once and with a line in the log: their
    delivery says so in any case.

    Raises
    ------
    StoreUnavailable
        If the object store is away; try again later.
    """
    with app.database.read() as session:
        notices = select(Notice.job_id)
        due = session.execute(
            select(Result, Job.series_uid)
            .join(Job, Job.id == Result.job_id)
            .where(Result.has_facts.is_(False), Result.job_id.not_in(notices))
            .limit(limit)
        ).all()
        headers = {
            series_uid: session.scalar(
                select(Instance.header).where(Instance.series_uid == series_uid).limit(1)
            )
            for _, series_uid in due
        }
    rows = []
    for result, series_uid in due:
        try:
            findings = json.loads(
                get_content(app.store, result.findings_path, result.findings_sha256)
            )
        except (ObjectMissing, ObjectChanged) as error:
            log.warning("facts_not_taken", job_id=result.job_id, error=type(error).__name__)
            continue
        rows.append(
            ResultFacts(
                job_id=result.job_id,
                committed_at=result.committed_at,
                **facts_of(findings, headers[series_uid] or {}),
            )
        )
    if not due:
        return 0
    with app.database.write() as session:
        for row in rows:
            session.merge(row)
        done = [result.job_id for result, _ in due]
        session.execute(update(Result).where(Result.job_id.in_(done)).values(has_facts=True))
    return len(rows)


def facts_of(findings: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `ResultFacts` that come from findings and a CT header, as plain values."""
    nodules = findings.get("nodules", ())
    levels = Counter(nodule["grade"].get("level") for nodule in nodules)
    quality = findings.get("quality", {})
    timings = findings.get("timings_s", {})
    return {
        "scanner": scanner_of(header),
        "kernel": str(header.get("convolution_kernel") or "")[:64],
        "nodules": len(nodules),
        **{column: levels[level] for level, column in LEVELS.items()},
        "withheld": levels[None],
        "slice_spacing_mm": quality.get("slice_spacing_mm"),
        "air_hu": quality.get("air_hu"),
        "blood_hu": quality.get("blood_hu"),
        "analysis_s": sum(timings.values()) if timings else None,
        "device": str(findings.get("device") or "")[:32],
        "engine": str(findings.get("engine") or "")[:32],
        "version": str(findings.get("algorithm", {}).get("version") or "")[:32],
    }


def scanner_of(header: Mapping[str, Any]) -> str:
    """Manufacturer, model and station of a CT's header, as one name."""
    names = (
        " ".join(str(header.get(key) or "").split())
        for key in ("manufacturer", "manufacturer_model_name", "station_name")
    )
    return " / ".join(name for name in names if name)[:200] or UNKNOWN_SCANNER
