from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.errors import BankRefused
from tests.unit.workers.bank.cases import PATIENT, SERIES, STUDY, tracking_uid, write_study
from workers.bank.admit import add_candidate, record_answer
from workers.bank.answers import Told
from workers.bank.candidates import Candidate
from workers.bank.changes import promote, remove, roll_back
from workers.bank.current import open_bank
from workers.bank.folder import BankFolder
from workers.bank.listing import list_candidates
from workers.bank.nodule import read_nodule
from workers.errors import BankChangeRefused, BankInUse

Add = Callable[..., Candidate]


class Killed(BaseException):
    """Ends everything at once, as SIGKILL would; nothing catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Die just before the rename of that number."""
    real = os.replace
    left = [step]

    def replace(*paths: Any, **options: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        real(*paths, **options)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_promotion_that_is_killed_leaves_the_old_version(
    folder: BankFolder, add: Add, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Renames of a promotion: the bank made aside, the version, the pointer."""
    add()
    first = folder.need_current()
    before = first.path.read_bytes()
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)

    assert folder.need_current() == first
    assert first.path.read_bytes() == before

    (folder.path / ".new-left").mkdir()  # what a process that is killed cannot take away
    promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)
    whats = [event.what for event in folder.events()]

    assert len(open_bank(folder.need_current())) == 25
    assert whats.count("interrupted") == (1 if step == 3 else 0)
    assert set(folder.versions()) == {1, folder.need_current().number}
    assert not list(folder.path.rglob(".*"))


def test_a_candidate_that_is_killed_in_the_making_is_no_candidate(
    folder: BankFolder, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at(patch, 2)  # the first is that of the study's features
        with pytest.raises(Killed):
            add()

    assert list_candidates(folder) == ()
    assert add().case_id == "KGH-0001"
    assert [event.what for event in folder.events()] == ["init", "add", "interrupted", "add"]


def test_a_line_of_history_that_was_cut_off_is_dropped(folder: BankFolder, add: Add) -> None:
    with folder.history_path.open("ab") as file:
        file.write(b'{"previous": "')
    add()

    assert [event.what for event in folder.events()] == ["init", "add"]


def test_an_edited_history_is_noticed(folder: BankFolder, add: Add) -> None:
    add()
    text = folder.history_path.read_text()
    folder.history_path.write_text(text.replace("Ada Admin", "Eve Admin"))

    with pytest.raises(BankRefused, match=r"history\.jsonl was edited: line 2"):
        folder.events()


def test_two_writers_do_not_meet(folder: BankFolder, add: Add) -> None:
    add()
    with folder.held(), pytest.raises(BankInUse, match="is being changed by another command"):
        promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)
    promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)

    assert folder.need_current().number == 2


def test_damaged_files_are_refused_with_their_names(folder: BankFolder, add: Add) -> None:
    added = add()
    version = folder.need_current().path
    whole = version.read_bytes()
    version.write_bytes(whole[:-1] + b"?")
    with pytest.raises(BankRefused, match=version.name):
        promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)
    version.write_bytes(whole)
    candidate = folder.candidates_dir / f"{added.case_id}.json"
    whole = candidate.read_bytes()
    candidate.write_bytes(whole[:40])
    with pytest.raises(BankRefused, match=r"KGH-0001\.json"):
        list_candidates(folder)
    with pytest.raises(BankRefused, match=r"KGH-0001\.json is not what the history says"):
        promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)
    candidate.write_bytes(whole)
    (folder.path / "current").write_text("versions/0001\n")
    with pytest.raises(BankRefused, match="current is damaged"):
        folder.need_current()


def test_without_its_salt_a_bank_takes_no_candidate(folder: BankFolder, add: Add) -> None:
    (folder.path / "salt").unlink()

    with pytest.raises(BankRefused, match="salt is missing"):
        add()


def test_nothing_in_the_folder_tells_who_the_patient_is(
    folder: BankFolder, add: Add, tmp_path: Path
) -> None:
    add(told=None)
    record_answer(folder, "KGH-0001", Told(rating=4), by="Dr. One", why="seen twice")
    promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)
    remove(folder, "KGH-0001", by="Dr. Two", why="to try")
    roll_back(folder, by="Ada Admin", why="to try")
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    told = [PATIENT, "Muster", "Erika", STUDY, SERIES, tracking_uid(1), str(tmp_path)]

    assert len(files) >= 8
    for path in files:
        for text in told:
            assert text.encode() not in path.read_bytes(), path
            assert text not in str(path.relative_to(folder.path))
    assert (folder.path / "salt").stat().st_mode & 0o777 == 0o600


def test_two_nodules_of_a_patient_have_one_digest_and_other_sites_another(
    folder: BankFolder, add: Add
) -> None:
    first, second = add(nodule=1), add(nodule=2)
    other = add(nodule=1, study="1.2.3.4", patient="Someone^Else", seed=9)

    assert first.patient == second.patient != other.patient
    assert first.origin != second.origin
    (folder.path / "salt").write_bytes(b"another site's secret")
    assert add(nodule=1, study="1.2.3.5").patient != first.patient


@pytest.mark.parametrize(
    "note", ["Muster^Erika", "muster^erika again", f"study {STUDY}", "no. 12345678", "Doe^Jane"]
)
def test_texts_that_name_the_patient_are_refused(
    folder: BankFolder, tmp_path: Path, note: str
) -> None:
    found = read_nodule(*_first(write_study(tmp_path / "study")))

    with pytest.raises(BankChangeRefused, match="may tell who the patient is"):
        add_candidate(folder, found, by="Dr. One", note=note)
    with pytest.raises(BankChangeRefused, match="--by"):
        add_candidate(folder, found, by=note)
    assert [event.what for event in folder.events()] == ["init"]


def test_the_pointer_is_what_sha256sum_checks(folder: BankFolder) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "current"],
        cwd=folder.path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def _first(study: tuple[Path, Path]) -> tuple[Path, int, Path]:
    findings, features = study
    return findings, 1, features
