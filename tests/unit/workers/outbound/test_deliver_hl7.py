"""A result's way to a RIS: the same states, retries and dead letters as to any destination."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.unit.workers.delivery_cases import make_due, states
from tests.unit.workers.outbound.hl7_cases import (
    destination,
    kept_findings,
    kept_report,
    revise,
    taken_back,
    to_ris,
)
from tests.unit.workers.outbound.results import nodule
from tests.unit.workers.outbound.ris import Ris, refusing
from workers.application import Application
from workers.doctor import CHECKS
from workers.doctor_host import Check, ports
from workers.peer_settings import DestinationSettings, Hl7DestinationSettings
from workers.settings import Settings
from workers.state.schema import (
    Delivery,
    DeliveryState,
    Instance,
    JobState,
    Result,
    ResultObject,
)
from workers.usecases.administer import retry
from workers.usecases.deliver import deliver_one
from workers.usecases.echo import echo_destination

NOW = 1_000_100.0


def reason(app: Application, delivery_id: int) -> str:
    with app.database.read() as session:
        return session.get_one(Delivery, delivery_id).reason or ""


def test_a_message_that_is_acknowledged_is_confirmed(tmp_path: Path, ris: Ris) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port)

    assert deliver_one(app, delivery_id) == DeliveryState.CONFIRMED

    assert states(app, delivery_id) == (DeliveryState.CONFIRMED, JobState.CONFIRMED)
    (heard,) = ris.heard
    assert str(heard["MSH.F5"]) == "RIS"
    assert str(heard["PID.F5.R1.C1"]) == "Name"
    assert ris.statuses(0) == {"F"}


def test_a_message_that_was_lost_on_its_way_is_sent_again_under_the_same_number(
    tmp_path: Path, ris: Ris
) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port)
    ris.reply = lambda _: None

    assert deliver_one(app, delivery_id) == DeliveryState.QUEUED
    ris.reply = lambda message: message.create_ack()
    make_due(app, delivery_id)
    assert deliver_one(app, delivery_id) == DeliveryState.CONFIRMED

    first, second = ris.controls()
    assert first == second


@pytest.mark.parametrize(
    ("code", "state"), [("AR", DeliveryState.QUEUED), ("AE", DeliveryState.FAILED)]
)
def test_only_a_refusal_that_may_pass_is_tried_again(
    tmp_path: Path, ris: Ris, code: str, state: str
) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port)
    ris.reply = refusing(code)

    deliver_one(app, delivery_id)

    assert states(app, delivery_id)[0] == state
    assert code in reason(app, delivery_id)


def test_a_dead_letter_goes_out_when_somebody_retries_it(tmp_path: Path, ris: Ris) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port)
    ris.reply = refusing("AE")
    deliver_one(app, delivery_id)
    assert states(app, delivery_id) == (DeliveryState.FAILED, JobState.FAILED)

    ris.reply = lambda message: message.create_ack()
    retry(app, "1")
    deliver_one(app, delivery_id)

    assert states(app, delivery_id) == (DeliveryState.CONFIRMED, JobState.CONFIRMED)


def test_a_result_of_another_patient_is_never_told(tmp_path: Path, ris: Ris) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port, "Somebody^Else")

    deliver_one(app, delivery_id)

    assert states(app, delivery_id)[0] == DeliveryState.FAILED
    assert "patient_name" in reason(app, delivery_id)
    assert ris.heard == []


@pytest.mark.parametrize("mode", ["withheld", "shadow"])
def test_what_is_withheld_or_in_shadow_is_not_told(tmp_path: Path, ris: Ris, mode: str) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port, mode=mode)

    assert deliver_one(app, delivery_id) == "not_due"

    assert states(app, delivery_id)[0] == mode
    assert ris.heard == []


def test_a_revision_corrects_what_its_predecessor_told(tmp_path: Path, ris: Ris) -> None:
    app, first = to_ris(tmp_path, ris.port)
    deliver_one(app, first)
    second = revise(app, nodule(1, long_axis_mm=15.0))

    assert deliver_one(app, second) == DeliveryState.CONFIRMED

    assert (ris.statuses(0), ris.statuses(1)) == ({"F"}, {"C", "D"})
    assert taken_back(ris.heard[1]) == {"2"}
    assert str(ris.heard[0]["OBR.F3"]) == str(ris.heard[1]["OBR.F3"])
    assert ris.controls()[0] != ris.controls()[1]


def test_a_revision_takes_back_all_that_was_told_since_the_last_acknowledgement(
    tmp_path: Path, ris: Ris
) -> None:
    app, first = to_ris(tmp_path, ris.port)
    deliver_one(app, first)
    second = revise(app, nodule(1), nodule(3))
    ris.reply = refusing("AE")
    deliver_one(app, second)
    ris.reply = lambda message: message.create_ack()

    deliver_one(app, revise(app, nodule(1)))
    deliver_one(app, revise(app, nodule(1, long_axis_mm=15.0)))

    assert [taken_back(heard) for heard in ris.heard] == [set(), {"2"}, {"2", "3"}, set()]


def becomes_another_patients(app: Application, delivery_id: int) -> None:
    """Let a delivery's result, and what was received, be of another patient."""
    with app.database.write() as session:
        job_id = session.get_one(Delivery, delivery_id).job_id
        row = session.query(ResultObject).filter_by(job_id=job_id).one()
        row.path, row.sha256 = kept_report(app, patient_id="OTHER")
        for instance in session.query(Instance):
            identity = {**instance.header["identity"], "patient_id": "OTHER"}
            instance.header = {**instance.header, "identity": identity}


