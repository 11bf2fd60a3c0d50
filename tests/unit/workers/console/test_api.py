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
from tests.unit.workers.console.browser import Browser
from tests.unit.workers.console.routes import guarded
from tests.unit.workers.rows import (
    add_delivery,
    add_job,
    add_result,
    get_job,
    receive,
    with_settings,
)
from workers.application import Application
from workers.console.api.description import describe_api
from workers.console.app import create_app
from workers.log import keep_allowed
from workers.state.access_tables import Role
from workers.state.alarms import raise_alarm
from workers.state.schema import DeliveryState, JobState
from workers.usecases import describe
from workers.usecases.api_tokens import add_token, revoke_token
from workers.usecases.audit import at_the_command_line, every_record, list_audit
from workers.usecases.heartbeat import tell_alive
from workers.usecases.show_settings import without_secrets

ME = at_the_command_line()
API = "/api/v1"


def program(app: Application, role: Role = Role.ADMIN, days: float = 1) -> Browser:
    """A program with a token of its own."""
    return Browser(app, token=add_token(app, ME, f"a-{role}", role, days=days))


def audited(app: Application) -> list[tuple[str, int | None, str, str]]:
    with app.database.read() as session:
        return [
            (row["action"], row["job"], row["subject"], row["outcome"])
            for row in list_audit(session)
        ]


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


def test_a_queue_is_held_back_and_let_go(app: Application) -> None:
    client = program(app)

    held = client.post(f"{API}/queues/deliver/pause").json()
    during = client.get(f"{API}/queues").json()["paused"]
    client.post(f"{API}/queues/deliver/resume")

    assert held == {"queue": "deliver", "paused": True}
    assert during == {"analyse": False, "deliver": True}
    assert client.get(f"{API}/queues").json()["paused"]["deliver"] is False
    assert [row[0] for row in audited(app)[:2]] == ["queue.resume", "queue.pause"]


def test_a_destination_tells_its_backlog_and_whether_it_answers(app: Application) -> None:
    add_delivery(app, add_job(app), "main", state=DeliveryState.FAILED, reason="no association")
    client = program(app)

    rows = {row["name"]: row for row in client.get(f"{API}/destinations").json()}
    echo = client.post(f"{API}/destinations/main/echo").json()
    unknown = client.post(f"{API}/destinations/nowhere/echo")

    assert rows["main"]["failed"] == 1
    assert rows["main"]["last_reason"] == "no association"
    assert echo["ok"] is False
    assert "127.0.0.1:1" in echo["found"]
    assert unknown.status_code == 404
    assert ("destination.echo", None, "main", "failed") in audited(app)


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


def test_alarms_storage_statistics_and_the_doctor_answer(app: Application) -> None:
    with app.database.write() as session:
        raise_alarm(session, "destination_silent", "main", "nothing taken", at=app.now())
    add_result(app, add_job(app, JobState.DELIVERED))
    client = program(app)

    assert client.get(f"{API}/alarms").json()[0]["subject"] == "main"
    assert client.get(f"{API}/storage").json()["database"] == "sqlite"
    assert client.get(f"{API}/statistics").json() == []
    checks = {row["what"]: row["ok"] for row in client.get(f"{API}/doctor").json()}
    assert checks["state database"] is True
    assert checks["destination main"] is False


def test_workers_tell_that_they_live_and_what_they_do(app: Application) -> None:
    tell_alive(app, 77, ("analyse",), 2)
    add_job(app, JobState.ANALYSING, lease_owner="host:77/1", lease_expires_at=app.now() + 30)

    told = program(app, Role.VIEWER).get(f"{API}/workers").json()

    assert [(row["queues"], row["processes"]) for row in told["workers"]] == [(["analyse"], 2)]
    assert [(row["owner"], row["job_id"]) for row in told["work"]] == [("host:77/1", 1)]


def test_settings_are_told_without_their_secrets(app: Application) -> None:
    broker = "redis://user:hush@broker.example:6379/0"
    object.__setattr__(app, "settings", with_settings(app.settings, broker_url=broker))

    answer = program(app).get(f"{API}/settings")

    rows = {row["name"]: row for row in answer.json()}
    assert "hush" not in answer.text
    assert rows["PULMONODE_BROKER_URL"]["value"] == "redis://user:**********@broker.example:6379/0"
    assert rows["PULMONODE_BROKER_URL"]["changed"] is True
    assert rows["PULMONODE_AE_TITLE"] == {
        "name": "PULMONODE_AE_TITLE",
        "value": "PULMONODE",
        "changed": False,
        "scope": "site",
        "meaning": "our AE title, called and calling",
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/x", "s3://key:**********@bucket/x"),
        ("https://hooks.example/a?token=secret", "https://hooks.example/a?**********"),
        ("https://secret@hooks.example/a", "https://**********@hooks.example/a"),
        ("postgresql://u:p@h:5432/d", "postgresql://u:**********@h:5432/d"),
        ("no url", "no url"),
        (["redis://u:p@h"], ["redis://u:**********@h"]),
    ],
)
def test_urls_lose_their_passwords(url: object, shown: object) -> None:
    assert without_secrets(url) == shown


