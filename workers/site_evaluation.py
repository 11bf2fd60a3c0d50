"""`pulmonode evaluate site`: the grader that is in use, tested on a site's own nodules.

Nothing of what is read or written changes a grade. What is told holds counts and figures, no
identifier of a patient or nodule.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.site import (
    ROUNDS,
    Limits,
    SiteAnswers,
    decide,
    measure,
    subgroups,
)
from inference.grade_values import NoduleGrade
from inference.grading.bank import Bank
from inference.grading.judge import Judge
from inference.grading.table import LEVELS, ModalityTable
from inference.grading.table_file import digest_table, load_table
from workers.bank.anonymous import make_digest
from workers.bank.answers import RATING_OF, RATINGS
from workers.bank.candidates import read_candidates
from workers.bank.folder import BankFolder
from workers.detector_choice import judge_of
from workers.errors import DatasetRefused
from workers.settings import Settings

SIZE_COLUMN, TEXTURE_COLUMN = "log_mean_diameter_mm", "predicted_texture"
WRITTEN_BY = "give features.npz as 'pulmonode analyse --out' writes it"
COLUMNS = "wanted are columns nodule (tracking UID) and rating (1 to 5) or outcome"
OUTSIDE = " is outside what the model was trained on"


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    """What to test, and what it must reach.

    Attributes
    ----------
    tables : tuple of Path
        Features, as `inference.grading.table_file` writes them.
    outcomes : Path, optional
        CSV; its answers go before ratings that a table holds.
    allow_bank_patients : bool
        Also rows of patients who are in the bank: their own answer helps to grade them.
    seed, rounds : int
        Of the bootstrap.
    """

    tables: tuple[Path, ...]
    outcomes: Path | None = None
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    allow_bank_patients: bool = False
    seed: int = 0
    rounds: int = ROUNDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a nodule; NaN is unknown."""

    rating: float = np.nan
    malignant: float = np.nan


def evaluate_site(plan: SitePlan, settings: Settings) -> dict[str, Any]:
    """Test the grader; the dictionary is what ``--json`` writes.

    Raises
    ------
    DatasetRefused
        If a file cannot be used, no nodule has an answer, or patients are in the bank.
    inference.errors.WeightsRefused, inference.errors.BankRefused
        If there is no grader, or its bank cannot be used.
    """
    tables = [read_features(path) for path in plan.tables]
    table = join_tables(tables, plan.tables)
    answers = read_outcomes(plan.outcomes) if plan.outcomes is not None else {}
    if answers and not set(answers) & set(table.nodules.tolist()):
        raise DatasetRefused(
            str(plan.outcomes), "names no nodule of the tables", "compare the tracking UIDs"
        )
    rating, malignant = _answers_of(table, answers)
    answered = np.isfinite(rating) | np.isfinite(malignant)
    if not answered.any():
        raise DatasetRefused(
            str(plan.tables[0]), "no nodule has a rating or an outcome", "give --outcomes"
        )
    loaded = judge_of(settings)
    table, rating, malignant = table.rows(answered), rating[answered], malignant[answered]
    leaked = rows_in_bank(table, loaded.judge.bank, settings)
    if leaked.any() and not plan.allow_bank_patients:
        raise DatasetRefused(
            str(plan.tables[0]),
            f"{int(leaked.sum())} rows are of {len(np.unique(table.patients[leaked]))} patients "
            "who are in the bank: they would be graded beside their own answer",
            "leave them out, or say --allow-bank-patients",
        )
    grades = _judge(loaded.judge, table, plan.tables)
    graded = np.array([grade.withheld is None for grade in grades])
    all_rows = _to_site_answers(table, grades, rating, malignant)
    figures = measure(all_rows.rows(graded), seed=plan.seed, rounds=plan.rounds)
    return {
        "grader_sha256": loaded.sha256,
        "bank_version": loaded.judge.bank.version,
        "bank_cases": len(loaded.judge.bank),
        "tables_sha256": [digest_table(one) for one in tables],
        "outcomes_sha256": None if plan.outcomes is None else _digest_file(plan.outcomes),
        "rows": len(answered),
        "without_answer": int((~answered).sum()),
        "answers_without_row": len(set(answers) - set(_all_nodules(tables))),
        "in_bank": int(leaked.sum()),
        "patients": len(np.unique(table.patients)),
        "graded": int(graded.sum()),
        "withheld": _withheld(all_rows, grades, ~graded),
        "truth": dict(figures),
        "limits": asdict(plan.limits),
        "verdict": decide(figures, plan.limits),
        "bootstrap": {"seed": plan.seed, "rounds": plan.rounds, "by": "patient"},
    }


