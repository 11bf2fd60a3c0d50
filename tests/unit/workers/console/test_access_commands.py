"""Users, tokens and the audit at the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from click.testing import Result as Done
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from typer.testing import CliRunner

from tests.unit.workers.console.browser import PASSWORD, Browser
from tests.unit.workers.rows import add_job
from workers.application import Application
from workers.cli import output
from workers.cli.main import app as command
from workers.usecases.administer import cancel
from workers.usecases.audit import at_the_command_line

Run = Callable[..., Done]


@pytest.fixture
def run(app: Application, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(output.console, "_width", 200)
    environment = {"PULMONODE_DATA_DIR": str(app.settings.data_dir)}
    return lambda *arguments, **more: CliRunner().invoke(
        command, arguments, env=environment, **more
    )


def test_a_user_is_added_and_chooses_a_password_by_the_link(app: Application, run: Run) -> None:
    printed = run("users", "add", "jane", "--role", "operator").stdout
    url = printed.splitlines()[-1]
    browser = Browser(app)
    browser.submit(url.removeprefix("http://127.0.0.1:8080"), password=PASSWORD, again=PASSWORD)

    (row,) = json.loads(run("users", "list", "--json").stdout)
    assert url.startswith("http://127.0.0.1:8080/link/")
    assert browser.get("/").status_code == 200
    assert (row["name"], row["role"], row["has_password"]) == ("jane", "operator", True)
    assert "jane" in run("users", "list").stdout


def test_a_user_gets_another_role_is_shut_out_and_let_in(app: Application, run: Run) -> None:
    run("users", "add", "boss", "--role", "admin")
    run("users", "add", "jane")
    run("users", "password", "jane", "--stdin", input=f"{PASSWORD}\n")
    browser = Browser(app)

    said = [
        run("users", *arguments).stdout.strip()
        for arguments in (("role", "jane", "operator"), ("disable", "jane"))
    ]
    shut_out = browser.sign_in("jane").status_code
    run("users", "enable", "jane")

    assert said == ["user jane: operator", "user jane: disabled"]
    assert (shut_out, browser.sign_in("jane").status_code) == (401, 303)
    assert run("users", "disable", "boss").exit_code == 1
    assert "boss is the last administrator" in run("users", "role", "boss", "viewer").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("users", "link", "nobody"), "no user nobody: 'pulmonode users list' shows who there is"),
        (("users", "add", "../x"), "that is no user name"),
        (("tokens", "revoke", "none"), "no token none"),
        (("tokens", "add", "x", "--days", "0"), "0 days"),
        (("audit", "--export", "csv", "--job", "1"), "an audit is handed out whole"),
    ],
)
def test_what_is_refused_is_one_clear_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)

    assert done.exit_code == 1
    assert said in done.stderr


def test_a_token_is_printed_once_and_works_until_it_is_revoked(app: Application, run: Run) -> None:
    token = run("tokens", "add", "ci", "--role", "operator", "--days", "7").stdout.strip()
    program = Browser(app, token=token)
    works = program.get("/api/v1/me").json()["role"]
    listed = run("tokens", "list").stdout
    run("tokens", "revoke", "ci")

    assert works == "operator"
    assert "ci" in listed
    assert token not in listed
    assert program.get("/api/v1/me").status_code == 401
    assert "revoked" in run("tokens", "list").stdout


def test_the_audit_is_shown_and_handed_out(app: Application, run: Run) -> None:
    run("tokens", "add", "ci")
    cancel(app, str(add_job(app)), by=at_the_command_line())

    shown = run("audit", "--job", "1").stdout
    rows = list(csv.DictReader(io.StringIO(run("audit", "--export", "csv").stdout)))
    told = json.loads(run("audit", "--export", "json").stdout)

    assert "job.cancel" in shown
    assert "token.add" not in shown
    assert [row["action"] for row in rows] == ["token.add", "job.cancel", "audit.export"]
    assert [row["action"] for row in told][-1] == "audit.export"
    assert rows[1]["job"] == "1"


@pytest.mark.parametrize(
    "change", ["UPDATE audit_record SET who = 'x'", "DELETE FROM audit_record"]
)
def test_nobody_changes_the_audit(app: Application, run: Run, change: str) -> None:
    run("tokens", "add", "ci")

    with pytest.raises(DatabaseError, match="never changed or deleted"), app.database.write() as s:
        s.execute(text(change))

    assert len(json.loads(run("audit", "--json").stdout)) == 1