def test_rules_are_tried_on_uploaded_files_which_are_not_kept(
    app: Application, tmp_path: Path
) -> None:
    files = []
    for number, ds in enumerate(plain_series("upload", slices=3)):
        path = tmp_path / f"{number}.dcm"
        ds.save_as(path, enforce_file_format=True)
        files.append(("files", (f"{number}.dcm", path.read_bytes(), "application/dicom")))
    client = program(app, Role.OPERATOR)

    (series,) = client.post(f"{API}/rules/test", files=files).json()
    nothing = client.post(f"{API}/rules/test", files=[("files", ("a.txt", b"text", "text/plain"))])

    assert series["instances"] == 3
    assert series["eligible"] is False
    assert {check["rule_id"] for check in series["checks"]} >= {"localizer"}
    assert (nothing.status_code, nothing.json()["code"]) == (422, "request_refused")


def test_tokens_end_by_time_by_revocation_and_are_kept_as_digests(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = add_token(app, ME, "ci", Role.OPERATOR, days=2)
    client = Browser(app, token=token)
    before = client.get(f"{API}/me").json()
    with app.database.read() as session:
        raw = str(session.connection().exec_driver_sql("SELECT * FROM api_token").all())
    admin = program(app)
    listed = {row["name"]: row for row in admin.get(f"{API}/tokens").json()}
    revoke_token(app, ME, "ci")

    assert (before["name"], before["role"]) == ("token ci", "operator")
    assert token not in raw
    assert listed["ci"]["used_at"] is not None
    assert client.get(f"{API}/me").status_code == 401
    late = Browser(app, token=add_token(app, ME, "late", Role.OPERATOR, days=2))
    real = app.now()
    monkeypatch.setattr("workers.clock.now", lambda: real + 2 * 86400 + 1)
    assert late.get(f"{API}/me").status_code == 401


def test_users_and_tokens_are_managed_over_the_api(app: Application) -> None:
    client = program(app)

    added = client.post(f"{API}/users", json={"name": "jane", "role": "operator"}).json()
    shown = Browser(app).get(added["path"])
    changed = client.patch(f"{API}/users/jane", json={"role": "viewer", "disabled": True}).json()
    twice = client.post(f"{API}/users", json={"name": "jane"})
    token = client.post(f"{API}/tokens", json={"name": "ci", "days": 1}).json()["token"]
    works = Browser(app, token=token).get(f"{API}/me").json()["role"]
    revoked = client.request("DELETE", f"{API}/tokens/ci").status_code

    assert shown.status_code == 200
    assert (changed["role"], changed["disabled"]) == ("viewer", True)
    assert (twice.status_code, twice.json()["code"]) == (422, "access_refused")
    assert (works, revoked) == ("viewer", 204)
    assert Browser(app, token=token).get(f"{API}/me").status_code == 401


def test_the_last_administrator_stays_one(app: Application) -> None:
    client = program(app)
    client.post(f"{API}/users", json={"name": "only", "role": "admin"})

    for change in ({"role": "viewer"}, {"disabled": True}):
        assert client.patch(f"{API}/users/only", json=change).json()["code"] == "access_refused"


def test_the_audit_is_read_page_after_page_and_by_job(app: Application) -> None:
    client = program(app)
    one, two = add_job(app, series_uid="1.1"), add_job(app, series_uid="1.2")
    for job_id in (one, two):
        client.post(f"{API}/jobs/{job_id}/cancel")

    first = client.get(f"{API}/audit", params={"limit": 2}).json()
    rest = client.get(f"{API}/audit", params={"cursor": first["next"]}).json()
    of_one = client.get(f"{API}/audit", params={"job": one}).json()["items"]

    assert [row["job"] for row in first["items"]] == [two, one]
    assert [row["action"] for row in rest["items"]] == ["token.add"]
    assert [(row["who"], row["action"]) for row in of_one] == [("token a-admin", "job.cancel")]
    assert of_one[0]["address"] == "127.0.0.1"


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
