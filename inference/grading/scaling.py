"""Columns of any unit -> standard scores, and what is unknown marked as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.grading.table import ModalityTable

CLIP = 4.0
"""Standard scores beyond are cut: one wild value must not decide."""
QUANTILES = (0.005, 0.995)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Rows as the network takes them.

    Attributes
    ----------
    features : mapping of modality to Tensor of shape (N, 2 d_m)
        Standard scores, 0 where unknown, then 1 where known and 0 where not.
    present : Tensor of shape (N, M), dtype bool
    patients : Tensor of shape (N,), dtype int64
        Equal numbers are the same patient; only for training.
    """

    features: Mapping[str, Tensor]
    present: Tensor
    patients: Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.present)

    def rows(self, index: Tensor) -> Nodes:
        """Some of the nodes."""
        return Nodes(
            features={name: values[index] for name, values in self.features.items()},
            present=self.present[index],
            patients=self.patients[index],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityScale:
    """Scale of one modality's columns, each of shape (d_m,).

    `low` and `high` are the quantiles `QUANTILES` of what was trained on, in the column's unit.
    """

    names: tuple[str, ...]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Scales of all modalities."""

    modalities: Mapping[str, ModalityScale]

    @classmethod
    def fit(cls, table: ModalityTable) -> Scale:
        """Means, standard deviations and ranges of the known values of a table."""
        scales = {}
        for name, values in table.features.items():
            known = np.isfinite(values)
            count = np.maximum(known.sum(axis=0), 1)
            filled = np.where(known, values, 0.0).astype(np.float64)
            centre = filled.sum(axis=0) / count
            square = (np.where(known, values - centre, 0.0) ** 2).sum(axis=0) / count
            spread = np.sqrt(square)
            low, high = (_quantile(values, known, share) for share in QUANTILES)
            scales[name] = ModalityScale(
                names=table.names[name],
                centre=centre,
                spread=np.where(spread > 1e-9, spread, 1.0),
                low=low,
                high=high,
            )
        return cls(modalities=scales)

    def to_nodes(self, table: ModalityTable) -> Nodes:
        """Rows of a table with the same columns.

        Modalities that the table has not are absent.

        Raises
        ------
        ValueError
            If a modality's columns are not those that the scale was fitted on.
        """
        features: dict[str, Tensor] = {}
        present: list[NDArray[np.bool_]] = []
        for name, scale in self.modalities.items():
            if name not in table.features:
                width = len(scale.names)
                features[name] = torch.zeros(len(table), 2 * width)
                present.append(np.zeros(len(table), dtype=bool))
                continue
            if table.names[name] != scale.names:
                raise ValueError(
                    f"modality {name} has columns {table.names[name]}, trained on {scale.names}"
                )
            values = table.features[name]
            known = np.isfinite(values)
            score = np.where(known, (values - scale.centre) / scale.spread, 0.0)
            both = np.concatenate([np.clip(score, -CLIP, CLIP), known], axis=1)
            features[name] = torch.from_numpy(both.astype(np.float32))
            present.append(np.asarray(known.any(axis=1)))
        _, patients = np.unique(table.patients, return_inverse=True)
        return Nodes(
            features=features,
            present=torch.from_numpy(np.stack(present, axis=1)),
            patients=torch.from_numpy(patients.astype(np.int64)),
        )


def _quantile(
    values: NDArray[np.float32], known: NDArray[np.bool_], share: float
) -> NDArray[np.float64]:
    """Quantile of each column's known values; NaN for a column without any."""
    answer = np.full(values.shape[1], np.nan)
    for column in np.flatnonzero(known.any(axis=0)):
        answer[column] = np.quantile(values[known[:, column], column], share)
    return answer
