"""No patient's identity in another's objects, though cases of one patient explain another's.

Patient C is analysed first, and its nodule becomes a case of the site's bank. Then A and B, whose
CT has the same pixels, are analysed by the same service, and a study of D that cannot be.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from sqlalchemy import select

from dicom_node.compose.identity import derive_uid
from dicom_node.read.eligibility import load_rules
from tests.migrated import migrated_application
from tests.unit.workers.rows import receive
from workers.application import Application
from workers.bank.admit import add_candidate
from workers.bank.answers import Told
from workers.bank.changes import begin, promote
from workers.bank.current import find_shipped_bank
from workers.bank.folder import BankFolder
from workers.bank.nodule import read_nodule
from workers.peer_settings import DestinationSettings
from workers.settings import Settings
from workers.state.schema import Job, Result, ResultObject
from workers.state.store import get_content
from workers.usecases.analyse import analyse_next
from workers.usecases.assemble import assemble_due, queue_due
from workers.usecases.notice import give_notice_due

RULES = load_rules(None)
LATER_S = 100_000.0
WORDS = {
    "A": ("Alder^Alice", "A-700123", "19410203", "ACC-A-41", "Ahorn^Ada"),
    "B": ("Birch^Boris", "B-700456", "19520304", "ACC-B-52", "Buche^Bea"),
    "C": ("Cedar^Clara", "C-700789", "19630405", "ACC-C-63", "Linde^Leo"),
    "D": ("Dogwood^Dirk", "D-700987", "19740506", "ACC-D-74", "Dorn^Dora"),
}
KEYWORDS = (
    "PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
CASE = "KGH-0001"


@dataclass(frozen=True)
class Emitted:
    """What was made of a patient's study, and what names the patient."""

    patient: str
    identifiers: frozenset[str]
    files: dict[str, bytes]


def dressed(phantom: list[Dataset], patient: str) -> list[Dataset]:
    """The same pixels as another patient's CT."""
    datasets = copy.deepcopy(phantom)
    for ds in datasets:
        for keyword, value in zip(KEYWORDS, WORDS[patient], strict=True):
            setattr(ds, keyword, value)
        ds.StudyID = f"STUDY-{patient}-77"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(ds, keyword, derive_uid("apart", patient, keyword))
        ds.SOPInstanceUID = derive_uid("apart", patient, str(ds.SOPInstanceUID))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        if patient == "D":
            ds.SliceThickness = "9.0"
    return datasets


def identifiers_of(datasets: list[Dataset]) -> frozenset[str]:
    """Names, numbers, dates and UIDs that belong to one patient."""
    found: set[str] = set()
    for ds in datasets:
        found |= {str(ds[keyword].value) for keyword in (*KEYWORDS, "StudyID")}
        found |= set(str(ds.PatientName).split("^"))
        for element in ds:
            if element.VR == "UI" and element.keyword.endswith("InstanceUID"):
                values = element.value if isinstance(element.value, MultiValue) else [element.value]
                found |= {str(value) for value in values}
        found.add(str(ds.FrameOfReferenceUID))
    return frozenset(found)


def analysed(app: Application, datasets: list[Dataset], folder: Path) -> dict[str, bytes]:
    """Everything that one study's job left, by kind."""
    receive(app, folder, *datasets)
    later = app.now() + LATER_S
    assemble_due(app, RULES, now=later)
    queue_due(app, now=later + LATER_S)
    give_notice_due(app, RULES, now=later + LATER_S)
    job_id = analyse_next(app)
    with app.database.read() as session:
        job = session.get_one(Job, job_id)
        result = session.get(Result, job_id)
        assert result is not None, job.reason
        rows = session.scalars(select(ResultObject).where(ResultObject.job_id == job_id)).all()
        files = {row.sop_uid: get_content(app.store, row.path, row.sha256) for row in rows}
        files["findings.json"] = get_content(
            app.store, result.findings_path, result.findings_sha256
        )
        if result.features_path is not None and result.features_sha256 is not None:
            files["features.npz"] = get_content(
                app.store, result.features_path, result.features_sha256
            )
    return files


def take_into_bank(bank: BankFolder, files: dict[str, bytes], folder: Path) -> None:
    """The first nodule becomes a case, by two people."""
    folder.mkdir()
    for name in ("findings.json", "features.npz"):
        (folder / name).write_bytes(files[name])
    found = read_nodule(folder / "findings.json", 1, folder / "features.npz")
    add_candidate(bank, found, by="Dr. One", told=Told(rating=5))
    promote(bank, CASE, by="Dr. Two", grader=None, really=True)


@pytest.fixture(scope="module")
def emitted(
    small_phantom: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Emitted]]:
    folder = tmp_path_factory.mktemp("apart")
    bank = BankFolder(folder / "bank")
    begin(bank, find_shipped_bank(Settings()).path, prefix="KGH", by="Ada Admin")
    settings = Settings(
        data_dir=folder / "data",
        disk_reserve_bytes=0,
        bank_dir=bank.path,
        destinations=(DestinationSettings(name="main", ae_title="M", host="127.0.0.1", port=1),),
    )
    app = migrated_application(settings)
    phantom = [dcmread(path) for path in sorted(small_phantom.glob("*.dcm"))]
    made = {}
    for patient in ("C", "A", "B", "D"):
        datasets = dressed(phantom, patient)
        files = analysed(app, datasets, folder / patient)
        made[patient] = Emitted(patient, identifiers_of(datasets), files)
        if patient == "C":
            take_into_bank(bank, files, folder / "case")
    yield made
    app.database.close()


def found_in(data: bytes, identifiers: frozenset[str]) -> list[str]:
    """Identifiers that stand in some bytes, in whatever case."""
    folded = data.lower()
    return sorted(text for text in identifiers if text.lower().encode() in folded)


def test_nothing_of_a_patient_names_another_one(emitted: dict[str, Emitted]) -> None:
    leaks = {
        (mine.patient, name, other.patient): found
        for mine in emitted.values()
        for other in emitted.values()
        if other.patient != mine.patient
        for name, data in mine.files.items()
        if (found := found_in(data, other.identifiers - mine.identifiers))
    }

    assert leaks == {}


def test_the_search_finds_whom_the_objects_do_name(emitted: dict[str, Emitted]) -> None:
    for mine in emitted.values():
        objects = [data for data in mine.files.values() if data[128:132] == b"DICM"]

        assert objects
        for data in objects:
            assert set(WORDS[mine.patient][:4]) <= set(found_in(data, mine.identifiers))


def test_the_case_of_another_patient_explains_by_its_anonymous_name(
    emitted: dict[str, Emitted],
) -> None:
    for patient in ("A", "B"):
        files = emitted[patient].files
        nodules = json.loads(files["findings.json"])["nodules"]
        reports = [
            ds
            for data in files.values()
            if data[128:132] == b"DICM"
            and (ds := dcmread(io.BytesIO(data), stop_before_pixels=True)).Modality == "SR"
        ]

        named = {case["case_id"] for nodule in nodules for case in nodule["similar_cases"]}
        assert CASE in named
        assert len(reports) == 1
        assert CASE in reports[0].to_json()


def test_a_planted_leak_is_seen(emitted: dict[str, Emitted]) -> None:
    sr = next(data for data in emitted["A"].files.values() if data[128:132] == b"DICM")
    other = emitted["C"].identifiers

    assert found_in(sr + b"cedar^clara", other) == ["Cedar", "Cedar^Clara", "Clara"]
