"""How the time of a grade grows with the bank: one nodule against banks of different sizes.

The networks are the shipped shape with first weights and the banks are noise of the shipped
width, so that nothing but sizes decides; a grade's time does not depend on what the weights are.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch

from inference.grading.config import GraphConfig
from inference.grading.grader import make_grader
from inference.grading.network import GraphGrader
from inference.grading.scaling import Scale
from inference.grading.table import ModalityTable
from inference.image_row import columns

FEATURES = 32
SOFTNESS = 0.25


def bench_grading(cases: tuple[int, ...], *, runs: int, members: int) -> dict[str, Any]:
    """Median milliseconds of one nodule's grade on one core, banks taking turns.

    Parameters
    ----------
    cases : tuple of int
        Sizes of the banks.
    runs : int
        Of each.
    members : int
        Networks that answer together.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    largest = _noise(max(cases))
    scale = Scale.fit(largest)
    widths = {name: len(columns) for name, columns in largest.names.items()}
    networks = tuple(GraphGrader(GraphConfig(widths=widths)).eval() for _ in range(members))
    graders = {
        count: make_grader(networks, scale, largest.rows(np.arange(count)), softness=SOFTNESS)
        for count in cases
    }
    query = largest.rows(np.array([0]))
    taken: dict[int, list[float]] = {count: [] for count in cases}
    for _ in range(runs + 1):
        for count, grader in graders.items():
            begun = time.perf_counter()
            grader.grade(query)
            taken[count].append(1000 * (time.perf_counter() - begun))
    return {
        "networks": members,
        "threads": 1,
        "cores": os.cpu_count(),
        "runs": runs,
        # The first of each warms up and does not count.
        "ms": {str(count): float(np.median(times[1:])) for count, times in taken.items()},
    }


def _noise(count: int) -> ModalityTable:
    random = np.random.default_rng(0)
    names = columns(FEATURES)
    return ModalityTable(
        features={
            name: random.normal(size=(count, len(one))).astype(np.float32)
            for name, one in names.items()
        },
        names=names,
        patients=np.array([f"P{number}" for number in range(count)]),
        nodules=np.array([f"N{number}" for number in range(count)]),
        rating=random.uniform(1, 5, size=count),
    )
