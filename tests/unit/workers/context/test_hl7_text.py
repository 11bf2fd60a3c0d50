from __future__ import annotations

import pytest

from tests.unit.workers.context.messages import message
from workers.context.hl7_message import Hl7Message
from workers.context.hl7_text import decode, split_messages
from workers.errors import Hl7Refused


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("UNICODE UTF-8", "utf-8"), ("8859/1", "latin-1"), ("GB 18030-2000", "gb18030")],
)
def test_a_name_survives_in_each_character_set(charset: str, codec: str) -> None:
    name = "Müller^Jörg" if codec != "gb18030" else "王^小东"
    frame = message(name=name, charset=charset).encode(codec)

    read = Hl7Message(decode(frame, "ASCII"))

    assert read.segments[1].whole(5) == name


def test_bytes_of_gb18030_that_look_like_separators_part_nothing() -> None:
    text = message(name="畖畗^畘", charset="GB18030")  # second bytes are 0x7C and 0x5E
    frame = text.encode("gb18030")
    assert frame.count(b"|") > text.count("|")

    assert Hl7Message(decode(frame, "UTF-8")).segments[1].whole(5) == "畖畗^畘"


def test_without_a_declared_character_set_the_default_counts() -> None:
    frame = message(name="Müller").encode("latin-1")

    assert "Müller" in decode(frame, "8859/1")
    with pytest.raises(Hl7Refused, match="not utf-8"):
        decode(frame, "UNICODE UTF-8")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"one\.br\two\.sp\three", "one\ntwo\nthree"),
        (r"\H\bold\N\ text", "bold text"),
        (r"\XC3BC\ber", "über"),
        ("\\Zlocal\\kept\\C2842\\", "kept"),
        (r"5 \ 6", r"5 \ 6"),
        (r"\XZZ\x", "x"),
    ],
)
def test_escape_sequences_become_what_they_mean(written: str, meant: str) -> None:
    read = Hl7Message(message("ORU^R01", f"OBX|1|TX|X||{written}"))

    assert read.segments[2].text(5) == meant


def test_other_separators_are_taken_from_the_header() -> None:
    text = "MSH#*~!%#LAB#HOSP###2026##ORU*R01#1#P#2.5\rPID###77***A!F!B%C\r"

    pid = Hl7Message(text).segments[1]

    assert (pid.text(3, 1), pid.text(3, 4, 1), pid.text(3, 4, 2)) == ("77", "A#B", "C")


def test_an_explicit_null_is_empty() -> None:
    assert Hl7Message(message(birth='""')).segments[1].text(7) == ""


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_batch_is_parted_into_its_messages(end: str) -> None:
    one, two = message(control="A"), message(control="B")
    text = ("FHS|^~\\&\rBHS|^~\\&\r" + one + two + "BTS|2\rFTS|1\r").replace("\r", end)

    assert split_messages(text) == [one, two]


@pytest.mark.parametrize("text", ["", "PID|1\rMSH|^~\\&|A\r", "BHS|^~\\&\rBTS|0\r", "hello"])
def test_what_is_no_hl7_is_refused(text: str) -> None:
    with pytest.raises(Hl7Refused):
        split_messages(text)


@pytest.mark.parametrize("header", ["MSH", "MSH|", "MSH|^~\\", "MSH|||||||", "MSHABCDEFGH|"])
def test_a_header_that_is_cut_off_is_refused(header: str) -> None:
    with pytest.raises(Hl7Refused):
        Hl7Message(header + "\r")
