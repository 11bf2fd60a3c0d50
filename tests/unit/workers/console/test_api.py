"""The HTTP API: the same values as the commands, actions with their audit, errors that help."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from openapi_spec_validator import validate
from structlog.testing import capture_logs

from tests.integration.bad_series import plain_series
from tests.unit.workers.console.api_program import API, audited, program
from tests.unit.workers.console.routes import guarded
from tests.unit.workers.rows import (
    add_delivery,
    add_job,
    add_result,
    get_job,
    receive,
)
from workers.application import Application
from workers.console.api.description import describe_api
from workers.console.app import create_app
from workers.log import keep_allowed
from workers.state.access_tables import Role
from workers.state.schema import DeliveryState, JobState
from workers.usecases import describe
from workers.usecases.audit import every_record


def test_the_description_is_valid_openapi_and_names_every_path_of_the_api(
    app: Application,
) -> None:
    told = program(app, Role.VIEWER).get(f"{API}/openapi.json").json()

    validate(told)
    assert told == describe_api(create_app(app))
    assert {path for path in told["paths"] if not path.startswith(API)} == set()
    assert told["paths"][f"{API}/jobs/{{job}}/{{action}}"]["post"]["responses"]["409"]["content"]
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_a_job_is_told_as_the_command_tells_it(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERED, warnings=["a gap"])
    add_result(app, job_id)
    add_delivery(app, job_id, state=DeliveryState.DELIVERED)
    with app.database.read() as session:
        told = describe.show_job(session, str(job_id), app.store)

    assert program(app).get(f"{API}/jobs/{job_id}").json() == json.loads(json.dumps(told))


def test_jobs_are_listed_page_after_page_without_a_gap(app: Application) -> None:
    ids = [add_job(app, series_uid=f"1.{n}") for n in range(5)]
    client = program(app)
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"{API}/jobs", params=query).json()
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert seen == ids[::-1]
    assert page["counts"] == {"queued": 5}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"state": "failed"}, {1}),
        ({"state": ["failed", "queued"]}, {1, 2, 3}),
        ({"destination": "main"}, {2}),
        ({"reason": "OSError"}, {1}),
        ({"calling_ae": "CT2"}, {3}),
        ({"text": "1.2.77"}, {3}),
        ({"since": 2_000_000}, {3}),
        ({"until": 2_000_000}, {1, 2}),
    ],
)
def test_jobs_are_filtered(app: Application, query: dict[str, object], found: set[int]) -> None:
    add_job(app, JobState.FAILED, series_uid="1.1", reason_code="OSError")
    waits = add_job(app, series_uid="1.2.1")
    add_delivery(app, waits, "main", state=DeliveryState.FAILED)
    add_job(app, series_uid="1.2.77", calling_ae="CT2", created_at=3_000_000.0)

    page = program(app).get(f"{API}/jobs", params=query).json()

    assert {row["id"] for row in page["items"]} == found


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("retry", JobState.FAILED, JobState.RECEIVING),
        ("cancel", JobState.QUEUED, JobState.CANCELLED),
        ("force", JobState.NOT_ELIGIBLE, JobState.RECEIVING),
        ("release", JobState.ANALYSED, JobState.ANALYSED),
        ("urgent", JobState.QUEUED, JobState.QUEUED),
    ],
)
def test_an_action_is_done_and_audited(
    app: Application, action: str, before: JobState, after: JobState
) -> None:
    job_id = add_job(app, before)

    answer = program(app, Role.OPERATOR).post(f"{API}/jobs/{job_id}/{action}")

    assert answer.json() == {"job": job_id, "state": after, "released": 0, "why": ""}
    assert get_job(app, job_id).state == after
    verb = "job.priority.urgent" if action == "urgent" else f"job.{action}"
    assert audited(app)[0] == (verb, job_id, "", "done")


def test_what_a_state_does_not_allow_is_told_with_what_to_do_and_audited(app: Application) -> None:
    job_id = add_job(app, JobState.CONFIRMED)

    answer = program(app).post(f"{API}/jobs/{job_id}/cancel")

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "status": 409,
        "code": "illegal_transition",
        "title": "The job's state does not allow this",
        "detail": f"job {job_id} is confirmed and cannot become cancelled",
        "remedy": "look at the job's state and history",
    }
    assert audited(app)[0] == ("job.cancel", job_id, "", "refused")


def test_many_jobs_are_acted_on_at_once_and_each_says_what_became_of_it(app: Application) -> None:
    one = add_job(app, series_uid="1.1")
    ended = add_job(app, JobState.CONFIRMED, series_uid="1.2")

    answer = program(app).post(
        f"{API}/jobs/actions", json={"action": "cancel", "jobs": [one, ended, 99, one]}
    )

    done = {row["job"]: (row["state"], row["why"]) for row in answer.json()}
    assert done[one] == ("cancelled", "")
    assert done[ended][1] == f"job {ended} is confirmed and cannot become cancelled"
    assert done[99][1].startswith("no job 99")
    assert len(answer.json()) == 3


def test_dead_letters_are_listed_and_started_again_in_bulk(app: Application) -> None:
    job_id = add_job(app, JobState.FAILED, reason_code="OSError")
    client = program(app)

    listed = client.get(f"{API}/dead-letters").json()
    none = client.post(f"{API}/dead-letters/retry", json={"code": "another"}).json()
    done = client.post(f"{API}/dead-letters/retry", json={}).json()

    assert [row["id"] for row in listed] == [job_id]
    assert (none, done) == ({}, {str(job_id): "receiving"})


def test_findings_and_all_files_of_a_result_are_handed_out(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERED)
    client = program(app)
    none = client.get(f"{API}/jobs/{job_id}/findings.json")
    add_result(app, job_id)

    findings = client.get(f"{API}/jobs/{job_id}/findings.json")
    packed = client.get(f"{API}/jobs/{job_id}/export.zip")

    assert (none.status_code, none.json()["code"]) == (404, "no_result")
    assert findings.json() == {"nodules": []}
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert sorted(archive.namelist()) == ["findings.json", "job.json", "sr.dcm"]
        assert archive.read("sr.dcm") == b"sr"
    assert audited(app)[0] == ("job.export", job_id, "", "done")


def test_a_wrong_request_names_the_field_and_repeats_nothing_of_it(app: Application) -> None:
    answer = program(app).get(f"{API}/jobs", params={"state": "Doe^Jane", "limit": "many"})

    assert answer.status_code == 422
    assert "query.state" in answer.json()["detail"]
    assert "query.limit" in answer.json()["detail"]
    assert "Doe" not in answer.text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("jobs/99", "no_such_job"),
        ("nothing", "not_found"),
        ("jobs/99/findings.json", "no_such_job"),
    ],
)
def test_what_is_not_there_is_a_problem_too(app: Application, path: str, code: str) -> None:
    answer = program(app).get(f"{API}/{path}")

    assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_a_series_is_found_by_its_uid_without_the_uid_in_an_address(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("found", slices=1)
    receive(app, tmp_path, ds)
    client = program(app, Role.VIEWER)

    found = client.post(f"{API}/jobs/find", json={"wanted": str(ds.SeriesInstanceUID)}).json()

    assert found == {"job": 1}


def test_nothing_of_a_patient_is_in_the_api_the_audit_or_the_log(
    app: Application, tmp_path: Path
) -> None:
    planted = ("Plantagenet", "PID-4711-X", "19360229")
    for number, ds in enumerate(plain_series("planted", slices=2)):
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Plantagenet^Jane", *planted[1:]
        if number:
            ds.PatientName = "Plantagenet^Joan"  # a correction: its history tells of it
        receive(app, tmp_path, ds)
    client = program(app)
    with capture_logs(processors=[keep_allowed]) as lines:
        for verb in ("urgent", "force", "cancel", "retry", "release"):
            client.post(f"{API}/jobs/1/{verb}")
        client.get(f"{API}/jobs", params={"text": "Plantagenet"})
        client.post(f"{API}/jobs/find", json={"wanted": "Plantagenet^Jane"})
        told = {
            path: client.get(path).text
            for method, path, _ in guarded(client.asgi)
            if method == "GET" and path.startswith(API) and not path.endswith(".zip")
        }
        with app.database.read() as session:
            told["audit"] = json.dumps(list(every_record(session)))
    told["log"] = json.dumps(lines)

    assert "job.cancel" in told["audit"]
    assert "http_request" in told["log"]
    assert [(where, word) for where, text in told.items() for word in planted if word in text] == []
