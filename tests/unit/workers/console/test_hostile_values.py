"""Values that a form, an address or a program may hold and that fit no column."""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.workers.console.browser import Browser
from tests.unit.workers.rows import add_job, with_settings
from workers.application import Application
from workers.console.access import FILES_AT_MOST
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


def zipped(*sizes: int) -> bytes:
    """An archive of files of zeros."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, size in enumerate(sizes):
            archive.writestr(f"{number}.dcm", bytes(size))
    return packed.getvalue()


def limited(app: Application, **limits: int) -> Browser:
    app = replace(app, settings=with_settings(app.settings, **limits))
    return Browser(app, token=add_token(app, at_the_command_line(), "up", Role.ADMIN, days=1))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((3_000_000,), "an archive unpacks to too much"),
        ((20_000,) * 5, "an archive unpacks to too much"),
        ((1,) * (FILES_AT_MOST + 1), f"more than {FILES_AT_MOST} files came"),
    ],
)
def test_an_archive_that_unpacks_to_too_much_is_refused(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], said: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limit = 20_000 if len(sizes) < 10 else 1_000_000
    client = limited(app, console_upload_limit_bytes=limit)

    answer = client.post(f"{API}/rules/test", files={"files": ("a.zip", zipped(*sizes))})

    assert (answer.status_code, answer.json()["detail"]) == (422, said)
    assert list(tmp_path.glob("pulmonode-rules-*")) == []  # nothing of it is left


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff" * 1000, b"\0" * 1000])
@pytest.mark.parametrize("path", ["context", "dead-letters/retry"])
def test_a_body_that_is_nested_without_end_or_no_text_is_refused(
    client: Browser, path: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}

    answer = client.post(f"{API}/{path}", content=body, headers=headers)

    assert answer.status_code in {400, 422}


def test_context_is_read_no_further_than_the_hl7_port_reads(app: Application) -> None:
    client = limited(app, hl7_maximum_bytes=1000)

    answer = client.post(f"{API}/context", content=b"MSH|" + b"x" * 1000)

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