def test_a_study_that_is_another_patients_is_withdrawn_from_the_first_before_it_is_told(
    tmp_path: Path, ris: Ris
) -> None:
    app, first = to_ris(tmp_path, ris.port)
    deliver_one(app, first)
    second = revise(app, nodule(1))
    becomes_another_patients(app, second)

    assert deliver_one(app, second) == DeliveryState.CONFIRMED

    before, withdrawn, told = ris.heard
    assert [str(item["PID.F3.R1.C1"]) for item in (withdrawn, told)] == [
        str(before["PID.F3.R1.C1"]), "OTHER"
    ]  # fmt: skip
    assert [ris.statuses(number) for number in (0, 1, 2)] == [{"F"}, {"D"}, {"F"}]
    assert taken_back(withdrawn) == {"", "1", "2"}


def test_both_messages_of_another_patients_study_come_again_under_their_control_ids(
    tmp_path: Path, ris: Ris
) -> None:
    app, first = to_ris(tmp_path, ris.port)
    deliver_one(app, first)
    second = revise(app, nodule(1))
    becomes_another_patients(app, second)
    ris.reply = lambda message: None if len(ris.heard) == 3 else message.create_ack()

    deliver_one(app, second)
    make_due(app, second)
    assert deliver_one(app, second) == DeliveryState.CONFIRMED

    _, *both = ris.controls()
    assert both[:2] == both[2:]
    assert len(set(both)) == 2


def test_findings_of_an_earlier_release_are_a_dead_letter_that_says_so(
    tmp_path: Path, ris: Ris
) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port)
    old = nodule(1)
    del old["short_axis_mm"]
    with app.database.write() as session:
        result = session.query(Result).one()
        result.findings_path, result.findings_sha256 = kept_findings(app, old)

    assert deliver_one(app, delivery_id) == DeliveryState.FAILED

    assert "short_axis_mm" in reason(app, delivery_id)
    assert ris.heard == []


