"""From what is known of a patient to the columns that a grader is given."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inference.beside_pixels import COLUMNS, LEAST, NAMES, rows_beside
from inference.evaluation.grading.markers import SEROLOGY as MARKER_COLUMNS
from inference.evaluation.grading.markers import UNITS
from inference.evaluation.grading.simulated_cohort import CLINICAL as SIMULATED_CLINICAL
from inference.findings import ClinicalContext
from inference.known import CLINICAL, PET, SEROLOGY, KnownContext, KnownValue
from inference.pet_values import Uptake
from workers.context.items import load_items

NOBODY = ClinicalContext()
UPTAKE = Uptake(
    suv_max=6.0, suv_peak=5.0, suv_mean=3.5, mtv_mm3=2000.0, tlg=7.0, sul_peak=None,
    too_small_to_trust=False,
)  # fmt: skip


def nodules(*uptakes: Uptake | None, diameter_mm: float = 20.0) -> list[Any]:
    """Nodules of which nothing but size and uptake is looked at."""
    measurements = SimpleNamespace(mean_diameter_mm=diameter_mm)
    return [SimpleNamespace(uptake=uptake, measurements=measurements) for uptake in uptakes]


def of_marker(**said: Any) -> float:
    value = KnownValue(**{"item": "cea", "unit": "ng/mL", "source": "hl7", **said})
    rows = rows_beside(nodules(None), NOBODY, KnownContext(values=(value,)))
    return float(rows[SEROLOGY][0, NAMES[SEROLOGY].index("log_cea")])


def test_columns_are_those_that_training_simulates_and_items_those_of_the_context() -> None:
    items = load_items(None).items

    assert NAMES[CLINICAL] == SIMULATED_CLINICAL
    assert NAMES[SEROLOGY] == MARKER_COLUMNS
    for column in COLUMNS[SEROLOGY]:
        assert items[column.source].unit == column.units[0] == UNITS[column.source]


def test_clinical_values_are_numbers_and_what_nobody_said_is_unknown() -> None:
    context = ClinicalContext(age_years=64.0, sex="M", emphysema=True, ever_smoker=False)

    (row,) = rows_beside(nodules(None), context, None)[CLINICAL]

    np.testing.assert_array_equal(row, [64, 0, np.nan, 1, 0, np.nan])
    assert np.isnan(rows_beside(nodules(None), NOBODY, None)[CLINICAL]).all()
    assert rows_beside(nodules(None), ClinicalContext(sex="F"), None)[CLINICAL][0, 1] == 1


def test_markers_count_in_their_unit_only_and_on_a_logarithmic_scale() -> None:
    assert of_marker(number=7.5) == pytest.approx(np.log(7.5))
    assert of_marker(number=7.5, unit="ug/L") == pytest.approx(np.log(7.5))
    assert np.isnan(of_marker(number=7.5, unit="ng/dL"))
    assert np.isnan(of_marker(number=7.5, item="crp"))
    assert np.isnan(of_marker(flag=True))
    assert np.isnan(of_marker(number=-1.0))


def test_a_laboratorys_limit_counts_as_the_limit_and_nothing_as_the_least() -> None:
    assert of_marker(number=0.5, comparator="<") == pytest.approx(np.log(0.5))
    assert of_marker(number=100.0, comparator=">") == pytest.approx(np.log(100))
    assert of_marker(number=0.0) == pytest.approx(np.log(LEAST))


def test_uptake_is_the_nodules_own() -> None:
    rows = rows_beside(nodules(UPTAKE, None), NOBODY, None)[PET]

    np.testing.assert_allclose(rows[0], np.log([6.0, 5.0, 2.0, 7.0]), rtol=1e-6)
    assert np.isnan(rows[1]).all()


@pytest.mark.parametrize(("diameter_mm", "counts"), [(7.9, False), (8.0, True), (14.0, True)])
def test_uptake_counts_from_the_size_on_at_which_a_pet_is_asked(
    diameter_mm: float, counts: bool
) -> None:
    small = replace(UPTAKE, too_small_to_trust=True)

    (row,) = rows_beside(nodules(small, diameter_mm=diameter_mm), NOBODY, None)[PET]

    assert np.isfinite(row).tolist() == [counts] * 4
