"""Candidates: nodules of analysed studies that may become typical cases, one JSON file each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.errors import BankRefused
from inference.grading.bank import CaseRecord
from inference.grading.table import ModalityTable
from workers.bank.answers import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A candidate that nobody wants any more."""

    by: str
    at: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A nodule with its features, on its way to the bank.

    Attributes
    ----------
    case_id : str
        The site's prefix and a running number; the case keeps it in the bank.
    patient, origin : str
        Digests of whose nodule it is, and of which.
    features : mapping of modality to mapping of column to value
        `None` is unknown.
    about : mapping
        For people: type and size of the nodule, level by the model when it was added.
    added_by, added_at : str
    note : str
    answer : Answer, optional
    withdrawn : Withdrawal, optional
    """

    case_id: str
    patient: str
    origin: str
    features: Mapping[str, Mapping[str, float | None]]
    about: Mapping[str, Any]
    added_by: str
    added_at: str
    note: str
    answer: Answer | None = None
    withdrawn: Withdrawal | None = None

    def record(self, prefix: str) -> CaseRecord:
        """As a case of the bank.

        Raises
        ------
        ValueError
            If it has no answer.
        """
        if self.answer is None:
            raise ValueError(f"candidate {self.case_id} has no answer")
        rests_on = {"rating": "a reader's rating", "stable-2-years": "2 years without growth"}
        how = rests_on.get(self.answer.basis, self.answer.basis)
        return CaseRecord(
            case_id=self.case_id,
            patient=f"{prefix}-{self.patient}",
            rating=self.answer.rating,
            evidence=self.answer.evidence,
            source=f"site {prefix}: {how}",
        )


def to_bytes(candidate: Candidate) -> bytes:
    """As the file holds it."""
    return json.dumps(asdict(candidate), indent=1, ensure_ascii=False).encode() + b"\n"


def read_candidate(path: Path) -> Candidate:
    """Read a candidate.

    Raises
    ------
    BankRefused
        If the file is damaged.
    """
    try:
        values = json.loads(path.read_bytes())
        answer, withdrawn = values.pop("answer"), values.pop("withdrawn")
        return Candidate(
            **values,
            answer=None if answer is None else Answer(**answer),
            withdrawn=None if withdrawn is None else Withdrawal(**withdrawn),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BankRefused(str(path), f"cannot be read: {error}") from error


def read_candidates(folder: Path) -> tuple[Candidate, ...]:
    """All candidates, also those that are cases now, by their number."""
    found = [read_candidate(path) for path in folder.glob("*.json")]
    return tuple(sorted(found, key=lambda one: case_number(one.case_id)))


def case_number(case_id: str) -> int:
    """The running number of a site's own case."""
    return int(case_id.rpartition("-")[2])


def to_features(row: ModalityTable) -> dict[str, dict[str, float | None]]:
    """The features of a table's only row."""
    return row.values_of(0)


def to_table(
    candidates: Sequence[Candidate], names: Mapping[str, tuple[str, ...]]
) -> ModalityTable:
    """Candidates as rows with a bank's columns.

    Raises
    ------
    BankRefused
        If a candidate has other columns.
    """
    for one in candidates:
        check_columns(
            one.case_id, {name: tuple(columns) for name, columns in one.features.items()}, names
        )
    features = {
        name: np.array(
            [
                [
                    np.nan if (value := one.features.get(name, {}).get(column)) is None else value
                    for column in columns
                ]
                for one in candidates
            ],
            dtype=np.float32,
        ).reshape(len(candidates), len(columns))
        for name, columns in names.items()
    }
    return ModalityTable(
        features=features,
        names=dict(names),
        patients=np.array([one.patient for one in candidates], dtype=np.str_),
        nodules=np.array([one.case_id for one in candidates], dtype=np.str_),
        rating=np.array(
            [np.nan if one.answer is None else one.answer.rating for one in candidates],
            dtype=np.float64,
        ),
    )


def check_columns(
    where: str, found: Mapping[str, tuple[str, ...]], wanted: Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse features that a bank has no columns for; a modality may be absent.

    Raises
    ------
    BankRefused
        Naming the modality.
    """
    for name, columns in found.items():
        if name not in wanted:
            raise BankRefused(where, f"has modality {name}, which the site's bank has not")
        if tuple(columns) != tuple(wanted[name]):
            raise BankRefused(
                where, f"has other columns of {name} than the site's bank: another version made it"
            )
