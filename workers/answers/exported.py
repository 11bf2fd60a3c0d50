"""Answers as a table without anything that tells who a patient is, for training and testing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

import numpy as np

from inference.grading.table import ModalityTable
from workers.bank.anonymous import make_digest
from workers.state.answer_tables import Verdict

RATING_OF_LEVEL = {"I": 1.5, "II": 3.0, "III": 4.0, "IV": 5.0}
"""The reader's rating, 1 to 5, that has this level; of level I, the middle of 1 and 2."""
OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Names under a site's salt, as its bank makes them; `prefix` is the site's, or empty."""

    salt: bytes
    prefix: str = ""

    def patient(self, text: str) -> str:
        """Whose; equal to what the site's bank calls this patient."""
        made = make_digest(self.salt, "patient", text)
        return f"{self.prefix}-{made}" if self.prefix else made

    def name(self, kind: str, text: str) -> str:
        """Which."""
        return make_digest(self.salt, kind, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedAnswer:
    """The last clear answer to one nodule.

    Attributes
    ----------
    patient, study, nodule, reader : str
        Digests; `reader` is empty when nobody was named.
    rating_from : str
        ``rating``, ``level`` or ``same level``.
    year : int
        In which it was said.
    earlier : int
        How many answers to this nodule it came after.
    """

    patient: str
    study: str
    nodule: str
    reader: str
    year: int
    verdict: str
    verified: bool
    model_level: str | None
    level: str | None
    rating: float | None
    rating_from: str
    outcome: str | None
    evidence: str | None
    lung_rads: str | None
    type: str | None
    long_axis_mm: float | None
    mean_diameter_mm: float | None
    volume_mm3: float | None
    earlier: int


def to_exported(
    answer: Mapping[str, Any],
    nodule: Mapping[str, Any] | None,
    *,
    digests: Digests,
    patient: str,
    study: str,
    earlier: int,
    accepted_levels: bool,
) -> ExportedAnswer:
    """One answer without what tells who it is about.

    Parameters
    ----------
    answer : mapping
        As `workers.usecases.describe_answers` gives it.
    nodule : mapping or None
        Of ``findings.json``; `None` for one that was added.
    patient, study : str
        What the digests are made of.
    accepted_levels : bool
        A level that was left as it was counts as the reader's, where a person verified the
        report or answered at the command line.
    """
    said, found = answer["said"], nodule or {}
    measures = {**found, **said.get("measures", {})}
    rating, rating_from = rating_of(answer, accepted_levels=accepted_levels)
    author = answer["author_id"] or answer["author"]
    return ExportedAnswer(
        patient=digests.patient(patient),
        study=digests.name("study", study),
        nodule=digests.name("nodule", answer["tracking_uid"]),
        reader=digests.name("reader", author) if author else "",
        year=datetime.fromtimestamp(answer["said_at"]).astimezone().year,
        verdict=answer["verdict"],
        verified=answer["verified"],
        model_level=(found.get("grade") or {}).get("level"),
        level=said.get("level") or said.get("same_level"),
        rating=rating,
        rating_from=rating_from,
        outcome=said.get("outcome"),
        evidence=said.get("evidence"),
        lung_rads=said.get("lung_rads"),
        type=said.get("type") or found.get("type"),
        long_axis_mm=measures.get("long_axis_mm"),
        mean_diameter_mm=measures.get("mean_diameter_mm"),
        volume_mm3=measures.get("volume_mm3"),
        earlier=earlier,
    )


def rating_of(answer: Mapping[str, Any], *, accepted_levels: bool) -> tuple[float | None, str]:
    """The reader's rating, 1 to 5, and what it comes from; none of what is no nodule."""
    said = answer["said"]
    if answer["verdict"] in {Verdict.REJECT, Verdict.UNCLEAR}:
        return None, ""
    if said.get("rating") is not None:
        return float(said["rating"]), "rating"
    if said.get("level") is not None:
        return RATING_OF_LEVEL[said["level"]], "level"
    looked = answer["verified"] or answer["role"] == OPERATOR
    if accepted_levels and looked and said.get("same_level") is not None:
        return RATING_OF_LEVEL[said["same_level"]], "same level"
    return None, ""


def to_csv(rows: Sequence[ExportedAnswer]) -> str:
    """All columns, one line for each."""
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, [item.name for item in fields(ExportedAnswer)], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue()


def to_json(rows: Sequence[ExportedAnswer]) -> str:
    """The same for programs."""
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def to_outcomes(rows: Iterable[ExportedAnswer]) -> str:
    """What ``evaluate site --outcomes`` reads: nodules with a rating or an outcome."""
    lines = ["nodule,rating,outcome"]
    lines += [
        f"{row.nodule},{'' if row.rating is None else f'{row.rating:g}'},{row.outcome or ''}"
        for row in rows
        if is_answered(row)
    ]
    return "\n".join(lines) + "\n"


def is_answered(row: ExportedAnswer) -> bool:
    """Whether it says what a grade can be tested with."""
    return row.rating is not None or row.outcome is not None


def join_features(
    tables: Iterable[ModalityTable], rows: Sequence[ExportedAnswer], digests: Digests
) -> list[ModalityTable]:
    """The features of answered nodules under their digests: one table for each set of columns.

    Parameters
    ----------
    tables : iterable of ModalityTable
        Of single results, the newest last: a nodule's last row counts.
    """
    wanted = {row.nodule for row in rows if is_answered(row)}
    newest: dict[str, ModalityTable] = {}
    for table in tables:
        for at, uid in enumerate(table.nodules.tolist()):
            nodule = digests.name("nodule", uid)
            if nodule in wanted:
                row = table.rows(np.array([at]))
                newest[nodule] = replace(
                    row,
                    nodules=np.array([nodule], dtype=np.str_),
                    patients=np.array([digests.patient(str(row.patients[0]))], dtype=np.str_),
                )
    kinds: dict[str, list[ModalityTable]] = {}
    for row in newest.values():
        kinds.setdefault(json.dumps(dict(row.names), sort_keys=True), []).append(row)
    return [_concatenate(kind) for kind in kinds.values()]


def _concatenate(rows: Sequence[ModalityTable]) -> ModalityTable:
    first = rows[0]
    return ModalityTable(
        features={
            name: np.concatenate([row.features[name] for row in rows]) for name in first.modalities
        },
        names=first.names,
        patients=np.concatenate([row.patients for row in rows]),
        nodules=np.concatenate([row.nodules for row in rows]),
        rating=np.concatenate([row.rating for row in rows]),
    )
