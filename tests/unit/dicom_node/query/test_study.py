from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import MiniPacs
from dicom_node.query.study import StudyIdentity
from dicom_node.read.header import Identity
from tests.unit.dicom_node.query.cases import (
    PATIENT,
    STUDY,
    disagreements,
    entry,
    header_identity,
    study,
)


@pytest.mark.parametrize("character_set", ["ISO_IR 100", "ISO_IR 192"])
def test_a_name_is_the_same_in_every_character_set(
    pacs: MiniPacs, character_set: str, tmp_path: Path
) -> None:
    ours = header_identity(tmp_path, patient_name="Müller^Jürgen")  # written in UTF-8
    pacs.catalogue = [
        entry(
            SpecificCharacterSet=character_set, PatientID="PHANTOM", PatientName="Müller^Jürgen^^^"
        )
    ]

    found = study(pacs.peer)

    assert found is not None
    assert found.identity.patient_name == "Müller^Jürgen"
    assert found.answered == {"patient_id", "patient_name"}
    assert disagreements(ours, found) == set()


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 126", "Παπαδόπουλος^Γιώργος"),
        ("ISO_IR 144", "Иванова^Анна"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ],
)
def test_a_name_that_latin_1_cannot_write_is_the_same_too(
    pacs: MiniPacs, character_set: str | list[str], name: str, tmp_path: Path
) -> None:
    ours = header_identity(tmp_path, patient_name=name)
    pacs.catalogue = [entry(SpecificCharacterSet=character_set, PatientName=name)]

    assert disagreements(ours, study(pacs.peer)) == set()
    assert disagreements(replace(ours, patient_name="Doe^Jane"), study(pacs.peer)) == {
        "patient_name"
    }


def test_every_attribute_of_patient_and_study_is_asked_for(pacs: MiniPacs) -> None:
    pacs.catalogue = [
        entry(**PATIENT, StudyID="7", StudyDate="20260101", AccessionNumber="A1", Modality="CT")
    ]

    found = study(pacs.peer)

    assert found == StudyIdentity(
        identity=Identity(
            patient_id="0815",
            issuer_of_patient_id="HOSPITAL",
            patient_name="Doe^Jane",
            birth_date="19600101",
            sex="F",
            study_instance_uid=STUDY,
            study_id="7",
            study_date="20260101",
            accession_number="A1",
        ),
        answered=frozenset(Identity.PATIENT),
    )


def test_a_study_that_the_pacs_does_not_know_has_no_identity(pacs: MiniPacs) -> None:
    pacs.catalogue = [entry(StudyInstanceUID="2.25.8", **PATIENT)]

    assert study(pacs.peer) is None


@pytest.mark.parametrize("value", [None, "", "^^^"])
def test_what_is_absent_or_empty_says_nothing(pacs: MiniPacs, value: str | None) -> None:
    pacs.catalogue = [entry(**(PATIENT | {"PatientName": value}))]

    found = study(pacs.peer)

    assert found is not None
    assert found.answered == set(Identity.PATIENT) - {"patient_name"}


def test_answers_that_differ_agree_with_neither(pacs: MiniPacs) -> None:
    other = PATIENT | {"PatientName": "Doe^John", "PatientSex": None}
    pacs.catalogue = [entry(**PATIENT), entry(**other)]
    names = ("Doe^Jane", "Doe^John", "Doe^Jane\\Doe^John")

    found = study(pacs.peer)

    assert found is not None
    assert found.identity.sex == "F"  # one of them says nothing, and contradicts nothing
    for name in names:
        ours = replace(found.identity, patient_name=Identity.from_dataset(named(name)).patient_name)
        assert disagreements(ours, found) == {"patient_name"}
    said = found.identity.patient_name
    assert Identity.from_dataset(named(said)).patient_name != said  # no header can say this


def named(name: str) -> Dataset:
    ds = Dataset()
    ds.PatientName = name
    return ds


def test_only_answers_about_other_studies_mean_that_this_one_is_unknown(
    serve: Callable[..., Peer],
) -> None:
    assert study(serve(entry(StudyInstanceUID="2.25.8", **PATIENT))) is None
