"""Values that a form, an address or a program may hold and that fit no column."""

from __future__ import annotations

import pytest

from tests.unit.workers.console.browser import Browser
from tests.unit.workers.rows import add_job
from workers.application import Application
from workers.state.access_tables import Role
from workers.usecases.api_tokens import add_token
from workers.usecases.audit import at_the_command_line

API = "/api/v1"
HUGE = "9" * 19
"""Beyond what a database holds as an integer."""


@pytest.fixture
def client(app: Application) -> Browser:
    add_job(app)
    return Browser(app, token=add_token(app, at_the_command_line(), "any", Role.ADMIN, days=1))


@pytest.mark.parametrize("cursor", ["\u00b2", "\u0663", "-1", "1.0", "", " ", HUGE, "9" * 20])
@pytest.mark.parametrize("path", ["jobs", "audit"])
def test_a_cursor_that_is_not_ours_is_refused(client: Browser, path: str, cursor: str) -> None:
    assert client.get(f"{API}/{path}", params={"cursor": cursor}).status_code == 422


@pytest.mark.parametrize("wanted", ["\u00b2", "\u0663", HUGE, "9" * 60, "-1", "\x00"])
def test_a_job_that_cannot_be_is_not_found(client: Browser, wanted: str) -> None:
    answer = client.post(f"{API}/jobs/find", json={"wanted": wanted})

    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_job")


@pytest.mark.parametrize(
    "query",
    [
        f"jobs?after={HUGE}9", f"jobs?after=-{HUGE}9", f"dead-letters?after={HUGE}9",
        f"audit?before={HUGE}9", f"audit?job={HUGE}9", "jobs?since=0001-01-01",
        "jobs?until=9999-12-31", "jobs?text=%C2%B2", f"jobs?text={HUGE}", f"find?text={HUGE}",
        "find?text=%00", "jobs?state=%00", f"jobs/{HUGE}9", f"jobs/{HUGE}9/result",
        f"jobs/1/result/slices/{HUGE}9", f"fragments/jobs/{HUGE}", f"jobs?order={HUGE}",
    ],
)  # fmt: skip
def test_an_address_that_somebody_typed_is_no_fault(client: Browser, query: str) -> None:
    assert client.get(f"/{query}").status_code < 500
