from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from tests.unit.workers.context.known import ct, give, known, numbers
from tests.unit.workers.context.messages import laboratory, message
from workers.application import Application
from workers.context.facts import Person
from workers.context.links import Link, merged_with
from workers.context.same_person import differences
from workers.errors import ContextRefused
from workers.state.alarms import CONTEXT_CONFLICT, CONTEXT_HELD, open_alarms
from workers.state.context_tables import ContextMessage, ContextPerson, MessageState
from workers.usecases.audit import at_the_command_line
from workers.usecases.describe_context import list_held
from workers.usecases.known_context import tell_conflict
from workers.usecases.link_patients import confirm_patient, merge_patients, unmerge_patients
from workers.usecases.take_messages import retry_held, take_messages

ME = at_the_command_line()


def a40(into: str, prior: str, control: str = "A40", authority: str = "HOSP") -> str:
    text = message("ADT^A40", f"MRG|{prior}^^^{authority}^MR", patient=into, control=control)
    return text.replace("\rPID", "\rEVN||20260301110000\rPID")


def test_equal_ids_of_different_issuers_are_different_patients(app: Application) -> None:
    give(app, laboratory("7.5", control="1"), laboratory("99", control="2", authority="OTHER"))

    assert numbers(known(app, ("4711", "HOSP"))) == {"cea": 7.5}
    assert numbers(known(app, ("4711", "OTHER"))) == {"cea": 99}
    assert numbers(known(app, ("4711", ""))) == {}


def test_a_message_of_an_unknown_issuer_is_held_with_an_alarm_until_settings_name_it(
    app: Application,
) -> None:
    give(app, laboratory(authority="ELSEWHERE"))

    assert numbers(known(app, ("4711", "ELSEWHERE"))) == {}
    (row,) = list_held(app)
    assert row["reason_code"] == "unknown_issuer"
    with app.database.read() as session:
        (alarm,) = open_alarms(session)
        assert alarm.code == CONTEXT_HELD
        assert "4711" not in alarm.message

    named = replace(
        app, settings=app.settings.model_copy(update={"context_issuers": {"ELSEWHERE": "E"}})
    )
    assert retry_held(named) == 1
    take_messages(named)

    assert numbers(known(named, ("4711", "E"))) == {"cea": 7.5}
    assert list_held(named) == []
    with app.database.read() as session:
        assert list(open_alarms(session)) == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"birth": "19610402"}, "birth date"), ({"sex": "M"}, "sex"), ({"name": "Doe^Ann"}, "name")],
)
def test_a_message_that_names_another_person_under_the_same_id_is_held_back(
    app: Application, changed: dict[str, str], word: str
) -> None:
    give(app, laboratory("7.5", control="1", **changed), laboratory("4", control="2", order="O2"))

    resolved = known(app)

    assert numbers(resolved) == {"cea": 4}
    assert resolved.conflict
    assert resolved.known.held == (f"message 1: {word} differ from the CT's",)


def test_when_the_newest_identity_is_another_person_nothing_is_used(app: Application) -> None:
    give(
        app,
        laboratory("7.5", control="1"),
        message("ADT^A08", control="2", name="Doe^John", birth="19991231", sex="M"),
    )

    resolved = known(app)

    assert numbers(resolved) == {}
    assert "all of it: birth date, sex, name" in resolved.known.held[0]


def test_the_alarm_of_a_conflict_names_the_patient_by_a_number_that_no_id_leads_to(
    app: Application,
) -> None:
    give(app, laboratory("7.5", control="1", birth="19610402"))
    patient = ("4711", "HOSP")

    tell_conflict(app, patient, known(app, patient))

    with app.database.read() as session:
        (alarm,) = open_alarms(session)
        first = session.scalars(select(ContextPerson.id)).first()
        assert (alarm.code, alarm.subject) == (CONTEXT_CONFLICT, str(first))
        assert "4711" not in alarm.message
        assert "19610402" not in alarm.message
    confirm_patient(app, patient, actor=ME)
    with app.database.read() as session:
        assert list(open_alarms(session)) == []


def test_somebody_may_confirm_what_is_known_and_only_that(app: Application) -> None:
    give(app, laboratory("7.5", control="1", birth="19610402"))
    assert confirm_patient(app, ("4711", "HOSP"), actor=ME) == 1
    give(app, laboratory("99", control="2", birth="19620402", order="O2"))

    resolved = known(app)

    assert numbers(resolved) == {"cea": 7.5}
    assert resolved.known.held == ("message 2: birth date differ from the CT's",)


def test_a_name_that_changed_by_marriage_is_the_same_person(app: Application) -> None:
    give(app, message("ADT^A08", control="1", name="Smith^Jane"), laboratory(name="Smith^Jane"))

    assert numbers(known(app)) == {"cea": 7.5}


