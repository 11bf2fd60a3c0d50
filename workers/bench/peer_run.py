"""Time of the MONAI bundle's architecture on the same lungs, in a process of its own.

Random weights: time does not depend on them. A few tiles are run; the box around the lungs
needs as many as it needs, so the total is extrapolated, and said to be.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from inference.backend import TorchBackend
from inference.detection import around_lungs
from inference.lungs import segment_lungs
from inference.models.retina_net import RetinaNet
from inference.retina_detection import MARGIN_MM, SPACING_MM, TILE, TILE_OVERLAP
from workers.bench.chest import read_chest
from workers.bench.process import peak_rss_mb


def main(arguments: Sequence[str] | None = None) -> None:
    """Time tiles and print the result as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("volume", type=Path)
    parser.add_argument("--tiles", type=int, required=True)
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    volume, _ = read_chest(asked.volume)
    grid, _ = around_lungs(volume, segment_lungs(volume), spacing_mm=2.5, margin_mm=MARGIN_MM)
    box_mm = np.array(grid.shape[::-1]) * 2.5  # along x, y, z
    box = np.ceil(box_mm / SPACING_MM).astype(int)
    del volume, grid
    torch.manual_seed(0)
    backend = TorchBackend(RetinaNet())
    tile = np.random.default_rng(0).random((1, 1, *TILE)).astype(np.float32)
    wall_s, cpu_s = [], []
    for _ in range(asked.tiles):
        wall, cpu = time.perf_counter(), time.process_time()
        backend.run(tile)
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)
    tiles = tiles_for(box, TILE_OVERLAP)
    whole = float(np.prod(box)) / math.prod(TILE)
    print(  # noqa: T201 - the parent reads it
        json.dumps(
            {
                "architecture": "ResNet-50 RetinaNet of lung_nodule_ct_detection, random weights",
                "engine": backend.engine,
                "box_voxels": box.tolist(),
                "tile_voxels": list(TILE),
                "tiles_measured": asked.tiles,
                "tile_wall_s": statistics.median(wall_s),
                "tile_cpu_s": statistics.median(cpu_s),
                "tiles_of_the_box": tiles,
                "extrapolated": True,
                "box_wall_s": statistics.median(wall_s) * tiles,
                "box_cpu_s": statistics.median(cpu_s) * tiles,
                "box_cpu_s_without_overlap": statistics.median(cpu_s) * whole,
                "peak_rss_mb": peak_rss_mb(),
            }
        )
    )


def tiles_for(box: np.ndarray[tuple[int], np.dtype[np.int_]], overlap: float) -> int:
    """How many tiles cover a box when neighbours share this part of a side."""
    counts = [
        1 if size <= side else 1 + math.ceil((size - side) / (side * (1 - overlap)))
        for size, side in zip(box.tolist(), TILE, strict=True)
    ]
    return math.prod(counts)


if __name__ == "__main__":
    main()
