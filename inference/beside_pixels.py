"""What the grader may be given of a nodule beside its pixels: ``clinical``, ``serology``, ``pet``.

One table says which item becomes which column, in which unit and how. `ct_report` comes as columns
already (`Nodule.reported`). Whether a modality may count is not decided here.

Days, units and identity are the caller's to resolve: what comes here may be used. A value in
another unit than the table's is left unknown. A laboratory's limit (``<`` or ``>``) counts as the
limit itself, the nearest that the value may be. The uptake of a nodule under `PET_COUNTS_FROM_MM`
is left unknown: a low one says nothing of so small a nodule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.findings import ClinicalContext, Nodule
from inference.known import CLINICAL, PET, SEROLOGY, KnownContext
from inference.thresholds import PET_COUNTS_FROM_MM

LEAST = 1e-2
"""Under the logarithm, in the column's unit: a laboratory may say 0 for what it cannot see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a modality, and what fills it.

    Attributes
    ----------
    name : str
    source : str
        ``clinical``: field of `ClinicalContext`; ``serology``: item of `KnownContext`;
        ``pet``: field of `Uptake`.
    units : tuple of str
        UCUM; the column's own first, then others that are the same number.
    factor : float
        From the source's number to the column's unit.
    logarithm : bool
        Natural, of at least `LEAST`.
    yes : object
        What counts as 1, where the source is no number; anything else that is known is 0.
    """

    name: str
    source: str
    units: tuple[str, ...] = ("1",)
    factor: float = 1.0
    logarithm: bool = False
    yes: object = True

    def value(self, said: object) -> float:
        """What was said as a number of the column; NaN where it says nothing."""
        if said is None:
            return np.nan
        if isinstance(said, bool | str):
            return float(said == self.yes)
        number = float(said) * self.factor  # type: ignore[arg-type]
        if not np.isfinite(number) or number < 0:
            return np.nan
        return float(np.log(max(number, LEAST))) if self.logarithm else number


def _marker(item: str, *units: str) -> Column:
    return Column(name=f"log_{item}", source=item, units=units, logarithm=True)


def _uptake(name: str, source: str, unit: str, factor: float = 1.0) -> Column:
    return Column(name=f"log_{name}", source=source, units=(unit,), factor=factor, logarithm=True)


COLUMNS: Mapping[str, tuple[Column, ...]] = {
    CLINICAL: (
        Column(name="age", source="age_years", units=("a",)),
        Column(name="female", source="sex", yes="F"),
        Column(name="family_history", source="family_history_lung_cancer"),
        Column(name="emphysema", source="emphysema"),
        Column(name="ever_smoker", source="ever_smoker"),
        Column(name="prior_cancer", source="extrathoracic_cancer_over_5_years"),
    ),
    SEROLOGY: (
        _marker("cea", "ng/mL", "ug/L"),
        _marker("cyfra_21_1", "ng/mL", "ug/L"),
        _marker("nse", "ng/mL", "ug/L"),
        _marker("scc", "ng/mL", "ug/L"),
        _marker("progrp", "pg/mL", "ng/L"),
    ),
    PET: (
        _uptake("suv_max", "suv_max", "g/ml"),
        _uptake("suv_peak", "suv_peak", "g/ml"),
        _uptake("mtv_ml", "mtv_mm3", "ml", 1e-3),
        _uptake("tlg", "tlg", "g"),
    ),
}
"""Prior cancer is the Mayo model's: outside the chest, over five years ago. Ever smoked follows
from the smoking status or from pack-years."""
NAMES: Mapping[str, tuple[str, ...]] = {
    name: tuple(column.name for column in columns) for name, columns in COLUMNS.items()
}
MARKER_UNITS = {column.source: column.units[0] for column in COLUMNS[SEROLOGY]}
"""UCUM unit by item."""


def rows_beside(
    nodules: Sequence[Nodule], context: ClinicalContext, known: KnownContext | None
) -> dict[str, NDArray[np.float32]]:
    """Values by modality, of all modalities of `COLUMNS`.

    Parameters
    ----------
    nodules : sequence of Nodule
        With their size, and their uptake where a PET covers them.
    context : ClinicalContext
        Of their patient.
    known : KnownContext, optional
        The same patient's values, for the markers.

    Returns
    -------
    mapping of modality to ndarray of shape (N, d_m), dtype float32
        NaN is unknown; clinical data and markers are the same in every row.
    """
    clinical = [column.value(getattr(context, column.source)) for column in COLUMNS[CLINICAL]]
    serology = [_measured(column, known) for column in COLUMNS[SEROLOGY]]
    pet = [[_uptake_of(nodule, column) for column in COLUMNS[PET]] for nodule in nodules]
    rows = {CLINICAL: [clinical] * len(nodules), SEROLOGY: [serology] * len(nodules), PET: pet}
    return {
        name: np.array(values, dtype=np.float32).reshape(len(nodules), len(COLUMNS[name]))
        for name, values in rows.items()
    }


def _uptake_of(nodule: Nodule, column: Column) -> float:
    if nodule.uptake is None or nodule.measurements.mean_diameter_mm < PET_COUNTS_FROM_MM:
        return np.nan
    return column.value(getattr(nodule.uptake, column.source))


def _measured(column: Column, known: KnownContext | None) -> float:
    for value in known.values if known else ():
        if value.item == column.source and value.unit in column.units:
            return column.value(value.number)
    return np.nan
