from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.workers.outbound.results import LINES, STUDY_UID, nodule, told
from workers.context.hl7_accept import AcceptPolicy
from workers.context.hl7_message import Hl7Message, Segment
from workers.context.hl7_receive import Receiver
from workers.context.hl7_text import decode, split_messages
from workers.context.inbox import MessageInbox
from workers.errors import ResultNotTold
from workers.outbound.acknowledged import check_acknowledged
from workers.outbound.oru import (
    TOLD,
    Addresses,
    OruMessage,
    compose_oru,
    compose_withdrawal,
    names_told,
)

RIS = Addresses(
    receiving_application="RIS",
    receiving_facility="HOSP",
    sending_facility="CT",
    procedure="24627-2^CT Chest^LN",
)


def read(message: OruMessage) -> Hl7Message:
    """The message, as a receiver reads it."""
    (text,) = split_messages(decode(message.data, "UNICODE UTF-8"))
    return Hl7Message(text)


def rows(message: Hl7Message) -> dict[tuple[str, str], Segment]:
    """Its OBX by OBX-3.1 and OBX-4."""
    return {(item.text(3), item.text(4)): item for item in message.all("OBX")}


def test_a_receiver_reads_patient_order_and_nodules() -> None:
    message = read(compose_oru(told(), RIS))

    header = message.header
    assert (header.kind, header.version, header.sender) == ("ORU^R01", "2.5.1", "PULMONODE|CT")
    assert (header.receiving_application, header.receiving_facility) == ("RIS", "HOSP")
    assert header.at == "20260302100000+0000"
    pid = message.first("PID")
    assert pid is not None
    assert (pid.text(3), pid.text(3, 4), pid.text(3, 5)) == ("4711", "HOSP", "MR")
    assert pid.repetitions(5)[0][:5] == (("Roe",), ("Jane",), ("Q",), ("MD",), ("Dr",))
    assert [(item[0][0], item[7][0]) for item in pid.repetitions(5)] == [
        ("Roe", "A"),
        ("小東", "I"),
    ]
    assert (pid.text(7), pid.text(8)) == ("19600402", "F")
    obr = message.first("OBR")
    assert obr is not None
    assert (obr.text(4), obr.text(4, 3), obr.text(7)) == ("24627-2", "LN", "202603020915")
    assert (obr.text(18), obr.text(24), obr.text(25)) == ("A-77", "CT", "F")
    found = rows(message)
    assert found["110180", ""].text(5) == STUDY_UID
    assert found["18782-3", ""].text(5) == "\n".join(LINES)
    assert (found["103339001", "2"].text(5), found["103339001", "2"].text(6)) == ("12.3", "mm")
    assert found["118565006", "1"].text(5) == "813"
    assert found["363698007", "1"].text(5, 2) == "Upper lobe of right lung"
    level = found["MODEL_LEVEL", "1"]
    assert level.text(5) == "MODEL_LEVEL_III"
    assert "research use, not for diagnosis" in level.text(3, 2)
    assert {item.text(11) for item in found.values()} == {"F"}
    assert [item.text(1) for item in message.all("OBX")] == [
        str(number) for number in range(1, len(found) + 1)
    ]


def test_the_same_result_is_the_same_message_and_another_one_has_another_number() -> None:
    one, again = compose_oru(told(), RIS), compose_oru(told(), RIS)
    other = compose_oru(told(nodule(1, long_axis_mm=12.5)), RIS)

    assert one == again
    assert one.control_id == read(one).header.control_id
    assert len(one.control_id) == 20
    assert other.control_id != one.control_id


def test_a_correction_says_so_and_takes_away_what_is_no_longer_found() -> None:
    before, now = told(nodule(1), nodule(2)), told(nodule(1, long_axis_mm=14.0), revision=2)

    message = read(compose_oru(now, RIS, [before]))

    found = rows(message)
    assert {item.text(11) for key, item in found.items() if key[1] in ("", "1")} == {"C"}
    gone = [item for key, item in found.items() if key[1] == "2"]
    assert gone
    assert {(item.text(11), item.text(5)) for item in gone} == {("D", "")}
    assert message.first("OBR").text(25) == "C"  # type: ignore[union-attr]
    first = read(compose_oru(before, RIS))
    assert first.first("OBR").text(3) == message.first("OBR").text(3)  # type: ignore[union-attr]


def test_a_withdrawal_takes_everything_back_from_the_patient_who_was_told_to_have_it() -> None:
    older, newer = told(nodule(1), nodule(2)), told(nodule(1), nodule(3), revision=2)
    right = told(nodule(1), revision=3, PatientID="4712")

    message = read(compose_withdrawal([newer, older], RIS, because=right))

    assert message.first("PID").text(3) == "4711"  # type: ignore[union-attr]
    assert message.first("OBR").text(25) == "X"  # type: ignore[union-attr]
    found = rows(message)
    assert {number for _, number in found} == {"", "1", "2", "3"}
    assert {(item.text(11), item.text(5)) for item in found.values()} == {("D", "")}
    order = read(compose_oru(right, RIS)).first("OBR")
    assert message.first("OBR").text(3) == order.text(3)  # type: ignore[union-attr]


