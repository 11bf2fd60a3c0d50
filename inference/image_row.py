"""What the grader is given of a nodule's pixels: modalities ``ct_image`` and ``ct_measures``.

The encoder's fused feature and answers, and plain measurements of the same cube: two ways to see
a nodule that can be weighed against each other. Training rows and a worker's rows are made by
the same code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.attributes import ATTRIBUTES
from inference.cube_measures import MEASURES
from inference.deep_features import NoduleDescription
from inference.grading.table import ModalityTable
from inference.known import CT_REPORT

CT_IMAGE, CT_MEASURES = "ct_image", "ct_measures"
FROM_PIXELS = (CT_IMAGE, CT_MEASURES)
ANSWERS = ("rating", "implied_rating", "above_2", "above_3", "above_4", "calcified")
REPORT_COLUMNS = tuple(f"reported_{name}" for name in ATTRIBUTES)
LOGARITHMS = frozenset(
    {
        "long_axis_mm",
        "short_axis_mm",
        "mean_diameter_mm",
        "max_3d_diameter_mm",
        "volume_mm3",
    }
)
"""Sizes spread evenly on a logarithmic scale."""
LEAST = 1e-2


def columns(features: int) -> dict[str, tuple[str, ...]]:
    """Names of the columns of each modality, for an encoder with so many fused features."""
    return {
        CT_IMAGE: (
            *(f"encoder_{number}" for number in range(features)),
            *(f"predicted_{name}" for name in ATTRIBUTES),
            *(f"predicted_{name}" for name in ANSWERS),
        ),
        CT_MEASURES: tuple(f"log_{name}" if name in LOGARITHMS else name for name in MEASURES),
        CT_REPORT: REPORT_COLUMNS,
    }


def pixel_values(
    *,
    features: NDArray[np.floating],
    attributes: NDArray[np.floating],
    answers: NDArray[np.floating],
    measures: NDArray[np.floating],
) -> dict[str, NDArray[np.float32]]:
    """Values of the modalities that come from pixels, in the order of `columns`.

    Shapes
    ------
    - features: (N, F); attributes: (N, 8); answers: (N, 6) as `ANSWERS`; measures: (N, 11)
    - answer: ``ct_image`` (N, F + 14), ``ct_measures`` (N, 11)
    """
    scaled = measures.astype(np.float64).copy()
    for number, name in enumerate(MEASURES):
        if name in LOGARITHMS:
            scaled[:, number] = np.log(np.maximum(scaled[:, number], LEAST))
    image = np.concatenate([features, attributes, answers], axis=1)
    return {CT_IMAGE: image.astype(np.float32), CT_MEASURES: scaled.astype(np.float32)}


def above_limits(grades: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shares of the four grades (..., 4) -> shares above each limit (..., 3)."""
    return np.asarray(1 - np.cumsum(grades, axis=-1)[..., :-1], dtype=np.float64)


def describe_rows(
    described: Sequence[NoduleDescription],
    measures: NDArray[np.floating],
    report: NDArray[np.floating] | None = None,
) -> ModalityTable:
    """Nodules of a case as rows to be graded; ratings are unknown.

    Parameters
    ----------
    described : sequence of NoduleDescription
        At least one.
    measures : ndarray of shape (N, 11)
        `MEASURES` of the same cubes.
    report : ndarray of shape (N, 8), optional
        What a report says of them, on LIDC's scales; NaN is unknown.
    """
    count = len(described)
    answers = np.array(
        [
            [one.rating, one.implied_rating, *above_limits(one.grades), one.calcified]
            for one in described
        ]
    )
    values = pixel_values(
        features=np.stack([one.features for one in described]),
        attributes=np.array([[one.attributes[name] for name in ATTRIBUTES] for one in described]),
        answers=answers,
        measures=measures,
    )
    absent = np.full((count, len(REPORT_COLUMNS)), np.nan, dtype=np.float32)
    return ModalityTable(
        features={
            **values,
            CT_REPORT: absent if report is None else report.astype(np.float32),
        },
        names=columns(len(described[0].features)),
        patients=np.array(["query"] * count),
        nodules=np.array([f"nodule {number}" for number in range(1, count + 1)]),
        rating=np.full(count, np.nan),
    )
