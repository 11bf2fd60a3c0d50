"""The typical-case bank: nodules with known answers that new nodules are compared with.

A bank is one safetensors file: no code in it, and its checksum is its identity. Cases carry
where they come from and what their answer rests on; nothing in a bank names a patient.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from inference.errors import BankRefused
from inference.grading.table import LEVELS, ModalityTable, to_grades

Evidence = Literal["reader-rated", "confirmed"]
"""Readers' opinion; or histology, or at least two years without growth."""
FORMAT, FACTS = "pulmonode-bank-1", "bank"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRecord:
    """What is known of one case beside its features.

    Attributes
    ----------
    case_id : str
        Anonymous, unique in the bank.
    patient : str
        Anonymous; equal for nodules of the same person.
    rating : float
        1 to 5; for confirmed cases 1 is benign and 5 malignant.
    evidence : str
    source : str
        Collection or site, and how the answer was got.
    """

    case_id: str
    patient: str
    rating: float
    evidence: Evidence
    source: str

    @property
    def level(self) -> str:
        """By `GRADE_LIMITS`."""
        return LEVELS[int(to_grades(np.array([self.rating]))[0])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Cases and their features, in the same order.

    Attributes
    ----------
    version : str
    records : tuple of CaseRecord
    table : ModalityTable
        Patients, nodules and ratings are those of the records.
    encoder : str
        sha256 of the encoder that described them: another one's columns have the same names and
        another meaning. Empty is unknown, of tables that no encoder made.
    """

    version: str
    records: tuple[CaseRecord, ...]
    table: ModalityTable
    encoder: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises
        ------
        BankRefused
            Two cases of one name, or another number of rows than of records.
        """
        counts = Counter(record.case_id for record in self.records)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise BankRefused(self.version, f"holds case {twice[0]} twice")
        if len(self.records) != len(self.table):
            raise BankRefused(
                self.version, f"has {len(self.records)} records for {len(self.table)} rows"
            )

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.records)

    def with_cases(self, records: Sequence[CaseRecord], table: ModalityTable, version: str) -> Bank:
        """A new bank with more cases; this one stays as it is.

        Raises
        ------
        BankRefused
            If a case is there already, or the columns are others.
        """
        if dict(table.names) != {name: self.table.names[name] for name in table.modalities}:
            raise BankRefused(self.version, "the new cases have other columns than the bank")
        features = {}
        for name, values in self.table.features.items():
            absent = np.full((len(table), values.shape[1]), np.nan, dtype=np.float32)
            features[name] = np.concatenate([values, table.features.get(name, absent)])
        everyone = (*self.records, *records)
        return Bank(
            version=version,
            records=everyone,
            table=_table(features, self.table.names, everyone),
            encoder=self.encoder,
        )

    def without_cases(self, case_ids: Sequence[str], version: str) -> Bank:
        """A new bank with fewer cases.

        Raises
        ------
        BankRefused
            If one of them is not there, or none would be left.
        """
        known = [record.case_id for record in self.records]
        for case_id in case_ids:
            if case_id not in known:
                raise BankRefused(self.version, f"has no case {case_id}")
        kept = np.array([name not in set(case_ids) for name in known])
        if not kept.any():
            raise BankRefused(self.version, "would be empty: a grader needs typical cases")
        records = tuple(record for record, keep in zip(self.records, kept, strict=True) if keep)
        return replace(self, version=version, records=records, table=self.table.rows(kept))


def make_bank(
    version: str, records: Sequence[CaseRecord], table: ModalityTable, *, encoder: str = ""
) -> Bank:
    """A bank of rows; patients, nodules and ratings are taken from the records."""
    return Bank(
        version=version,
        records=tuple(records),
        table=_table(dict(table.features), table.names, tuple(records)),
        encoder=encoder,
    )


def _table(
    features: dict[str, np.ndarray], names: object, records: tuple[CaseRecord, ...]
) -> ModalityTable:
    return ModalityTable(
        features=features,
        names=dict(names),  # type: ignore[call-overload]
        patients=np.array([record.patient for record in records], dtype=np.str_),
        nodules=np.array([record.case_id for record in records], dtype=np.str_),
        rating=np.array([record.rating for record in records], dtype=np.float64),
    )


def save_bank(bank: Bank, path: Path) -> str:
    """Write a bank whole or not at all; returns its sha256."""
    tensors = {
        f"features.{name}": torch.from_numpy(np.ascontiguousarray(values))
        for name, values in bank.table.features.items()
    }
    facts = {
        "format": FORMAT,
        "version": bank.version,
        "encoder": bank.encoder,
        "names": {name: list(columns) for name, columns in bank.table.names.items()},
        "records": [asdict(record) for record in bank.records],
    }
    # One entry: safetensors writes several in any order, and equal banks must be equal files.
    data = save(tensors, metadata={FACTS: json.dumps(facts)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)
    return hashlib.sha256(data).hexdigest()


def load_bank(path: Path, *, sha256: str | None = None) -> Bank:
    """Read a bank.

    Parameters
    ----------
    sha256 : str, optional
        What the file must have.

    Raises
    ------
    BankRefused
        If it is missing, damaged, of another format, or not the one wanted.
    """
    if not path.is_file():
        raise BankRefused(str(path), "is missing")
    if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise BankRefused(str(path), f"has not the sha256 {sha256} that was recorded for it")
    try:
        with safe_open(str(path), framework="pt") as held:
            facts = json.loads((held.metadata() or {}).get(FACTS, "{}"))
            if facts.get("format") != FORMAT:
                raise BankRefused(str(path), f"is no bank of format {FORMAT}")
            names = {name: tuple(columns) for name, columns in facts["names"].items()}
            features = {name: held.get_tensor(f"features.{name}").numpy() for name in names}
            records = tuple(CaseRecord(**one) for one in facts["records"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise BankRefused(str(path), f"cannot be read: {error}") from error
    return Bank(
        version=facts["version"],
        records=records,
        table=_table(features, names, records),
        encoder=facts.get("encoder", ""),
    )
