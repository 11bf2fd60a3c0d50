"""Sign-in, tokens and the audit on a real PostgreSQL, which does not forgive as SQLite does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from tests.unit.workers.console.browser import Browser, make_user
from tests.unit.workers.rows import add_job, with_settings
from workers.access_errors import NotSignedIn, TooManyAttempts
from workers.application import Application, open_application
from workers.settings import Settings
from workers.state.access_tables import Role
from workers.usecases.accounts import first_link
from workers.usecases.administer import cancel
from workers.usecases.api_tokens import add_token
from workers.usecases.audit import at_the_command_line, list_audit
from workers.usecases.sign_in import sign_in

pytestmark = pytest.mark.peer
ME = at_the_command_line()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgresql"), free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def app(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), state_url=server.url, disk_reserve_bytes=0
    )
    opened = open_application(settings, migrate=True)
    yield opened
    opened.database.close()


def test_a_link_a_session_a_token_and_an_action_go_their_way(app: Application) -> None:
    link = first_link(app)
    browser = Browser(app)
    browser.submit(f"/link/{link}", password="several plain words", again="several plain words")  # noqa: S106
    program = Browser(app, token=add_token(app, ME, "pg", Role.OPERATOR, days=1))
    job_id = add_job(app, series_uid="1.1")

    statuses = [
        browser.get("/").status_code,
        program.post(f"/api/v1/jobs/{job_id}/cancel").status_code,
        program.get("/api/v1/jobs", params={"state": "cancelled"}).status_code,
        browser.get("/api/v1/audit").status_code,
    ]

    assert statuses == [200] * 4


@pytest.mark.parametrize(
    "change",
    ["UPDATE audit_record SET who = 'x'", "DELETE FROM audit_record", "TRUNCATE audit_record"],
)
def test_nobody_changes_the_audit(app: Application, change: str) -> None:
    job_id = add_job(app, series_uid=f"2.{len(change)}")
    cancel(app, str(job_id), by=ME)

    with (
        pytest.raises(DatabaseError, match="never changed or deleted"),
        app.database.write() as session,
    ):
        session.execute(text(change))

    with app.database.read() as session:
        assert len(list_audit(session, job_id=job_id)) == 1


def test_guesses_that_come_at_once_are_all_counted(app: Application) -> None:
    """Ten at the same moment, of which the limit lets three look at the password."""
    limited = replace(app, settings=with_settings(app.settings, console_sign_ins_per_user=3))
    name = make_user(app, Role.VIEWER, "guessed")
    outcomes: list[type[Exception]] = []
    start = threading.Barrier(10)

    def guess() -> None:
        start.wait(30)
        try:
            sign_in(limited, name, "wrong", "10.9.9.9")
        except (NotSignedIn, TooManyAttempts) as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=guess) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert outcomes.count(NotSignedIn) == 3
    assert outcomes.count(TooManyAttempts) == 7


def test_while_the_database_is_away_the_console_says_so_and_goes_on_after(
    app: Application, server: PostgresServer
) -> None:
    program = Browser(app, token=add_token(app, ME, "away", Role.VIEWER, days=1))
    browser = Browser(app)
    browser.sign_in(make_user(app, Role.VIEWER, "patient-one"))
    server.kill()

    told, page = program.get("/api/v1/jobs"), browser.get("/")
    server.start()

    assert (told.status_code, told.json()["code"]) == (503, "database_away")
    assert told.headers["retry-after"] == "10"
    assert page.status_code == 503
    assert "The state database does not answer" in page.text
    assert [program.get("/api/v1/jobs").status_code, browser.get("/").status_code] == [200, 200]


def test_a_text_that_postgresql_cannot_hold_is_refused_and_no_fault(app: Application) -> None:
    program = Browser(app, token=add_token(app, ME, "nul", Role.ADMIN, days=1))
    add_job(app, series_uid="1.77")

    answers = [
        program.post("/api/v1/jobs/find", json={"wanted": "\x00"}),
        program.get("/api/v1/jobs", params={"text": "1\x00", "destination": "\x00"}),
        program.get("/api/v1/audit", params={"who": "\x00"}),
        program.get("/jobs", params={"text": "\x00", "code": "\x00"}),
        program.get(f"/jobs/{'9' * 20}"),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 404]
    assert answers[0].json()["code"] == "request_refused"
