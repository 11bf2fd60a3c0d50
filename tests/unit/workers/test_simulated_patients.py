"""SIMULATED persons beside described nodules: one for each drawing of a patient's nodules."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.unit.workers.described_nodules import write_described
from workers.described_nodules import read_described
from workers.simulated_patients import SIMULATED, with_simulated_patients


def test_rows_stay_and_every_drawing_is_another_person(tmp_path: Path) -> None:
    described = read_described(write_described(tmp_path / "described.npz"))

    drawn = with_simulated_patients(described, seed=0)
    again = with_simulated_patients(described, seed=0)

    assert drawn.table.modalities == (*described.table.modalities, *SIMULATED)
    for name in ("patients", "nodules", "rating"):
        np.testing.assert_array_equal(getattr(drawn.table, name), getattr(described.table, name))
    for name in described.table.modalities:
        np.testing.assert_array_equal(drawn.table.features[name], described.table.features[name])
    for name in SIMULATED:
        values = drawn.table.features[name]
        np.testing.assert_array_equal(values, again.table.features[name])
        known = values[drawn.table.present(name)]
        assert len(np.unique(np.nan_to_num(known), axis=0)) > 0.95 * len(known)
    assert drawn.digest == described.digest