def read_features(path: Path) -> ModalityTable:
    """Read a table of features.

    Raises
    ------
    DatasetRefused
        If it is something else, or has not what the shipped grader is given.
    """
    try:
        table = load_table(path)
    except (OSError, KeyError, ValueError, BadZipFile, AttributeError, EOFError) as error:
        raise DatasetRefused(str(path), f"cannot be read: {error}", WRITTEN_BY) from error
    for name in (SIZE_COLUMN, TEXTURE_COLUMN):
        if all(name not in columns for columns in table.names.values()):
            raise DatasetRefused(str(path), f"has no column {name}", WRITTEN_BY)
    if any(np.isinf(values).any() for values in table.features.values()):
        raise DatasetRefused(str(path), "has an infinite value", "analyse the studies again")
    low, high = RATINGS
    told = table.rating[np.isfinite(table.rating)]
    if ((told < low) | (told > high)).any():
        raise DatasetRefused(
            str(path), f"has a rating that is not in {low:g} to {high:g}", "correct it"
        )
    return table


def join_tables(tables: Sequence[ModalityTable], paths: Sequence[Path]) -> ModalityTable:
    """All rows as one table.

    Raises
    ------
    DatasetRefused
        If the columns differ, or a nodule has two rows.
    """
    first = tables[0]
    for table, path in zip(tables, paths, strict=True):
        if dict(table.names) != dict(first.names):
            raise DatasetRefused(
                str(path),
                f"has other columns than {paths[0]}",
                "analyse both with the same version and weights",
            )
    joined = ModalityTable(
        features={
            name: np.concatenate([table.features[name] for table in tables])
            for name in first.modalities
        },
        names=first.names,
        patients=np.concatenate([table.patients for table in tables]),
        nodules=np.concatenate([table.nodules for table in tables]),
        rating=np.concatenate([table.rating for table in tables]),
    )
    twice = len(joined) - len(np.unique(joined.nodules))
    if twice:
        raise DatasetRefused(
            ", ".join(str(path) for path in paths),
            f"{twice} rows are of nodules that have a row already",
            "give each analysis once",
        )
    return joined


