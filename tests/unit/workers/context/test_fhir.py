from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.context.fhir_server import (
    SmallFhirServer,
    bundle,
    observation,
    others_of,
    patient,
    serving,
)
from tests.unit.workers.context.known import give, known, numbers
from workers.application import Application
from workers.context.fhir_facts import read_fhir
from workers.context.items import load_items
from workers.errors import ContextRefused
from workers.usecases.ask_fhir import ask_fhir
from workers.usecases.describe_context import list_held

ROE = ("4711", "HOSP")


@pytest.fixture
def server() -> Iterator[SmallFhirServer]:
    more = [observation(f"x{number}", "1988-5", value=3 + number) for number in range(3)]
    resources = [patient(), patient("p2", system="urn:other"), observation(of="p2", value=99)]
    with serving(SmallFhirServer([*resources, observation(), *others_of(), *more])) as running:
        yield running


def asking(app: Application, server: SmallFhirServer, **others: Any) -> Application:
    settings = app.settings.model_copy(update={"fhir_url": server.base, **others})
    return replace(app, settings=settings)


def test_a_bundle_says_what_its_resources_say(app: Application) -> None:
    give(app, bundle(patient(), observation(), *others_of()))

    resolved = known(app)

    assert numbers(resolved) == {"cea": 7.5}
    context = resolved.context
    assert (context.ever_smoker, context.emphysema) == (True, True)
    assert context.family_history_lung_cancer is True
    assert [report.text for report in resolved.reports] == ["A nodule of 8 mm."]
    (cea,) = (item for item in resolved.known.values if item.item == "cea")
    assert (cea.source, cea.message_id, cea.on) == ("fhir", "Observation/o1", "2026-03-01")


def test_a_value_of_a_resource_without_an_id_is_traced_to_its_bundle(app: Application) -> None:
    nameless = observation()
    del nameless["id"]
    whole = json.loads(bundle(patient(), nameless)) | {"id": "B-7"}
    give(app, json.dumps(whole).encode())

    (cea,) = (item for item in known(app).known.values if item.item == "cea")
    assert cea.message_id == "B-7"


def test_an_amended_or_mistaken_observation_supersedes(app: Application) -> None:
    give(app, bundle(patient(), observation(), timestamp="2026-03-01T10:00:00Z"))
    give(
        app,
        bundle(patient(), observation(value=9, status="amended"), timestamp="2026-03-02T10:00:00Z"),
    )
    amended = numbers(known(app))
    wrong = observation(status="entered-in-error")
    give(app, bundle(patient(), wrong, timestamp="2026-03-03T10:00:00Z"))

    assert amended == {"cea": 9}
    assert numbers(known(app)) == {}


@pytest.mark.parametrize(
    "changed",
    [{"verificationStatus": {"coding": [{"code": "provisional"}]}}, {"recordedDate": None}],
)
def test_a_condition_in_doubt_says_nothing(app: Application, changed: dict[str, Any]) -> None:
    give(app, bundle(patient(), {**others_of()[1], **changed}))

    assert known(app).context.emphysema is None
    assert known(app).known.left_out


def test_a_refuted_condition_says_no(app: Application) -> None:
    refuted = {"verificationStatus": {"coding": [{"code": "refuted"}]}}
    give(app, bundle(patient(), {**others_of()[1], **refuted}))

    assert known(app).context.emphysema is False


def test_an_uncle_is_no_relative_of_the_first_degree(app: Application) -> None:
    uncle = {**others_of()[2], "relationship": {"coding": [{"code": "UNCLE"}]}}
    give(app, bundle(patient(), uncle))

    assert known(app).context.family_history_lung_cancer is None


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b'{"resourceType": 5}', b'{"resourceType": "Bundle"}', b"\xff{}",
     b'{"resourceType":"Bundle","id":"\\ud800"}', bundle(patient(), observation(of="p9")),
     b'{"a":' * 3000 + b"1" + b"}" * 3000],
)  # fmt: skip
def test_what_is_no_fhir_of_a_patient_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(ContextRefused, match="FHIR"):
        read_fhir(data, load_items(None))


def test_the_server_is_asked_for_the_patient_of_that_issuer_alone(
    app: Application, server: SmallFhirServer, tmp_path: Path
) -> None:
    server.token = "secret"  # noqa: S105 - of the test's own server
    (tmp_path / "token").write_text("secret\n")
    client = asking(app, server, fhir_token_file=tmp_path / "token")

    assert ask_fhir(client, ROE) == ()
    assert numbers(known(app)) == {"cea": 7.5, "crp": pytest.approx(0.005)}  # on the second page
    assert known(app).context.emphysema is True

    server.asked.clear()
    assert ask_fhir(client, ("4711", "OTHER")) != ()  # no identifier system is known for it
    assert ask_fhir(client, ("1234", "HOSP")) == ()  # unknown there
    assert server.asked == ["Patient"]


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({"status": 500}, "500"),
        ({"token": "other"}, "401"),
        ({"delay_s": 0.4}, "Timeout"),
        ({"next_host": "http://127.0.0.2:9"}, "another server"),
        ({"resources": [patient(), patient("p3")]}, "several"),
    ],
)
def test_a_server_that_fails_is_said_and_holds_nothing_up(
    app: Application, server: SmallFhirServer, broken: dict[str, Any], word: str
) -> None:
    for name, value in broken.items():
        setattr(server, name, value)

    (said,) = ask_fhir(asking(app, server, fhir_timeout_s=0.2), ROE)

    assert word in said
    assert numbers(known(app)) == {}


def test_a_server_that_is_away_is_said(app: Application, server: SmallFhirServer) -> None:
    gone = asking(app, server, fhir_url="http://127.0.0.1:9/fhir")

    assert "ConnectError" in ask_fhir(gone, ROE)[0]


def test_a_bundle_of_an_unknown_issuer_is_held(app: Application) -> None:
    give(app, bundle(patient(system="urn:elsewhere"), observation()))

    assert [row["reason_code"] for row in list_held(app)] == ["unknown_issuer"]
