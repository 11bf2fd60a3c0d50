"""Pages over the real application: what they show, to whom, and what their forms do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from httpx import Response

from tests.integration.bad_series import plain_series
from tests.unit.workers.console.browser import Browser, signed_in
from tests.unit.workers.rows import (
    NOW,
    add_delivery,
    add_job,
    add_result,
    get_job,
    job_of,
    receive,
    with_settings,
)
from workers.application import Application
from workers.console.pages.every import PAGES
from workers.console.pages.queue import asked, read_query
from workers.state.access_tables import Role
from workers.state.jobs import move
from workers.state.schema import DeliveryState, Job, JobState, Priority
from workers.usecases.list_queue import QueueFilter

FOR_ALL = ("/", "/jobs", "/dead-letters", "/destinations", "/workers", "/storage", "/answers")
FOR_OPERATORS = (*FOR_ALL, "/rules/test")
FOR_ADMINS = (*FOR_OPERATORS, "/settings", "/audit", "/users")
UNREACHABLE = "attempt 3 failed: no association with MAIN@127.0.0.1:1: nothing listens there"


def stop_job(app: Application, job_id: int, state: JobState, code: str, why: str) -> None:
    with app.database.write() as session:
        move(session, session.get_one(Job, job_id), state, why, at=NOW, reason_code=code)


def failed_delivery(app: Application, uid: str = "1.2.3") -> int:
    job_id = add_job(app, JobState.DELIVERING, series_uid=uid)
    add_result(app, job_id, sop_uid=f"{uid}.9")
    add_delivery(
        app, job_id, state=DeliveryState.FAILED, reason=UNREACHABLE, attempts=3, transient=True
    )
    stop_job(app, job_id, JobState.FAILED, "delivery_failed", f"main: {UNREACHABLE}")
    return job_id


def act(browser: Browser, **fields: str) -> Response:
    """Press a button of a job, or of the queue."""
    return browser.post("/jobs/act", data={"csrf_token": browser.csrf, **fields})


@pytest.mark.parametrize(
    ("role", "may"),
    [(Role.VIEWER, FOR_ALL), (Role.OPERATOR, FOR_OPERATORS), (Role.ADMIN, FOR_ADMINS)],
)
def test_each_role_is_led_to_its_pages_and_they_answer(
    app: Application, role: Role, may: tuple[str, ...]
) -> None:
    browser = signed_in(app, role)

    pages = {path: browser.get(path) for path in may}

    assert {path: page.status_code for path, page in pages.items()} == dict.fromkeys(may, 200)
    links = re.findall(r'<a href="([^"]+)"', pages["/"].text.split("</nav>")[0])
    assert [link for link in links if link in FOR_ADMINS] == list(may)


@pytest.mark.parametrize("path", FOR_ALL)
def test_an_empty_system_says_what_to_do(app: Application, path: str) -> None:
    page = signed_in(app, Role.VIEWER).get(path).text

    assert 'class="empty"' in page or path in {"/storage", "/destinations"}
    assert 'style="' not in page
    assert "<script>" not in page


def test_a_viewer_sees_jobs_and_no_way_to_act(app: Application) -> None:
    job_id = failed_delivery(app)
    browser = signed_in(app, Role.VIEWER)

    pages = [browser.get(path).text for path in (*FOR_ALL, f"/jobs/{job_id}")]

    forms = {form for page in pages for form in re.findall(r'method="post" action="([^"]+)"', page)}
    assert forms == {"/sign-out", "/jobs/act"}
    assert not any(re.search(r'name="(action|job|paused)"', page) for page in pages)
    refused = act(browser, action="retry", job=str(job_id))
    assert refused.status_code == 403
    assert get_job(app, job_id).state == JobState.FAILED


def test_a_job_names_its_patient_in_the_body_and_only_where_that_is_wanted(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("patient", slices=2)
    for ds in datasets:
        ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = "Doe^Jane", "PAT-4711", "KGH"
    receive(app, tmp_path, *datasets)
    job_id = job_of(app, str(datasets[0].SeriesInstanceUID)).id

    shown = signed_in(app, Role.VIEWER).get(f"/jobs/{job_id}").text
    object.__setattr__(app, "settings", with_settings(app.settings, console_show_patient=False))
    hidden = signed_in(app, Role.OPERATOR).get(f"/jobs/{job_id}").text

    assert "Doe Jane, ID PAT-4711 of KGH" in shown
    assert "PAT-4711" not in shown.split("</head>")[0]
    assert "PAT-4711" not in hidden
    assert "Doe" not in hidden


def test_a_failed_delivery_is_explained_and_retried(app: Application) -> None:
    job_id = failed_delivery(app)
    browser = signed_in(app, Role.OPERATOR)
    page = browser.get(f"/jobs/{job_id}").text

    assert "Press C-ECHO" in page
    assert "no association with MAIN@127.0.0.1:1" in page
    done = act(browser, action="retry", job=str(job_id), back=f"/jobs/{job_id}")
    assert done.headers["location"] == f"/jobs/{job_id}?done=retry&count=1"
    assert "1 job started again." in browser.get(done.headers["location"]).text
    assert get_job(app, job_id).state == JobState.DELIVERING


def test_an_action_without_the_csrf_token_changes_nothing(app: Application) -> None:
    job_id = failed_delivery(app)
    browser = signed_in(app, Role.OPERATOR)

    refused = browser.post("/jobs/act", data={"action": "retry", "job": str(job_id)})

    assert refused.status_code == 403
    assert get_job(app, job_id).state == JobState.FAILED


def test_in_bulk_those_that_can_go_on_and_the_others_say_why(app: Application) -> None:
    failed = failed_delivery(app)
    confirmed = add_job(app, JobState.CONFIRMED, series_uid="1.2.4")
    browser = signed_in(app, Role.OPERATOR)

    page = browser.post(
        "/jobs/act",
        data={"csrf_token": browser.csrf, "action": "retry", "job": [str(failed), str(confirmed)]},
    ).text

    assert "1 done, 1 refused" in page
    assert f"job {confirmed}" in page.split("Refused")[1].split("Done")[0]
    assert get_job(app, failed).state == JobState.DELIVERING


def test_acting_on_a_filter_touches_nothing_else(app: Application) -> None:
    dead = [failed_delivery(app, f"1.2.{number}") for number in range(3, 6)]
    other = add_job(app, JobState.FAILED, series_uid="1.2.9", reason_code="OutOfMemory")
    browser = signed_in(app, Role.OPERATOR)

    done = act(
        browser, action="retry", matching="state=failed&code=delivery_failed",
        back="/dead-letters",
    )  # fmt: skip

    assert done.headers["location"] == "/dead-letters?done=retry&count=3"
    assert {get_job(app, job_id).state for job_id in dead} == {JobState.DELIVERING}
    assert get_job(app, other).state == JobState.FAILED


def test_the_queue_shows_what_its_filters_ask_for(app: Application) -> None:
    failed = failed_delivery(app)
    running = add_job(app, JobState.ANALYSING, series_uid="1.2.7", calling_ae="CT1")
    browser = signed_in(app, Role.OPERATOR)

    def shown(query: str) -> set[int]:
        page = browser.get(f"/jobs?{query}").text
        return {int(number) for number in re.findall(r'href="/jobs/(\d+)">', page)}

    assert shown("") == {failed, running}
    assert shown("state=dead") == shown("code=delivery_failed") == {failed}
    assert shown("ae=CT1") == shown("state=open") == {running}
    assert shown("destination=main") == {failed}
    assert shown("text=1.2.7") == {running}
    assert shown("state=nonsense&since=yesterday&priority=most") == {failed, running}
    assert browser.get("/find?text=1.2.7").headers["location"] == f"/jobs/{running}"
    fragment = browser.get("/fragments/jobs?ae=CT1", headers={"X-Pulmonode-Refresh": "1"}).text
    assert f'href="/jobs/{running}"' in fragment
    assert "<html" not in fragment


def test_filters_in_an_address_are_read_back_as_they_were() -> None:
    filters = asked(
        state=["dead", "queued"], code="a b", priority="off_peak", since="2026-01-02",
        until="2026-01-02", order="oldest",
    )  # fmt: skip

    assert read_query(filters.query()) == filters
    wanted = filters.filter()
    assert set(wanted.states) == {JobState.FAILED, JobState.QUARANTINED, JobState.QUEUED}
    assert wanted.priority is Priority.OFF_PEAK
    assert wanted.oldest_first
    assert (wanted.until or 0) - (wanted.since or 0) == 86400
    assert asked().filter() == QueueFilter()


def test_the_storage_page_says_how_long_things_are_kept(app: Application) -> None:
    page = signed_in(app, Role.VIEWER).get("/storage").text

    kept = app.settings
    assert (
        f"<dt>instances of confirmed series</dt><dd>{kept.keep_received_days:g} days</dd>" in page
    )
    assert "<dt>results</dt><dd>for ever</dd>" in page


def test_a_queue_is_paused_and_goes_on(app: Application) -> None:
    browser = signed_in(app, Role.OPERATOR)

    done = browser.submit("/workers", "/queues/analyse", paused="true", back="/workers")

    assert done.headers["location"] == "/workers?done=paused"
    page = browser.get("/workers?done=paused").text
    assert "The queue is paused." in page
    assert "Resume analyse" in page
    browser.submit("/workers", "/queues/analyse", paused="false", back="//elsewhere")
    assert "Pause analyse" in browser.get("/workers").text


def test_a_destination_that_is_down_says_so(app: Application) -> None:
    browser = signed_in(app, Role.OPERATOR)

    page = browser.submit("/destinations", "/destinations/main/echo").text

    assert "C-ECHO failed" in page
    assert "nobody listens there" in page


def test_users_are_added_and_a_link_is_shown_once(app: Application) -> None:
    browser = signed_in(app, Role.ADMIN)

    page = browser.submit("/users", name="night", role="operator").text

    (link,) = re.findall(r"http://localhost:8080(/link/[\w-]+)", page)
    assert browser.get(link).status_code == 200
    assert "/link/" not in browser.get("/users").text.replace("/users/night/link", "")
    refused = browser.submit("/users", name="night", role="viewer")
    assert refused.status_code == 422
    token = browser.submit("/users", "/tokens", name="nagios", role="viewer", days="30").text
    assert 'class="secret"' in token
    browser.submit("/users", "/tokens/nagios/revoke")
    assert "revoked" in browser.get("/users").text
    assert browser.submit("/users", "/users/night/change", disabled="true").status_code == 303
    assert "locked out" in browser.get("/users").text
    assert "user.add" in browser.get("/audit?action=user.add").text


def test_a_job_without_result_has_no_viewer(app: Application) -> None:
    job_id = add_job(app)
    browser = signed_in(app, Role.VIEWER)

    assert browser.get(f"/jobs/{job_id}/result").status_code == 404
    assert browser.get("/jobs/99").status_code == 404


def test_every_answer_says_how_long_it_took(app: Application) -> None:
    browser = Browser(app)

    timing = browser.get("/sign-in").headers["server-timing"]

    assert float(timing.removeprefix("app;dur=")) > 0


def test_every_page_of_the_list_has_a_path_of_its_own() -> None:
    paths = [
        (method, route.path)  # type: ignore[attr-defined]
        for router in PAGES
        for route in router.routes
        for method in route.methods  # type: ignore[attr-defined]
    ]

    assert len(set(paths)) == len(paths)
