"""The volume that speed is measured on: a simulated chest with five nodules, kept on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from inference.findings import PointLps
from inference.phantom import PhantomNodule, PhantomSpec, make_phantom
from inference.volume import Volume

CHEST = PhantomSpec(
    slices=300,
    pixels=512,
    slice_spacing_mm=1.0,
    pixel_spacing_mm=0.7,
    nodules=(
        PhantomNodule(type="solid", diameter_mm=8.0),
        PhantomNodule(type="solid", diameter_mm=12.0),
        PhantomNodule(type="solid", diameter_mm=20.0, juxtapleural=True),
        PhantomNodule(type="ground-glass", diameter_mm=16.0),
        PhantomNodule(type="part-solid", diameter_mm=14.0),
    ),
)
"""The size that issue and knowledge speak of: 300 x 512 x 512 voxels."""


def chest_file(folder: Path, spec: PhantomSpec = CHEST) -> Path:
    """The volume as a file, made where it is missing (about a minute); returns its path."""
    digest = hashlib.sha256(json.dumps(asdict(spec), sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"chest-{digest}.npz"
    if not path.exists():
        phantom = make_phantom(spec)
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            hu=phantom.volume.hu,
            affine=phantom.volume.affine,
            centres_lps_mm=np.array([item["centre_lps_mm"] for item in phantom.truth["nodules"]]),
            diameters_mm=np.array([item["diameter_mm"] for item in phantom.truth["nodules"]]),
        )
        partial.rename(path)
    return path


def read_chest(path: Path) -> tuple[Volume, list[tuple[PointLps, float]]]:
    """The volume, and centre and diameter of each of its nodules."""
    with np.load(path) as stored:
        volume = Volume(hu=stored["hu"], affine=stored["affine"])
        centres, diameters = stored["centres_lps_mm"], stored["diameters_mm"]
    truth = [
        ((float(x), float(y), float(z)), float(diameter))
        for (x, y, z), diameter in zip(centres, diameters, strict=True)
    ]
    return volume, truth