def test_merged_ids_are_one_patient_and_two_again_after_an_unmerge(app: Application) -> None:
    give(
        app,
        laboratory("7.5", patient="OLD", control="1"),
        laboratory("4", patient="4711", control="2", order="O2", at="20260228080000"),
    )
    before = numbers(known(app, ("4711", "HOSP")))

    give(app, a40("4711", "OLD"))

    assert before == {"cea": 4}
    assert numbers(known(app, ("4711", "HOSP"))) == {"cea": 7.5}  # nearer to the CT
    assert numbers(known(app, ("OLD", "HOSP"))) == {"cea": 7.5}  # a CT under the prior ID

    unmerge_patients(app, ("OLD", "HOSP"), ("4711", "HOSP"), actor=ME)

    assert numbers(known(app, ("4711", "HOSP"))) == {"cea": 4}
    assert numbers(known(app, ("OLD", "HOSP"))) == {"cea": 7.5}
    merge_patients(app, ("OLD", "HOSP"), ("4711", "HOSP"), actor=ME)
    assert numbers(known(app, ("4711", "HOSP"))) == {"cea": 7.5}


def test_a_merge_with_another_person_holds_that_persons_values_back(app: Application) -> None:
    give(
        app,
        laboratory("99", patient="OLD", control="1", birth="19400101", name="Doe^Ann"),
        laboratory("4", control="2", order="O2"),
        a40("4711", "OLD"),
    )

    resolved = known(app)

    assert numbers(resolved) == {"cea": 4}
    assert resolved.known.held == ("message 1: birth date, name differ from the CT's",)


def test_merges_across_issuers_or_with_itself_are_held(app: Application) -> None:
    give(app, a40("4711", "OLD", "1", "OTHER"), a40("4711", "4711", "2"))

    assert [row["reason_code"] for row in list_held(app)] == [
        "merge_across_issuers",
        "merge_with_itself",
    ]


def test_what_is_no_merge_cannot_be_taken_back_nor_be_made_twice(app: Application) -> None:
    give(app, a40("4711", "OLD"))

    with pytest.raises(ContextRefused, match="already"):
        merge_patients(app, ("OLD", "HOSP"), ("4711", "HOSP"), actor=ME)
    with pytest.raises(ContextRefused, match="no such merge"):
        unmerge_patients(app, ("X", "HOSP"), ("4711", "HOSP"), actor=ME)
    with pytest.raises(ContextRefused, match="nothing is known"):
        confirm_patient(app, ("X", "HOSP"), actor=ME)


def test_a_message_that_comes_twice_counts_once(app: Application) -> None:
    give(app, laboratory(), laboratory())
    give(app, laboratory())

    with app.database.read() as session:
        rows = session.scalars(select(ContextMessage)).all()
        assert [row.state for row in rows] == [MessageState.TAKEN]


A, B, C = ("A", ""), ("B", ""), ("C", "")


def merge(what: tuple[str, str], into: tuple[str, str]) -> Link:
    return Link(kind="merge", what=what, into=into)


def test_chains_of_merges_end_and_circles_follow_the_later_word() -> None:
    assert merged_with(A, [merge(A, B), merge(B, C)]) == {A, B, C}
    assert merged_with(A, [merge(A, B), merge(B, A)]) == {A, B}
    assert merged_with(A, [merge(A, B), Link(kind="unmerge", what=A, into=B)]) == {A}
    assert merged_with(C, [merge(A, B), merge(B, C), Link(kind="unmerge", what=B, into=C)]) == {C}
    assert merged_with(A, [merge(A, A)]) == {A}


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (("Müller^Jörg",), ("MULLER^JORG",), ()),
        (("Roe-Smith^Jane",), ("Smith^Jane M",), ()),
        (("王^小东",), ("Wang^Xiaodong",), ()),
        (("Wang^Xiaodong", "王^小东"), ("王^小东",), ()),
        (("王^小东",), ("李^四",), ("name",)),
        (("Roe^Jane",), (), ()),
        (("Roe^J",), ("Doe^J",), ("name",)),
    ],
)
def test_names_are_one_persons_where_a_part_is_shared(
    one: tuple[str, ...], other: tuple[str, ...], found: tuple[str, ...]
) -> None:
    assert differences(Person(names=one), Person(names=other)) == found


def test_the_ct_itself_decides_whose_context_is_used(app: Application) -> None:
    give(app, laboratory())

    other = ct(person=Person(names=("Doe^Ann",), birth_date="19700101", sex="F"))

    assert numbers(known(app, of=other)) == {}
