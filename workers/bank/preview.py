"""What a change of the bank would do to grades, before it is made.

A fixed sample of the bank's cases and all candidates are graded with the bank as it is and as
it would be. Nobody is graded beside a case of the same patient, so that no answer is told.
Probabilities are calibrated as in reports, so that levels are those that reports show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.errors import BankRefused
from inference.grading.bank import Bank
from inference.grading.calibration import Calibrator, read_calibrators
from inference.grading.grader import make_grader
from inference.grading.judge import middle_levels
from inference.grading.network import GraphGrader
from inference.grading.scaling import Scale
from inference.grading.stored import NAME, read_grader
from inference.grading.table import LEVELS, ModalityTable
from inference.image_row import FROM_PIXELS
from inference.weights import MANIFEST, folder_with, load_weights
from workers.settings import Settings

SAMPLE = 200
GROUPS = 5
"""In so many rounds is the sample graded, each without the cases of its own patients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedGrader:
    """What grades beside a bank.

    Attributes
    ----------
    networks : tuple of GraphGrader
    scale : Scale
    softness : float
        Of the soft grades, as in training.
    calibrators : mapping of tuple of str to Calibrator
        By the modalities that are present, as reports use them.
    """

    networks: tuple[GraphGrader, ...]
    scale: Scale
    softness: float
    calibrators: Mapping[tuple[str, ...], Calibrator]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A reference nodule whose level changes."""

    case_id: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What changes.

    Attributes
    ----------
    compared : int
        Reference nodules.
    moves : tuple of Move
    largest_change : float
        Of the suspicion, with its sign.
    largest_case : str or None
        Whose it is; None when nothing was compared.
    """

    compared: int
    moves: tuple[Move, ...]
    largest_change: float
    largest_case: str | None


def load_trained_grader(settings: Settings) -> TrainedGrader | None:
    """The grader that the settings choose, or `None` when none was trained.

    Raises
    ------
    inference.errors.WeightsRefused
        If it is damaged.
    """
    folder = folder_with(NAME, settings.weights_dir)
    manifest = folder / MANIFEST
    if not manifest.exists() or NAME not in json.loads(manifest.read_text()):
        return None
    weights = load_weights(NAME, folder)
    networks, scale, softness = read_grader(weights)
    return TrainedGrader(
        networks=networks,
        scale=scale,
        softness=softness,
        calibrators=read_calibrators(weights.facts),
    )


def preview_change(
    before: Bank, after: Bank, candidates: ModalityTable, grader: TrainedGrader
) -> Preview:
    """Grade the reference nodules with both banks.

    Parameters
    ----------
    candidates : ModalityTable
        Those that are no cases of `before`, with its columns.

    Raises
    ------
    BankRefused
        If a bank does not fit the grader.
    """
    reference = _reference(before.table, candidates)
    groups = _groups(reference.patients)
    levels: list[tuple[str, int, int]] = []
    changes: list[float] = []
    for group in range(GROUPS):
        asked = reference.rows(groups == group)
        grade_before = _make_asker(before, asked.patients, grader)
        grade_after = _make_asker(after, asked.patients, grader)
        if not len(asked) or grade_before is None or grade_after is None:
            continue
        old, new = grade_before(asked), grade_after(asked)
        names = asked.nodules.tolist()
        levels.extend(zip(names, _levels(old), _levels(new), strict=True))
        changes.extend((_suspicion(new) - _suspicion(old)).tolist())
    at = int(np.argmax(np.abs(changes))) if changes else None
    return Preview(
        compared=len(changes),
        moves=tuple(
            Move(case_id=name, before=LEVELS[old], after=LEVELS[new])
            for name, old, new in levels
            if old != new
        ),
        largest_change=0.0 if at is None else changes[at],
        largest_case=None if at is None else levels[at][0],
    )


def _reference(bank: ModalityTable, candidates: ModalityTable) -> ModalityTable:
    """Sample and candidates; the sample stays the same when cases come and go."""
    order = sorted(range(len(bank)), key=lambda row: _shuffled(str(bank.nodules[row])))
    sample = bank.rows(np.array(sorted(order[:SAMPLE]), dtype=np.int64))
    both = ModalityTable(
        features={
            name: np.concatenate([values, candidates.features[name]])
            for name, values in sample.features.items()
        },
        names=sample.names,
        patients=np.concatenate([sample.patients, candidates.patients]),
        nodules=np.concatenate([sample.nodules, candidates.nodules]),
        rating=np.concatenate([sample.rating, candidates.rating]),
    )
    known = np.zeros(len(both), dtype=bool)
    for name in both.modalities:
        known |= both.present(name)
    return both.rows(known)


def _groups(patients: NDArray[np.str_]) -> NDArray[np.int64]:
    """Group of each row; rows of one patient are in one group."""
    everyone = sorted(set(patients.tolist()), key=_shuffled)
    number = {patient: at % GROUPS for at, patient in enumerate(everyone)}
    return np.array([number[patient] for patient in patients.tolist()], dtype=np.int64)


def _make_asker(
    bank: Bank, patients: NDArray[np.str_], grader: TrainedGrader
) -> Callable[[ModalityTable], NDArray[np.float64]] | None:
    """Grades with a bank without these patients; `None` when nobody else is in it."""
    others = bank.table.rows(~np.isin(bank.table.patients, patients))
    if not len(others):
        return None
    try:
        ready = make_grader(grader.networks, grader.scale, others, softness=grader.softness)
    except ValueError as error:
        raise BankRefused(bank.version, f"does not fit the trained grader: {error}") from error
    return lambda asked: _calibrated(ready.grade(asked).probabilities, asked, grader)


def _calibrated(
    probabilities: NDArray[np.float64], asked: ModalityTable, grader: TrainedGrader
) -> NDArray[np.float64]:
    """As reports show them; a set of modalities without a calibrator takes that of the pixels."""
    names = [name for name in grader.scale.modalities if name in asked.features]
    there = np.column_stack([asked.present(name) for name in names])
    rows = []
    for row, some in zip(probabilities, there, strict=True):
        present = tuple(name for name, here in zip(names, some, strict=True) if here)
        found = grader.calibrators.get(present, grader.calibrators.get(FROM_PIXELS))
        rows.append(row if found is None else found.apply(row[None])[0])
    return np.array(rows).reshape(probabilities.shape)


def _levels(probabilities: NDArray[np.float64]) -> list[int]:
    return [int(value) for value in middle_levels(probabilities)]


def _suspicion(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of levels III and IV."""
    return np.asarray(probabilities[:, 2] + probabilities[:, 3])


def _shuffled(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
