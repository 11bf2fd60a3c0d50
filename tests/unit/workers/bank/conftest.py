from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.workers.bank.cases import write_bank, write_study
from workers.bank.admit import add_candidate
from workers.bank.answers import Told
from workers.bank.candidates import Candidate
from workers.bank.changes import begin
from workers.bank.folder import BankFolder
from workers.bank.nodule import read_nodule

RATED = Told(rating=4)


@pytest.fixture
def folder(tmp_path: Path) -> BankFolder:
    """A site's bank in its first version."""
    made = BankFolder(tmp_path / "bank")
    begin(made, write_bank(tmp_path / "first.safetensors"), prefix="KGH", by="Ada Admin")
    return made


@pytest.fixture
def add(folder: BankFolder, tmp_path: Path) -> Callable[..., Candidate]:
    """Adds a nodule of a study by Dr. One; a rating of 4 unless told otherwise."""

    def add_one(nodule: int = 1, told: Told | None = RATED, **study: object) -> Candidate:
        findings, features = write_study(tmp_path / "study", **study)  # type: ignore[arg-type]
        found = read_nodule(findings, nodule, features)
        return add_candidate(folder, found, by="Dr. One", told=told)

    return add_one
