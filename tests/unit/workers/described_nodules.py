"""A small file of described nodules, made up, with the rating hidden in the features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from inference.attributes import ATTRIBUTES
from inference.cube_measures import MEASURES

FEATURES = 32
PARTS = {"train": 60, "tune": 20, "test": 20}


def write_described(path: Path, **changed: Any) -> Path:
    """Three rows per nodule, the first as all readers see it; one nodule per patient."""
    random = np.random.default_rng(0)
    part = np.concatenate([[name] * (3 * count) for name, count in PARTS.items()])
    count = len(part)
    number = np.repeat(np.arange(count // 3), 3)
    rating = np.repeat(random.choice(np.arange(4, 21) / 4, size=count // 3), 3)
    noisy = rating + random.normal(0, 0.4, count)
    features = random.normal(size=(count, FEATURES)).astype(np.float32)
    features[:, 0] = np.tanh(noisy - 3)
    measures = random.uniform(4, 20, size=(count, len(MEASURES)))
    measures[:, MEASURES.index("mean_hu")] = random.normal(0, 50, count)
    limits = np.array([2.0, 3.0, 4.0])
    arrays: dict[str, Any] = {
        "features": features,
        "attributes": random.uniform(1, 5, size=(count, len(ATTRIBUTES))),
        "encoder_rating": noisy,
        "implied_rating": noisy + random.normal(0, 0.5, count),
        "above_2_3_4": 1 / (1 + np.exp(-2 * (noisy[:, None] - limits))),
        "calcified_probability": random.uniform(0, 1, count),
        "measures": measures,
        "rated_attributes": np.clip(
            noisy[:, None] + random.normal(0, 1, (count, len(ATTRIBUTES))), 1, 5
        ),
        "rating": rating,
        "reader": np.tile([-1, 0, 1], count // 3),
        "nodule": np.array([f"LIDC-IDRI-{900 + one:04d}_n0" for one in number]),
        "patient": np.array([f"LIDC-IDRI-{900 + one:04d}" for one in number]),
        "part": part,
        "out_of_fold": np.ones(count, dtype=bool),
        "facts": np.array(json.dumps({"encoder": "0" * 64})),
    }
    np.savez(path, **(arrays | changed))
    return path