def test_what_is_not_known_is_not_said() -> None:
    bare = nodule(
        1,
        lobe={"name": None, "probability": None},
        laterality=None,
        grade={"withheld": "too small"},
        guidelines={
            "lung_rads": {"category": None, "applicable": "unknown"},
            "brock": {"probability": None},
        },
    )

    found = rows(read(compose_oru(told(bare, PatientName="", StudyTime=""), RIS)))

    assert {key[0] for key in found if key[1] == "1"} == {
        "112040", "NODULE_TYPE", "103339001", "103340004", "118565006"
    }  # fmt: skip


def test_the_studys_procedure_and_the_sites_authority_come_first() -> None:
    result = replace(told(), procedure=None)
    addresses = replace(RIS, authorities={"HOSP": "HOSPITAL"})

    message = read(compose_oru(result, addresses))

    assert message.first("PID").text(3, 4) == "HOSPITAL"  # type: ignore[union-attr]


@pytest.mark.parametrize("charset", ["GB18030", "UNICODE UTF-8"])
def test_chinese_survives_in_what_can_write_it(charset: str) -> None:
    message = compose_oru(told(), replace(RIS, charset=charset))

    assert read(message).first("PID").repetitions(5)[1][1] == ("王",)  # type: ignore[union-attr]


def test_a_name_that_the_charset_cannot_write_is_not_sent() -> None:
    with pytest.raises(ResultNotTold, match="8859/1 has no letter") as refused:
        compose_oru(told(), replace(RIS, charset="8859/1"))

    assert refused.value.transient is False


def test_a_real_listener_takes_the_message(tmp_path: Path) -> None:
    message = compose_oru(told(), RIS)
    receiver = Receiver(inbox=MessageInbox(tmp_path / "context"), policy=AcceptPolicy())

    answer = receiver.receive(message.data, "127.0.0.1")

    check_acknowledged(answer, message.control_id)
    assert len(receiver.inbox.waiting()) == 1


def answer(code: str, *segments: str, about: str = "ID1") -> bytes:
    head = "MSH|^~\\&|RIS|HOSP|PULMONODE||20260302||ACK|9|P|2.5.1"
    return "\r".join([head, f"MSA|{code}|{about}|Roe^Jane is unknown", *segments, ""]).encode()


@pytest.mark.parametrize("code", ["AA", "CA", "aa"])
def test_accepted_is_accepted_in_either_mode(code: str) -> None:
    check_acknowledged(answer(code), "ID1")


@pytest.mark.parametrize("charset", ["", "UNICODE UTF-8", "EUC-KR"])
def test_words_that_the_answers_character_set_does_not_hold_change_nothing(charset: str) -> None:
    said = answer("AA").replace(b"|2.5.1", f"|2.5.1||||||{charset}".encode(), 1)

    check_acknowledged(said.replace(b"Roe^Jane is unknown", "Müller".encode("latin-1")), "ID1")


@pytest.mark.parametrize(
    ("said", "transient", "why"),
    [
        (answer("AE"), False, "AE"),
        (answer("AE", "ERR|||204^Unknown key^HL70357|E"), False, "204 Unknown key identifier"),
        (answer("AE", "ERR|||207^Internal^HL70357|E"), True, "207"),
        (answer("AR"), True, "AR"),
        (answer("CE"), True, "CE"),
        (answer("CR"), False, "CR"),
        (answer("XX"), True, "XX"),
        (answer("AA", about="ID2"), True, "another message"),
        (b"MSH|^~\\&|RIS\r", True, "no MSA"),
        (b"<html>", True, "no HL7"),
        (b"", True, "no HL7"),
    ],
)
def test_what_is_not_taken_is_tried_again_only_where_that_may_help(
    said: bytes, transient: bool, why: str
) -> None:
    with pytest.raises(ResultNotTold) as refused:
        check_acknowledged(said, "ID1")

    assert refused.value.transient is transient
    assert why in str(refused.value)
    assert "Jane" not in str(refused.value)


def test_all_that_a_message_may_hold_can_be_taken_back_by_its_name_alone() -> None:
    full = read(compose_oru(told(), RIS))
    names = names_told(told())

    assert {(item.text(2), item.text(3)) for item in full.all("OBX")} == {
        (kind, code.value) for kind, code in TOLD
    }
    bare = told(nodule(1, grade={"withheld": "too small"}))
    kept = compose_oru(bare, RIS, [told()])
    assert compose_oru(bare, RIS, gone=[names]) == kept
    assert compose_oru(bare, RIS, [told()], gone=[names]) == kept
    assert compose_oru(bare, RIS, gone=[{}, {"OF A LATER RELEASE": ["1"]}]) != kept
