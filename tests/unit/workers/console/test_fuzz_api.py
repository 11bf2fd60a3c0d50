"""Requests made from the API's own description, right and wrong ones, and the pages' likewise.

None ends in a fault of ours, every answer of the API is as described, and whoever is not signed in
gets nothing. `make test-long` sends more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.unit.workers.console.routes import every_route
from tests.unit.workers.rows import add_delivery, add_job, add_result
from workers.application import Application
from workers.console.api.description import describe_api
from workers.console.app import create_app
from workers.state.access_tables import Role
from workers.state.alarms import raise_alarm
from workers.state.schema import DeliveryState, JobState
from workers.usecases.accounts import add_user
from workers.usecases.api_tokens import add_token, revoke_token
from workers.usecases.audit import at_the_command_line

ME = at_the_command_line()
HERE = "http://localhost:8080"
LIMIT_S = 120.0
"""For one answer: the first that needs the bank loads torch, on a machine that may be busy."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NOT_ASKED = {"/api/v1/doctor", "/api/v1/jobs/{job}/fhir"}
"""The first has no parameter and calls every peer each time; the second needs a report that is one,
and those of this console are words.
"""
SHORT, LONG = 34, 500
"""Requests of each kind to each operation; the first take a minute."""


@pytest.fixture
def console(app: Application) -> FastAPI:
    """With something of everything that an address may name."""
    for state in JobState:
        job_id = add_job(app, state, series_uid=f"1.2.{state}", reason_code="OSError")
    done = add_job(app, JobState.DELIVERED, series_uid="1.2.99", warnings=["a gap"])
    add_result(app, done)
    add_delivery(app, done, state=DeliveryState.FAILED)
    with app.database.write() as session:
        raise_alarm(session, "job_stopped", str(job_id), "it stopped", at=app.now())
    add_user(app, ME, "anna", Role.OPERATOR)
    add_token(app, ME, "spare", Role.VIEWER, days=1)
    return create_app(app)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def operations(console: FastAPI, description: dict[str, Any]) -> Iterator[APIOperation]:
    """Every operation of a description, to be asked of this console."""
    schema = schemathesis.openapi.from_dict(description)
    schema.app = console
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path not in NOT_ASKED:
            yield operation


def describe_pages(console: FastAPI) -> dict[str, Any]:
    """The pages, forms included, as if they were an API."""
    shown = FastAPI(openapi_url=None)
    for route in every_route(console):
        if isinstance(route, APIRoute) and not route.include_in_schema:
            shown.add_api_route(
                route.path, route.endpoint, methods=list(route.methods),
                name=f"{route.name} {route.path}", response_model=None,
            )  # fmt: skip
    return get_openapi(title="pages", version="1", routes=shown.routes)


def ask(
    operation: APIOperation, mode: GenerationMode, count: int, check: Callable[[Case], None]
) -> None:
    """Let requests of one kind be made up, always the same ones, and each be checked."""
    # Pages, which call it job_id, leave out the one with a result: its findings are none to draw.
    jobs = range(1, len(JobState) + 2)
    names = {"job": jobs, "job_id": jobs[:-1], "name": ("anna", "spare", "main")}

    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    @hypothesis_settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,) if count == SHORT else tuple(Phase),
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Case, data: st.DataObject) -> None:
        if mode is GenerationMode.POSITIVE:
            for name in case.path_parameters or {}:
                if name in names and data.draw(st.integers(0, 3)):  # mostly one that there is
                    case.path_parameters[name] = data.draw(st.sampled_from(list(names[name])))
        check(case)

    one()


def fuzz(console: FastAPI, app: Application, count: int) -> None:
    token = add_token(app, ME, "fuzzer", Role.ADMIN, days=1)

    def as_described(case: Case) -> None:
        case.call_and_validate(base_url=HERE, headers=bearer(token), checks=CHECKS, timeout=LIMIT_S)

    def no_fault(case: Case) -> None:
        response = case.call(base_url=HERE, headers=bearer(token), timeout=LIMIT_S)
        assert response.status_code < 500, f"{case.as_curl_command()}\n{response.text[:2000]}"

    wrong = []
    for description, check in (
        (describe_api(console), as_described),
        (describe_pages(console), no_fault),
    ):
        for operation in operations(console, description):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                if mode is GenerationMode.NEGATIVE and not has_parameters(operation):
                    continue
                try:
                    ask(operation, mode, count, check)
                except Unsatisfiable:  # whatever comes is right, such as a body of any bytes
                    assert mode is GenerationMode.NEGATIVE
                except (AssertionError, FailureGroup) as error:  # all of them are told at once
                    wrong.append(f"{operation.label} ({mode.value}): {error}")
    assert wrong == [], "\n\n".join(wrong)


def has_parameters(operation: APIOperation) -> bool:
    return bool(operation.body) or any(True for _ in operation.iter_parameters())


def test_no_request_ends_in_a_fault_and_every_answer_is_as_described(
    console: FastAPI, app: Application
) -> None:
    fuzz(console, app, SHORT)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_request_of_very_many_ends_in_a_fault(console: FastAPI, app: Application) -> None:
    fuzz(console, app, LONG)


@pytest.mark.parametrize("who", ["nobody", "a liar", "who was once"])
def test_who_is_not_signed_in_gets_nothing_of_the_api(
    console: FastAPI, app: Application, who: str
) -> None:
    headers = {} if who == "nobody" else bearer("not-a-token")
    if who == "who was once":
        headers = bearer(add_token(app, ME, "revoked", Role.ADMIN, days=1))
        revoke_token(app, ME, "revoked")

    def refused(case: Case) -> None:
        response = case.call(base_url=HERE, headers=headers, timeout=LIMIT_S)
        assert response.status_code == 401, case.as_curl_command()
        assert response.json()["code"] == "not_signed_in"

    for operation in operations(console, describe_api(console)):
        ask(operation, GenerationMode.POSITIVE, 2, refused)