def read_outcomes(path: Path) -> dict[str, Known]:
    """What is known of nodules, by tracking UID.

    Commas or semicolons between, names of columns in the first line: ``nodule`` and ``rating``
    (1 to 5), ``outcome`` (benign, malignant) or both; other columns are passed over.

    Raises
    ------
    DatasetRefused
        Naming the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetRefused(str(path), f"cannot be read: {error}", COLUMNS) from error
    head = text.partition("\n")[0]
    lines = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head else ",")
    names = {name.strip().casefold(): name for name in lines.fieldnames or () if name}
    if "nodule" not in names or not {"rating", "outcome"} & set(names):
        raise DatasetRefused(str(path), "has not these columns", COLUMNS)
    found: dict[str, Known] = {}
    for number, line in enumerate(lines, start=2):
        cells = {key: (line.get(name) or "").strip() for key, name in names.items()}
        nodule = cells["nodule"]
        if not nodule and not any(cells.values()):
            continue
        where = f"{path}, line {number}"
        if not nodule or nodule in found:
            why = "names a nodule again" if nodule else "names no nodule"
            raise DatasetRefused(where, why, "one line for each")
        found[nodule] = Known(
            rating=_rating(cells.get("rating", ""), where),
            malignant=_malignant(cells.get("outcome", ""), where),
        )
    return found


def rows_in_bank(table: ModalityTable, bank: Bank, settings: Settings) -> NDArray[np.bool_]:
    """Which rows are of patients, or are nodules, that the bank holds.

    Found are equal texts, digests under the salt of the site's folder, and equal features. A
    bank that came from elsewhere keeps digests under another salt: there only the features tell.

    Raises
    ------
    BankRefused
        If the site's salt is gone.
    """
    patients = set(bank.table.patients.tolist())
    found = np.isin(table.patients, list(patients))
    if settings.bank_dir is not None:
        folder = BankFolder(settings.bank_dir)
        salt, prefix = folder.salt(), folder.prefix()
        cases = {record.case_id for record in bank.records}
        origins = {
            one.origin for one in read_candidates(folder.candidates_dir) if one.case_id in cases
        }
        found |= np.array(
            [
                f"{prefix}-{make_digest(salt, 'patient', patient.strip())}" in patients
                or make_digest(salt, "nodule", nodule) in origins
                for patient, nodule in zip(
                    table.patients.tolist(), table.nodules.tolist(), strict=True
                )
            ]
        )
    shared = [name for name in table.names if bank.table.names.get(name) == table.names[name]]
    if shared:
        there = set(_values(bank.table.only(shared)))
        found |= np.array(
            [values is not None and values in there for values in _values(table.only(shared))]
        )
    # One nodule in the bank is enough for all of its patient.
    return np.isin(table.patients, table.patients[found])


def _values(table: ModalityTable) -> list[bytes | None]:
    """What is known of each row, to be compared; `None` for nothing."""
    names = sorted(table.names)
    rows = np.concatenate([table.features[name] for name in names], axis=1)
    known = np.isfinite(rows).any(axis=1)
    filled = np.nan_to_num(rows, nan=np.inf).astype(np.float32)
    return [row.tobytes() if some else None for row, some in zip(filled, known, strict=True)]


def _column(table: ModalityTable, column: str) -> NDArray[np.float64]:
    """A column of whichever modality has it."""
    name = next(name for name, columns in table.names.items() if column in columns)
    return table.features[name][:, table.names[name].index(column)].astype(np.float64)


def _rating(text: str, where: str) -> float:
    if not text:
        return float("nan")
    low, high = RATINGS
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise DatasetRefused(where, f"rating {text} is not {low:g} to {high:g}", "correct it")
    return value


def _malignant(text: str, where: str) -> float:
    if not text:
        return float("nan")
    if text.casefold() not in RATING_OF:
        raise DatasetRefused(where, f"outcome {text} is neither", "say benign or malignant")
    return float(text.casefold() == "malignant")


def _answers_of(
    table: ModalityTable, answers: Mapping[str, Known]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ratings and outcomes of the rows; the CSV goes before what a table holds."""
    rating, malignant = table.rating.copy(), np.full(len(table), np.nan)
    for row, nodule in enumerate(table.nodules.tolist()):
        known = answers.get(nodule)
        if known is not None:
            malignant[row] = known.malignant
            rating[row] = known.rating if np.isfinite(known.rating) else rating[row]
    return rating, malignant


def _judge(judge: Judge, table: ModalityTable, paths: Sequence[Path]) -> tuple[NoduleGrade, ...]:
    try:
        return judge.judge(table)
    except ValueError as error:
        raise DatasetRefused(
            str(paths[0]), "has other columns than the grader was trained on", WRITTEN_BY
        ) from error


def _to_site_answers(
    table: ModalityTable,
    grades: Sequence[NoduleGrade],
    rating: NDArray[np.float64],
    malignant: NDArray[np.float64],
) -> SiteAnswers:
    """All rows; withheld ones have NaN for probabilities and -1 for the level."""
    return SiteAnswers(
        probabilities=np.array([grade.probabilities or (np.nan,) * 4 for grade in grades]),
        level=np.array([-1 if one.level is None else LEVELS.index(one.level) for one in grades]),
        patients=table.patients,
        rating=rating,
        malignant=malignant,
        diameter_mm=np.exp(_column(table, SIZE_COLUMN)),
        texture=_column(table, TEXTURE_COLUMN),
    )


def _withheld(
    rows: SiteAnswers, grades: Sequence[NoduleGrade], kept: NDArray[np.bool_]
) -> dict[str, Any]:
    """How many have no grade, why, and what they are: no figure may hide them."""
    reasons = Counter(_kind(grade.withheld) for grade in grades if grade.withheld is not None)
    lost = rows.rows(kept)
    return {
        "rows": len(lost),
        "reasons": dict(reasons.most_common()),
        "malignant": int((lost.malignant == 1).sum()),
        "rated_above_3": int((lost.rating > 3).sum()),
        "subgroups": {name: int(one.sum()) for name, one in subgroups(lost).items()},
    }


def _kind(reason: str) -> str:
    """A reason without the nodule's own number, so that equal ones are counted together."""
    if OUTSIDE not in reason:
        return reason
    column, trained = reason.split(" ")[0], reason.partition(OUTSIDE)[2]
    return f"{column}{OUTSIDE}{trained}"


def _all_nodules(tables: Sequence[ModalityTable]) -> list[str]:
    return [nodule for table in tables for nodule in table.nodules.tolist()]


def _digest_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
