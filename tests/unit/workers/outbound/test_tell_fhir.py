"""A job's result as FHIR, whichever revision is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.workers.outbound.hl7_cases import NOW, revise, to_ris
from tests.unit.workers.outbound.results import nodule
from workers.application import Application
from workers.state.access_tables import Role
from workers.state.schema import Delivery, Job, JobState, Result, ResultObject
from workers.usecases.audit import Actor, How
from workers.usecases.tell_fhir import tell_fhir

ME = Actor(name="me", role=Role.OPERATOR, how=How.API)


def report(app: Application, wanted: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Bundle and DiagnosticReport of a job."""
    bundle = tell_fhir(app, wanted, by=ME)
    (found,) = [
        item["resource"]
        for item in bundle["entry"]
        if item["resource"]["resourceType"] == "DiagnosticReport"
    ]
    return bundle, found


def replaced(told: dict[str, Any]) -> list[str]:
    """Identifiers of what a report says that it replaces."""
    return [item["valueReference"]["identifier"]["value"] for item in told.get("extension", [])]


def job_of(app: Application, delivery_id: int) -> str:
    with app.database.read() as session:
        return str(session.get_one(Delivery, delivery_id).job_id)


def test_a_superseded_revision_is_withdrawn_and_names_the_newest(tmp_path: Path) -> None:
    app, first = to_ris(tmp_path, 1)
    assert report(app, job_of(app, first))[1]["status"] == "preliminary"
    revise(app, nodule(1))
    third = job_of(app, revise(app, nodule(1)))

    old_bundle, old = report(app, job_of(app, first))
    new_bundle, new = report(app, third)

    assert (old["status"], new["status"]) == ("entered-in-error", "preliminary")
    assert f"job {third}, revision 3, took its place" in old["conclusion"]
    assert [item["url"] for item in old_bundle["link"]] == [new["identifier"][0]["value"]]
    assert "link" not in new_bundle
    assert old["identifier"][0]["value"] in replaced(new)
    assert len(replaced(new)) == 2


def test_by_series_it_is_the_newest_revision(tmp_path: Path) -> None:
    app, _ = to_ris(tmp_path, 1)
    second = job_of(app, revise(app, nodule(1)))
    with app.database.read() as session:
        wanted = session.get_one(Job, int(second)).series_uid

    assert report(app, wanted)[0] == report(app, second)[0]


def test_one_whose_patient_was_corrected_is_withdrawn_before_there_is_another(
    tmp_path: Path,
) -> None:
    app, first = to_ris(tmp_path, 1)
    with app.database.write() as session:
        job = session.query(Job).one()
        correction = Job(
            study_uid=job.study_uid, series_uid=job.series_uid, revision=2, warnings=[],
            state=JobState.RECEIVING, correction="patient_id", created_at=NOW,
            last_instance_at=NOW, state_since=NOW,
        )  # fmt: skip
        session.add(correction)

    bundle, told = report(app, job_of(app, first))

    assert told["status"] == "entered-in-error"
    assert "no result in its place yet" in told["conclusion"]
    assert "link" not in bundle


def test_what_retention_removed_is_not_named(tmp_path: Path) -> None:
    app, first = to_ris(tmp_path, 1)
    second = job_of(app, revise(app, nodule(1)))
    with app.database.write() as session:
        gone = int(job_of(app, first))
        session.get_one(Result, gone).removed_at = NOW
        session.query(ResultObject).filter_by(job_id=gone).delete()

    assert replaced(report(app, second)[1]) == []


def test_another_series_that_counts_beside_it_is_neither_replaced_nor_newer(
    tmp_path: Path,
) -> None:
    app, first = to_ris(tmp_path, 1)
    revise(app, nodule(1))
    with app.database.write() as session:
        newest = session.query(Job).order_by(Job.id.desc()).first()
        assert newest is not None
        newest.series_uid = "1.2.3.77"
        session.get_one(Job, int(job_of(app, first))).forced = True
        session.get_one(Job, int(job_of(app, first))).state = JobState.CONFIRMED

    told = [report(app, number)[1] for number in (job_of(app, first), str(newest.id))]

    assert [item["status"] for item in told] == ["preliminary"] * 2
    assert [replaced(item) for item in told] == [[], []]
