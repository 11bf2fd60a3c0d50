"""Results are counted once, from what stands in the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import add_result, receive, revisions
from workers.application import Application
from workers.errors import StoreUnavailable
from workers.state.fact_tables import ResultFacts
from workers.state.jobs import current_job
from workers.state.schema import Notice, Result
from workers.state.store import put_content
from workers.usecases.take_facts import facts_of, scanner_of, take_facts

FINDINGS = {
    "device": "cpu",
    "engine": "openvino",
    "algorithm": {"version": "0.1.0"},
    "timings_s": {"lungs": 2.0, "detection": 5.5},
    "quality": {"slice_spacing_mm": 1.25},
    "nodules": [
        {"grade": {"level": "IV"}},
        {"grade": {"level": "II"}},
        {"grade": {"level": "II"}},
        {"grade": {"withheld": "too small"}},
    ],
}


def result_of(app: Application, folder: Path, key: str, findings: dict[str, Any]) -> int:
    datasets = plain_series(key, slices=1)
    for ds in datasets:
        ds.Manufacturer, ds.ManufacturerModelName, ds.StationName = "ACME", "Fast  CT", "CT1"
    receive(app, folder / key, *datasets)
    uid = str(datasets[0].SeriesInstanceUID)
    assert len(revisions(app, uid)) == 1
    with app.database.read() as session:
        job = current_job(session, uid)
        assert job is not None
        job_id = job.id
    add_result(app, job_id, sop_uid=f"1.2.{job_id}")
    kept = put_content(app.store, json.dumps(findings).encode(), ".json")
    with app.database.write() as session:
        result = session.get_one(Result, job_id)
        result.findings_path, result.findings_sha256 = kept
    return job_id


def facts(app: Application) -> dict[int, ResultFacts]:
    with app.database.read() as session:
        return {row.job_id: row for row in session.scalars(select(ResultFacts))}


def test_a_result_is_counted_once(app: Application, tmp_path: Path) -> None:
    job_id = result_of(app, tmp_path, "one", FINDINGS)

    assert [take_facts(app), take_facts(app)] == [1, 0]
    (row,) = facts(app).values()
    assert (row.job_id, row.scanner) == (job_id, "ACME / Fast CT / CT1")
    levels = (row.level_1, row.level_2, row.level_3, row.level_4, row.withheld)
    assert (row.nodules, levels) == (4, (0, 2, 0, 1, 1))
    assert (row.slice_spacing_mm, row.analysis_s, row.air_hu) == (1.25, 7.5, None)


def test_findings_that_are_gone_hold_nothing_up(app: Application, tmp_path: Path) -> None:
    gone = result_of(app, tmp_path, "gone", FINDINGS)
    kept = result_of(app, tmp_path, "kept", {**FINDINGS, "device": "cuda:0"})
    with app.database.write() as session:
        session.get_one(Result, gone).findings_path = "results/00/none.json"

    assert [take_facts(app), take_facts(app)] == [1, 0]
    assert {number: row.device for number, row in facts(app).items()} == {kept: "cuda:0"}


def test_a_store_that_is_away_is_waited_for(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result_of(app, tmp_path, "one", FINDINGS)

    def away(_key: str) -> bytes:
        raise StoreUnavailable("store", "away")

    with monkeypatch.context() as patch:
        patch.setattr(type(app.store), "get_bytes", lambda _self, key: away(key))
        with pytest.raises(StoreUnavailable):
            take_facts(app)

    assert take_facts(app) == 1


def test_a_notice_is_no_result_of_an_analysis(app: Application, tmp_path: Path) -> None:
    job_id = result_of(app, tmp_path, "one", FINDINGS)
    with app.database.write() as session:
        session.add(Notice(job_id=job_id, about=[]))

    assert take_facts(app) == 0


def test_what_findings_and_header_do_not_say_is_absent() -> None:
    found = facts_of({}, {})

    assert (found["scanner"], found["nodules"], found["analysis_s"]) == ("unknown", 0, None)
    assert scanner_of({"manufacturer": None, "manufacturer_model_name": "CT"}) == "CT"
