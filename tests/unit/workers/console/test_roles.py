"""Every route declares who may use it, and nobody else may."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute, APIRouter

from tests.conftest import REPOSITORY
from tests.unit.workers.console.browser import Browser, make_user
from tests.unit.workers.console.routes import declared, every_route, guarded
from tests.unit.workers.rows import add_job
from workers.application import Application
from workers.console.app import create_app
from workers.state.access_tables import Role
from workers.usecases.api_tokens import add_token
from workers.usecases.audit import at_the_command_line, list_audit

PUBLIC = {
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/link/{token}"),
    ("POST", "/link/{token}"),
}
REFUSED = {401, 403}


def test_every_route_declares_one_role(app: Application) -> None:
    routes = list(every_route(create_app(app)))
    unclear = [
        route
        for route in routes
        if not (isinstance(route, APIRoute) and len(list(declared(route.dependant))) == 1)
        and getattr(route, "path", None) != "/static"
    ]

    assert len(routes) > 30
    assert unclear == []


def test_only_signing_in_is_for_everybody(app: Application) -> None:
    public = {
        (method, route.path)
        for route in every_route(create_app(app))
        if isinstance(route, APIRoute) and list(declared(route.dependant)) == ["public"]
        for method in route.methods
    }

    assert public == PUBLIC


def test_a_route_without_a_role_is_found(app: Application) -> None:
    """The walk sees what is added carelessly, in an included router as well."""
    console = create_app(app)
    router = APIRouter()
    router.get("/open")(lambda: "open")
    console.include_router(router)

    (found,) = [r for r in every_route(console) if getattr(r, "path", "") == "/open"]

    assert isinstance(found, APIRoute)
    assert list(declared(found.dependant)) == []


@pytest.mark.parametrize("role", [None, *Role])
def test_each_role_may_do_what_it_may_and_nothing_else(app: Application, role: Role | None) -> None:
    """Every route is asked by every role; what a role may not do is answered 401 or 403."""
    console = create_app(app)
    add_job(app)
    token = "" if role is None else add_token(app, at_the_command_line(), "it", role, days=1)
    program = Browser(app, token=token, asgi=console)
    wrong = []
    for method, path, needed in guarded(console):
        if path == "/sign-out":
            continue
        answer = program.request(method, path, headers={"X-Pulmonode-Refresh": "1"}, json={})
        may = role is not None and role.includes(Role(needed))
        expected = 401 if role is None else 403
        if may and answer.status_code in REFUSED:
            wrong.append((method, path, answer.status_code))
        if not may and answer.status_code != expected:
            wrong.append((method, path, answer.status_code))

    assert wrong == []


def test_no_route_that_changes_something_works_without_the_sessions_csrf_token(
    app: Application,
) -> None:
    console = create_app(app)
    browser = Browser(app, asgi=console)
    browser.sign_in(make_user(app, Role.ADMIN))
    add_job(app)
    changing = [
        (method, path)
        for method, path, _ in guarded(console)
        if method not in {"GET", "HEAD", "OPTIONS"}
    ]
    headers = {"X-Pulmonode-Refresh": "1"}
    statuses = {
        (method, path, form): browser.request(
            method,
            path,
            headers=headers,
            **({"data": {"csrf_token": "guess"}} if form else {"json": {}}),
        ).status_code
        for method, path in changing
        for form in (True, False)
    }

    assert len(statuses) > 20
    assert {key: status for key, status in statuses.items() if status != 403} == {}


def test_another_sessions_csrf_token_is_refused(app: Application) -> None:
    name = make_user(app, Role.OPERATOR)
    one, other = Browser(app), Browser(app)
    one.sign_in(name)
    other.sign_in(name)

    refused = one.post("/api/v1/queues/analyse/pause", headers={"X-CSRF-Token": other.csrf})
    taken = one.post("/api/v1/queues/analyse/pause", headers={"X-CSRF-Token": one.csrf})

    assert (refused.status_code, taken.status_code) == (403, 200)
    assert refused.json()["code"] == "csrf_refused"


def test_what_a_role_may_not_do_is_audited(app: Application) -> None:
    viewer = Browser(app, token=add_token(app, at_the_command_line(), "v", Role.VIEWER, days=1))
    job_id = add_job(app)

    viewer.post(f"/api/v1/jobs/{job_id}/cancel")

    with app.database.read() as session:
        (row, *_) = list_audit(session)
    assert (row["who"], row["how"], row["outcome"]) == ("token v", "api", "refused")
    assert row["action"] == "POST /api/v1/jobs/{job}/{action}"


def test_a_page_says_that_the_role_does_not_suffice(app: Application) -> None:
    browser = Browser(app)
    browser.sign_in(make_user(app, Role.VIEWER))

    answer = browser.get("/api/v1/users")

    assert answer.status_code == 403
    assert answer.json()["detail"] == "role viewer may not do this: it needs admin"


def test_the_document_names_every_path_of_the_api_with_its_role(app: Application) -> None:
    lines = (REPOSITORY / "docs/console.md").read_text().splitlines()
    documented = {
        (*line.split("`")[1].split(" "), line.split("|")[2].strip())
        for line in lines
        if line.startswith(("| `GET /", "| `POST /", "| `PATCH /", "| `DELETE /"))
    }
    there = {
        (method, route.path.removeprefix("/api/v1"), role)
        for route in every_route(create_app(app))
        if isinstance(route, APIRoute) and route.path.startswith("/api/v1")
        for method in route.methods
        for role in declared(route.dependant)
    }

    assert documented == there
