"""SIMULATED uptake: whose it is, how far it parts, and what is lost of small nodules."""

from __future__ import annotations

import numpy as np
import pytest

from inference.beside_pixels import NAMES
from inference.evaluation.grading.simulated_pet import (
    DIAMETER,
    NO_PET,
    SENSITIVITY,
    SPECIFICITY,
    add_simulated_pet,
    recovered,
)
from inference.grading.table import ModalityTable
from inference.known import PET


def table(rating: float, *, diameter_mm: float = 20.0, patients: int = 4000) -> ModalityTable:
    """Two rows of one nodule of each patient."""
    names = np.repeat([f"P{number}" for number in range(patients)], 2)
    modality, column = DIAMETER
    return ModalityTable(
        features={modality: np.full((len(names), 1), np.log(diameter_mm), dtype=np.float32)},
        names={modality: (column,)},
        patients=names,
        nodules=np.char.add(names, "_n0"),
        rating=np.full(len(names), rating),
    )


def highest(drawn: ModalityTable) -> np.ndarray:  # type: ignore[type-arg]
    values = np.exp(drawn.features[PET][:, NAMES[PET].index("log_suv_max")])
    return values[np.isfinite(values)]


def test_the_draw_is_the_patients_and_the_seeds() -> None:
    some = table(3.0, patients=50)

    one, same = add_simulated_pet(some, seed=1), add_simulated_pet(some, seed=1)
    other = add_simulated_pet(some, seed=2)
    half = add_simulated_pet(some.rows(np.arange(10)), seed=1)

    assert one.names[PET] == NAMES[PET]
    np.testing.assert_array_equal(one.features[PET], same.features[PET])
    np.testing.assert_array_equal(one.features[PET][::2], one.features[PET][1::2])
    np.testing.assert_array_equal(one.features[PET][:10], half.features[PET])
    assert not np.array_equal(one.features[PET], other.features[PET], equal_nan=True)
    assert some.modalities == (DIAMETER[0],)


def test_at_the_studied_size_it_parts_as_published_and_half_have_one() -> None:
    benign, malignant = (add_simulated_pet(table(rating), seed=0) for rating in (1.0, 5.0))

    assert (highest(benign) < 2.5).mean() == pytest.approx(SPECIFICITY, abs=0.02)
    assert (highest(malignant) > 2.5).mean() == pytest.approx(SENSITIVITY, abs=0.02)
    assert benign.present(PET).mean() == pytest.approx(1 - NO_PET, abs=0.03)


def test_a_small_nodule_shows_less_of_what_it_takes_up() -> None:
    large, small = (
        add_simulated_pet(table(5.0, diameter_mm=mm, patients=500), seed=0) for mm in (20.0, 7.0)
    )

    assert recovered(1.0) < recovered(7.0) < recovered(20.0) < recovered(60.0)
    assert recovered(60.0) == pytest.approx(1, abs=1e-3)
    assert np.median(highest(small)) < 0.6 * np.median(highest(large))


def test_every_value_is_of_one_nodule() -> None:
    drawn = add_simulated_pet(table(4.0, patients=200), seed=0)
    known = drawn.features[PET][drawn.present(PET)]
    suv_max, suv_peak, mtv_ml, tlg = np.exp(known).T

    assert (suv_peak < 1.1 * suv_max).all()
    assert (tlg / mtv_ml < suv_max).all()
    assert (mtv_ml > 0).all()
