"""Context sent to the console has the same inbox and the same answers as the HL7 port."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any

import pytest

from tests.migrated import migrated_application
from tests.unit.workers.console.api_program import API, audited, program
from tests.unit.workers.console.browser import Browser
from tests.unit.workers.context.fhir_server import bundle, observation, patient
from tests.unit.workers.context.known import known, numbers
from tests.unit.workers.context.messages import laboratory, message
from tests.unit.workers.rows import with_settings
from workers.application import Application
from workers.settings import Settings
from workers.state.access_tables import Role
from workers.state.context_tables import ContextMessage
from workers.usecases.take_messages import open_inbox

BUNDLE = bundle(patient(), observation(), id="B1")


@pytest.fixture
def site(settings: Settings) -> Application:
    return migrated_application(
        with_settings(
            settings,
            context_issuers={"HOSP": "HOSP", "urn:oid:1.2.3": "HOSP"},
            context_default_issuer="HOSP",
            hl7_maximum_bytes=20_000,
        )
    )


class Sender:
    """A program with a token that sends context."""

    def __init__(self, app: Application, role: Role = Role.OPERATOR) -> None:
        self._program = program(app, role)

    def __call__(self, body: bytes | str) -> tuple[int, Any]:
        data = body.encode() if isinstance(body, str) else body
        sent = self._program.post(f"{API}/context", content=data)
        return sent.status_code, sent.json()


@pytest.fixture
def send(site: Application) -> Sender:
    return Sender(site)


def test_each_hl7_message_is_answered_and_what_is_accepted_is_read(
    site: Application, send: Sender
) -> None:
    unknown = laboratory(control="C3", authority="ELSEWHERE", order="O3")
    body = "".join((laboratory(control="C1"), message("ADT^A99", control="C2"), unknown))

    status, answers = send(body)

    assert status == 200
    assert [(item["message_id"], item["answer"], item["outcome"]) for item in answers] == [
        ("C1", "AA", "taken"),
        ("C2", "AR", ""),
        ("C3", "AA", "held"),
    ]
    assert answers[1]["error"] == 201
    assert numbers(known(site)) == {"cea": 7.5}
    inbox = open_inbox(site.settings)
    assert (inbox.waiting(), len(inbox.held())) == ([], 1)
    assert send(laboratory(control="C1"))[1][0]["outcome"] == "repeated"
    assert ("context.import", None, "", "done") in audited(site)


@pytest.mark.parametrize("mark", [b"", BOM_UTF8], ids=["plain", "byte order mark"])
def test_a_bundle_is_taken_whole_or_refused_with_a_reason(
    site: Application, send: Sender, mark: bytes
) -> None:
    status, answers = send(mark + BUNDLE)

    assert (status, answers) == (
        200,
        [{"message_id": "B1", "answer": "AA", "error": None, "why": "", "outcome": "taken"}],
    )
    assert numbers(known(site)) == {"cea": 7.5}
    status, problem = send(bundle(observation()))
    assert (status, problem["code"]) == (422, "context_refused")
    assert "no Patient" in problem["detail"]


@pytest.mark.parametrize("body", ["", "PID|1||4711", b"\xff\xfe", "{", "<html>"])
def test_what_is_neither_is_refused_and_kept_nowhere(
    site: Application, send: Sender, body: bytes | str
) -> None:
    status, problem = send(body)

    assert (status, problem["code"]) == (422, "context_refused")
    assert problem["remedy"]
    assert open_inbox(site.settings).waiting() == []
    with site.database.read() as session:
        assert session.query(ContextMessage).count() == 0


def test_only_operators_may_and_nothing_endless_is_read(site: Application, send: Sender) -> None:
    assert Sender(site, Role.VIEWER)(laboratory())[0] == 403
    assert Browser(site).post(f"{API}/context", content=b"x").status_code == 401
    assert send(b"x" * 20_001)[0] == 413
    with site.database.read() as session:
        assert session.query(ContextMessage).count() == 0
