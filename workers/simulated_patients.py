"""SIMULATED patients beside described nodules: the only way that made-up values reach training.

What learns from them is used only where a site names such a modality (`PULMONODE_GRADE_BY`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.simulated_cohort import add_simulated_cohort
from inference.evaluation.grading.simulated_pet import add_simulated_pet
from inference.known import CLINICAL, PET, SEROLOGY
from workers.described_nodules import Described

SIMULATED = (CLINICAL, SEROLOGY, PET)


def with_simulated_patients(described: Described, *, seed: int) -> Described:
    """The same rows with the modalities of `SIMULATED`.

    A nodule was drawn several times; the first drawings of a patient's nodules belong to one
    simulated person, the second ones to another. With one person for each patient there would be
    too few to learn the effects that were put in.
    """
    table = described.table
    number = _number_within(table.nodules)
    persons = replace(
        table,
        patients=np.array([f"{one}#{at}" for one, at in zip(table.patients, number, strict=True)]),
        nodules=np.array([f"{one}#{at}" for one, at in zip(table.nodules, number, strict=True)]),
    )
    drawn = add_simulated_pet(add_simulated_cohort(persons, seed=seed), seed=seed)
    return replace(described, table=replace(drawn, patients=table.patients, nodules=table.nodules))


def _number_within(nodules: NDArray[np.str_]) -> list[int]:
    """Of each row among those of its nodule, from 0."""
    seen: Counter[str] = Counter()
    numbers = []
    for nodule in nodules.tolist():
        numbers.append(seen[nodule])
        seen[nodule] += 1
    return numbers
