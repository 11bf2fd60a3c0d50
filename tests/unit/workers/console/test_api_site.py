"""The HTTP API on the site: queues, destinations, alarms, workers, settings, rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.bad_series import plain_series
from tests.unit.workers.console.api_program import API, audited, program
from tests.unit.workers.rows import (
    add_delivery,
    add_job,
    add_result,
    with_settings,
)
from workers.application import Application
from workers.state.access_tables import Role
from workers.state.alarms import raise_alarm
from workers.state.schema import DeliveryState, JobState
from workers.usecases.heartbeat import tell_alive
from workers.usecases.show_settings import without_secrets


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