def test_a_series_that_was_forced_later_takes_the_place_of_a_later_jobs_message(
    tmp_path: Path, ris: Ris
) -> None:
    app, first = to_ris(tmp_path, ris.port)
    with app.database.write() as session:
        session.query(Result).one().committed_at = NOW + 60
    deliver_one(app, revise(app, nodule(1), nodule(2), nodule(3)))
    with app.database.write() as session:
        session.get_one(Delivery, first).state = DeliveryState.QUEUED

    deliver_one(app, first)

    assert ris.statuses(1) == {"C", "D"}
    assert taken_back(ris.heard[1]) == {"3"}


def test_settings_hold_both_kinds_and_old_ones_still_mean_a_pacs() -> None:
    settings = Settings.model_validate(
        {
            "destinations": [
                {"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 104},
                {"kind": "hl7", "name": "ris", "host": "ris", "port": 2575},
            ]
        }
    )
    again = Settings.model_validate(settings.model_dump(mode="json"))

    assert [type(item) for item in again.destinations] == [
        DestinationSettings, Hl7DestinationSettings
    ]  # fmt: skip
    assert again.destinations == settings.destinations
    with pytest.raises(ValueError, match="ae_title"):
        Settings.model_validate(
            {
                "destinations": [
                    {"kind": "hl7", "name": "r", "host": "r", "port": 1, "ae_title": "R"}
                ]
            }
        )
    with pytest.raises(ValueError, match="unknown: one of"):
        destination(1, charset="KLINGON")


def test_doctor_and_console_say_whether_a_ris_listens(tmp_path: Path, ris: Ris) -> None:
    app, _ = to_ris(tmp_path, ris.port)

    found = echo_destination(app, "main")

    said = f"HL7 receiver 127.0.0.1 port {ris.port} takes connections"
    assert (found.ok, found.found) == (True, said)
    assert [(item.ok, item.found) for item in checks("_peers", app.settings)] == [(True, said)]
    nobody = app.settings.model_copy(update={"destinations": (destination(1),)})
    assert not echo_destination(replace(app, settings=nobody), "main").ok
    assert [item.ok for item in checks("_peers", nobody)] == [False]
    assert ris.heard == []


def checks(name: str, settings: Settings) -> list[Check]:
    """One part of what the doctor does."""
    return list(next(part for part in CHECKS if part.__name__ == name)(settings))


@pytest.mark.parametrize(
    ("changes", "ok", "said"),
    [
        ({}, None, "names no assigning authority"),
        (
            {"context_issuers": {"HOSP": "HOSP"}, "hl7_senders": ("LAB|HOSP",)},
            True,
            "from LAB|HOSP",
        ),
        ({"hl7_host": "0.0.0.0"}, None, "in clear text"),  # noqa: S104
        ({"hl7_tls_certificate": Path("/nowhere.pem")}, False, "/nowhere.pem is not there"),
    ],
)
def test_the_doctor_says_what_is_missing_for_the_hl7_port(
    changes: dict[str, Any], ok: bool | None, said: str
) -> None:
    settings = Settings(hl7_port=0, **changes)

    first = checks("_hl7", settings)[0]

    assert (first.ok, said in first.found) == (ok, True), first.found
    assert "HL7 port" in [item.what for item in ports(settings)]
    assert checks("_hl7", Settings()) == []


def test_the_report_that_is_told_is_the_one_that_was_committed(tmp_path: Path, ris: Ris) -> None:
    app, delivery_id = to_ris(tmp_path, ris.port)
    deliver_one(app, delivery_id)
    with app.database.read() as session:
        row = session.query(ResultObject).one()

    ds = dcmread(io.BytesIO(app.store.get_bytes(row.path)))
    (text,) = [item for item in ris.heard[0].segments("OBX") if str(item[3][0][0]) == "18782-3"]
    lines = [str(item.TextValue) for item in ds.ContentSequence[0].ContentSequence]
    assert str(text[5]).replace("\\.br\\", "\n").replace("\\F\\", "|").replace(
        "\\T\\", "&"
    ).replace("\\E\\", "\\") == "\n".join(lines)
