"""A small background made by hand: aerated lung beside a wall, one vessel, one known lesion."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from inference.training.backgrounds import DEPTH_STEP, Background
from inference.training.shapes import NoduleShape
from inference.volume import Volume

SIDE = 72
WALL = 12
"""Columns below this are chest wall."""
SPACING_MM = 1.25
LESION = (20.0, 20.0, 60.0)


def lung_box(seed: int = 0, name: str = "box") -> Background:
    random = np.random.default_rng(seed)
    hu = np.full((SIDE,) * 3, -860.0) + random.normal(0, 15, (SIDE,) * 3)
    hu[:, :, :WALL] = 40.0
    hu[:, 50:53, 40:43] = 40.0
    search = np.zeros(hu.shape, dtype=bool)
    search[:, :, WALL:] = True
    depth = ndimage.distance_transform_edt(search) * SPACING_MM
    places = np.argwhere(search & (hu < -650))
    places = places[random.choice(len(places), 6000, replace=False)]
    distance = np.linalg.norm(places - LESION, axis=1)
    places = places[distance > 14].astype(np.int32)
    k, j, i = places.T
    vessels = ndimage.uniform_filter(((hu > -450) & search).astype(np.float32), 11)
    return Background(
        name=name,
        real=True,
        volume=Volume(hu=np.rint(hu).astype(np.int16), affine=np.diag([SPACING_MM] * 3 + [1.0])),
        search=search,
        depth_mm=depth[::DEPTH_STEP, ::DEPTH_STEP, ::DEPTH_STEP].astype(np.float16),
        places=places,
        place_depth_mm=depth[k, j, i].astype(np.float32),
        place_vessels=vessels[k, j, i],
        lesions_kji=np.array([[*LESION, 6.0]]),
        slice_thickness_mm=1.0,
        noise_hu=15.0,
    )


def ball(
    diameter_mm: float = 10.0, *, texture: float = 5.0, calcified: bool = False
) -> NoduleShape:
    side = int(diameter_mm) + 3
    grid = np.indices((side,) * 3) - (side - 1) / 2
    mask = (grid**2).sum(axis=0) <= (diameter_mm / 2) ** 2
    return NoduleShape(
        nodule_id=f"ball-{diameter_mm:g}",
        patient_id="ball",
        mask=mask,
        diameter_mm=float((6 * mask.sum() / np.pi) ** (1 / 3)),
        texture=texture,
        margin=5.0,
        spiculation=1.0,
        calcified=calcified,
    )
