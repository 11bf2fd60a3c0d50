"""Nodules as rows, modalities as blocks of columns: what every grader is given.

A modality may be absent for a row, and single values of a present one may be unknown (NaN).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

GRADE_LIMITS = (2.0, 3.0, 4.0)
"""Mean of the readers' malignancy ratings (1 to 5): up to 2, 3, 4 and above are I, II, III, IV."""
Level = Literal["I", "II", "III", "IV"]
LEVELS: tuple[Level, ...] = ("I", "II", "III", "IV")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityTable:
    """N nodules (or readings of nodules) with M modalities.

    Attributes
    ----------
    features : mapping of modality to ndarray of shape (N, d_m), dtype float32
        NaN is unknown; whole rows where the modality is absent.
    names : mapping of modality to tuple of str
        Of its d_m columns.
    patients, nodules : ndarray of shape (N,), dtype str
        Whose, and which; several rows may be readings of the same nodule.
    rating : ndarray of shape (N,), dtype float64
        Mean malignancy rating of the readers who are the truth here, 1 to 5; NaN is unknown.
    """

    features: Mapping[str, NDArray[np.float32]]
    names: Mapping[str, tuple[str, ...]]
    patients: NDArray[np.str_]
    nodules: NDArray[np.str_]
    rating: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse blocks that do not fit each other.

        Raises
        ------
        ValueError
            Naming the modality.
        """
        for modality, values in self.features.items():
            wanted = (len(self.patients), len(self.names[modality]))
            if values.shape != wanted:
                raise ValueError(f"modality {modality} has shape {values.shape}, not {wanted}")

    def __len__(self) -> int:
        """N."""
        return len(self.patients)

    @property
    def modalities(self) -> tuple[str, ...]:
        """In the order of `features`."""
        return tuple(self.features)

    @property
    def grades(self) -> NDArray[np.int64]:
        """0 to 3 by `GRADE_LIMITS`, shape (N,).

        Raises
        ------
        ValueError
            If a rating is unknown.
        """
        return to_grades(self.rating)

    def present(self, modality: str) -> NDArray[np.bool_]:
        """Whether any value of the modality is known, shape (N,)."""
        return np.asarray(np.isfinite(self.features[modality]).any(axis=1))

    def rows(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> ModalityTable:
        """Some of the rows."""
        return replace(
            self,
            features={name: values[index] for name, values in self.features.items()},
            patients=self.patients[index],
            nodules=self.nodules[index],
            rating=self.rating[index],
        )

    def values_of(self, row: int) -> dict[str, dict[str, float | None]]:
        """One row's values by modality and column; `None` is unknown."""
        return {
            name: {
                column: float(value) if np.isfinite(value) else None
                for column, value in zip(self.names[name], values[row], strict=True)
            }
            for name, values in self.features.items()
        }

    def only(self, modalities: Iterable[str]) -> ModalityTable:
        """Some of the modalities; the others are no part of the table any more."""
        kept = tuple(modalities)
        return replace(
            self,
            features={name: self.features[name] for name in kept},
            names={name: self.names[name] for name in kept},
        )

    def masked(self, modalities: Iterable[str]) -> ModalityTable:
        """The same columns, with some modalities absent in every row."""
        absent = frozenset(modalities)
        return replace(
            self,
            features={
                name: np.full_like(values, np.nan) if name in absent else values
                for name, values in self.features.items()
            },
        )


class GradeModel(Protocol):
    """What `inference.evaluation` compares: baselines, the graph and its variants."""

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn from rows with known ratings; everything that scales or fills in is fitted here."""
        ...

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probability of each grade, shape (N, 4), rows sum to 1; ratings are not looked at."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a model can tell beside its answer.

    Attributes
    ----------
    embedding : ndarray of shape (N, h)
        Fused representation of each row.
    attention : ndarray of shape (N, M)
        Weight of each modality of the table, in its order; rows sum to 1.
    """

    embedding: NDArray[np.float32]
    attention: NDArray[np.float64]


@runtime_checkable
class ExplainingModel(Protocol):
    """A `GradeModel` that shows its fused features and attention."""

    def explain(self, table: ModalityTable) -> Explanation:
        """For the rows of a table."""
        ...


def table_of_values(
    values: Sequence[Mapping[str, Mapping[str, float | None]]],
    *,
    patients: Sequence[str],
    nodules: Sequence[str],
) -> ModalityTable:
    """Rows as `ModalityTable.values_of` gives them, at least one; ratings are unknown.

    Raises
    ------
    ValueError
        If the rows have not the same columns.
    """
    names = {name: tuple(columns) for name, columns in values[0].items()}
    for one in values:
        if {name: tuple(columns) for name, columns in one.items()} != names:
            raise ValueError("the rows of a table have not the same columns")
    return ModalityTable(
        features={
            name: np.array(
                [[np.nan if v is None else v for v in one[name].values()] for one in values],
                dtype=np.float32,
            ).reshape(len(values), len(names[name]))
            for name in names
        },
        names=names,
        patients=np.array(patients, dtype=np.str_),
        nodules=np.array(nodules, dtype=np.str_),
        rating=np.full(len(values), np.nan),
    )


def to_grades(rating: NDArray[np.float64]) -> NDArray[np.int64]:
    """Mean ratings -> 0 to 3.

    Raises
    ------
    ValueError
        If a rating is unknown.
    """
    if not np.isfinite(rating).all():
        raise ValueError("a grade needs a rating; some rows have none")
    return np.searchsorted(GRADE_LIMITS, rating, side="left").astype(np.int64)
