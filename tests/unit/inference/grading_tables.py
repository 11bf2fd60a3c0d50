"""A small table with two modalities and a model that knows the answer half."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.grading.table import Explanation, ModalityTable


def make_table(patients: int = 40, *, seed: int = 0) -> ModalityTable:
    """Three readings of each patient's one nodule, and its rating in the first columns."""
    random = np.random.default_rng(seed)
    rating = np.repeat(random.integers(1, 6, size=patients), 3).astype(np.float64)
    noisy = rating[:, None] + random.normal(0, 0.7, (len(rating), 3))
    image = np.column_stack([noisy[:, :2], random.normal(size=len(rating))])
    report = np.column_stack([noisy[:, 2:], random.normal(size=(len(rating), 2))])
    return ModalityTable(
        features={"roi2d": image.astype(np.float32), "report": report.astype(np.float32)},
        names={
            "roi2d": ("axial_mean_diam_mm", "log_axial_mean_diam_mm", "noise"),
            "report": ("texture", "noise_a", "noise_b"),
        },
        patients=np.repeat([f"P{number:03d}" for number in range(patients)], 3),
        nodules=np.repeat([f"N{number:03d}" for number in range(patients)], 3),
        rating=rating,
    )


class ExplainingHalf:
    """Sure of what the first column says; explains itself."""

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Remember from whom it learned."""
        del seed
        self.seen = set(table.patients.tolist())

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Peaked at the grade that the first known column says."""
        assert not self.seen & set(table.patients.tolist())
        value = np.nan_to_num(table.features[table.modalities[0]][:, 0], nan=3.0)
        apart = np.abs(value[:, None] - np.array([1.5, 3.0, 4.0, 5.0]))
        weight = np.exp(-2 * apart)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)

    def explain(self, table: ModalityTable) -> Explanation:
        """Its columns, and equal attention."""
        share = np.full((len(table), len(table.modalities)), 1 / len(table.modalities))
        return Explanation(
            embedding=np.nan_to_num(table.features[table.modalities[0]]), attention=share
        )
