"""The HTTP API on who may: tokens, users, audit."""

from __future__ import annotations

import pytest

from tests.unit.workers.console.api_program import API, ME, program
from tests.unit.workers.console.browser import Browser
from tests.unit.workers.rows import (
    add_job,
)
from workers.application import Application
from workers.state.access_tables import Role
from workers.usecases.api_tokens import add_token, revoke_token


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
