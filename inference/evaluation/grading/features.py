"""A table as one matrix for models that know nothing of modalities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.grading.table import ModalityTable

SHARE_MISSING = 0.3
"""Of (row, modality) pairs in the study of randomly missing modalities."""
FARTHEST = 6.0
"""Standard deviations at which a scaled value is clipped."""


def to_matrix(table: ModalityTable) -> NDArray[np.float64]:
    """All columns side by side, shape (N, sum of d_m); NaN is unknown."""
    return np.hstack([table.features[name] for name in table.modalities]).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Mean and spread of the training rows; what is unknown becomes the mean."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, matrix: NDArray[np.float64]) -> Scaling:
        """Fitted on known values; a column without any, or without spread, becomes 0."""
        known = np.isfinite(matrix)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, matrix, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, matrix - mean, 0) ** 2).sum(axis=0) / count)
        return cls(mean=mean, spread=np.where(spread > 1e-9, spread, 1.0))

    def apply(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled and without gaps."""
        scaled = np.clip((matrix - self.mean) / self.spread, -FARTHEST, FARTHEST)
        return np.where(np.isfinite(scaled), scaled, 0.0)


def drop_at_random(
    table: ModalityTable, *, seed: int | list[int], share: float = SHARE_MISSING
) -> ModalityTable:
    """Each modality of each row absent with a chance of ``share``; one always stays."""
    random = np.random.default_rng(seed)
    gone = random.random((len(table), len(table.modalities))) < share
    kept = random.integers(len(table.modalities), size=len(table))
    gone[np.arange(len(table)), kept] &= ~gone.all(axis=1)
    return with_absent(table, gone)


def with_absent(table: ModalityTable, gone: NDArray[np.bool_]) -> ModalityTable:
    """Modalities taken away row by row; ``gone`` has shape (N, M)."""
    features = {
        name: np.where(gone[:, at, None], np.float32(np.nan), values)
        for at, (name, values) in enumerate(table.features.items())
    }
    return ModalityTable(
        features=features,
        names=table.names,
        patients=table.patients,
        nodules=table.nodules,
        rating=table.rating,
    )


def stack(first: ModalityTable, second: ModalityTable) -> ModalityTable:
    """Rows of two tables with the same columns, one after the other."""
    return ModalityTable(
        features={
            name: np.concatenate([values, second.features[name]])
            for name, values in first.features.items()
        },
        names=first.names,
        patients=np.concatenate([first.patients, second.patients]),
        nodules=np.concatenate([first.nodules, second.nodules]),
        rating=np.concatenate([first.rating, second.rating]),
    )
