"""Training samples: a piece of lung, decoys and nodules in it, and what a detector should say.

The same seed and number give the same patch, whatever came before: training resumes exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.findings import NoduleType
from inference.training.acquisition import vary_acquisition
from inference.training.annotated import real_anchor, real_nodules
from inference.training.appearance import Array, Image, kind_of
from inference.training.backgrounds import DEPTH_STEP, Background
from inference.training.decoys import PatchSites, draw_decoys
from inference.training.insertion import (
    PlacedNodule,
    WantedNodule,
    fits_site,
    insert_nodule,
    scanner_blur,
    too_near,
)
from inference.training.shapes import NoduleShape

SIZES_MM = (4.0, 34.0)
SMALL_MM, SMALL_SHARE = (4.5, 12.0), 0.5
"""Half of the nodules are small ones, as in LIDC (median 7 mm): they are the hard ones."""
SCALE_AT_MOST = 1.35
"""A shape is drawn at most so much larger or smaller than it was."""
FORCED_KINDS: dict[NoduleType, float] = {"ground-glass": 0.2, "part-solid": 0.1}
"""Share of nodules drawn so whatever their rating: LIDC has few of them."""
NODULE_COUNTS = {0: 0.2, 1: 0.45, 2: 0.25, 3: 0.1}
SITES = {"isolated": 0.4, "juxtapleural": 0.27, "juxtavascular": 0.23, "perifissural": 0.1}
MINED_SHARE = 0.5
"""Of the patches without nodules, once mistakes were collected."""
REAL_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A sample.

    Attributes
    ----------
    hu : ndarray of shape (D, H, W), dtype float32
        HU.
    nodules : tuple of PlacedNodule
        What was put in, and annotated nodules that are there.
    ignored_kji : ndarray of shape (L, 4)
        Known lesions of the background: centre and radius, voxels of the patch.
    """

    hu: Image
    nodules: tuple[PlacedNodule, ...]
    ignored_kji: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """Patch voxel p -> background voxel ``matrix @ (p - middle) + centre``."""

    matrix: Array
    middle: Array
    centre: Array

    def to_patch(self, index: Array) -> Array:
        return np.asarray((index - self.centre) @ np.linalg.inv(self.matrix).T + self.middle)

    def to_background(self, index: Array) -> Array:
        return np.asarray((index - self.middle) @ self.matrix.T + self.centre)


@dataclass(slots=True, kw_only=True)
class PatchMaker:
    """Makes patches from shapes and backgrounds.

    Attributes
    ----------
    mistakes : dict
        Background's name to voxels, shape (N, 3), where a model was wrong: shown more often.
    """

    shapes: Sequence[NoduleShape]
    backgrounds: Sequence[Background]
    spacing_mm: float
    size: int = 64
    seed: int = 0
    mistakes: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    _diameters: Array = field(init=False)
    _real: tuple[int, ...] = field(init=False)
    _simulated: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Refuse to make patches from nothing.

        Raises
        ------
        ValueError
            Without backgrounds, or with neither shapes nor annotated nodules.
        """
        real: list[int] = []
        simulated: list[int] = []
        annotated = 0
        for number, item in enumerate(self.backgrounds):  # may be read one by one from disk
            (real if item.real else simulated).append(number)
            annotated += len(item.nodules_kji)
            if len(item.negatives_kji):
                self.mistakes[item.name] = np.rint(item.negatives_kji).astype(np.int32)
        if not (self.shapes or annotated) or not self.backgrounds:
            raise ValueError("patches need a background, and a nodule shape or an annotated nodule")
        self._real, self._simulated = tuple(real), tuple(simulated)
        self._diameters = np.array([shape.diameter_mm for shape in self.shapes])

    def make(self, number: int) -> Patch:
        """The patch of a number."""
        random = np.random.default_rng((self.seed, number))
        background = self._pick_background(random)
        count = int(random.choice(list(NODULE_COUNTS), p=list(NODULE_COUNTS.values())))
        wanted = [self.wish(random) for _ in range(count if self.shapes else 0)]
        real = real_anchor(background, random)
        anchor = self._anchor(background, wanted, random) if real is None else real
        view = self._view(anchor, random)
        hu = ndimage.affine_transform(
            background.volume.hu,
            view.matrix,
            view.centre - view.matrix @ view.middle,
            output_shape=(self.size,) * 3,
            output=np.float32,
            order=1,
            mode="nearest",
        )
        sites, depths, vessels = self._sites(background, view, random)
        blur = scanner_blur(background, 0.0, self.spacing_mm)
        draw_decoys(
            hu,
            sites,
            spacing_mm=self.spacing_mm,
            blur_voxels=blur,
            noise_hu=background.noise_hu,
            random=random,
        )
        scale = float(np.cbrt(abs(np.linalg.det(view.matrix))))
        placed, beyond = real_nodules(
            background, view.to_patch, scale, size=self.size, spacing_mm=self.spacing_mm
        )
        nodules = list(placed)
        for order, wish in enumerate(wanted):
            centre = view.to_patch(anchor) if order == 0 and real is None else None
            if centre is None:
                fits = fits_site(depths, vessels, wish)
                if not fits.any():
                    continue
                centre = sites.lung[int(random.choice(np.flatnonzero(fits)))]
            if too_near(centre, wish.diameter_mm, nodules, self.spacing_mm):
                continue
            nodules.append(insert_nodule(hu, background, wish, centre, self.spacing_mm, random))
        hu = vary_acquisition(hu, spacing_mm=self.spacing_mm, random=random)
        lesions = background.lesions_kji
        ignored = np.column_stack([view.to_patch(lesions[:, :3]), lesions[:, 3] / scale])
        return Patch(hu=hu, nodules=tuple(nodules), ignored_kji=np.concatenate([ignored, beyond]))

    def _pick_background(self, random: np.random.Generator) -> Background:
        real, simulated = self._real, self._simulated
        use_real = bool(real) and (not simulated or random.random() < REAL_SHARE)
        chosen = real if use_real else simulated
        return self.backgrounds[chosen[int(random.integers(len(chosen)))]]

    def wish(self, random: np.random.Generator) -> WantedNodule:
        """Choose a nodule: size even on a logarithmic scale, then a shape of about that size."""
        low, high = np.log(SMALL_MM if random.random() < SMALL_SHARE else SIZES_MM)
        diameter_mm = float(np.exp(random.uniform(low, high)))
        near = np.abs(np.log(self._diameters / diameter_mm)) < np.log(SCALE_AT_MOST)
        if not near.any():
            near[np.abs(np.log(self._diameters / diameter_mm)).argmin()] = True
        shape = self.shapes[int(random.choice(np.flatnonzero(near)))]
        kind = kind_of(shape)
        draw = random.random()
        for forced, share in FORCED_KINDS.items():
            if draw < share:
                kind = forced
                break
            draw -= share
        site = str(random.choice(list(SITES), p=list(SITES.values())))
        return WantedNodule(shape=shape, diameter_mm=diameter_mm, kind=kind, site=site)

    def _anchor(
        self,
        background: Background,
        wanted: Sequence[WantedNodule],
        random: np.random.Generator,
    ) -> Array:
        """The background's voxel around which the patch is cut."""
        if wanted:
            depths, vessels = background.place_depth_mm, background.place_vessels
            fits = np.flatnonzero(fits_site(depths, vessels, wanted[0]))
            if len(fits):
                return np.asarray(background.places[int(random.choice(fits))], dtype=np.float64)
        mined = self.mistakes.get(background.name)
        if not wanted and mined is not None and len(mined) and random.random() < MINED_SHARE:
            return np.asarray(mined[int(random.integers(len(mined)))], dtype=np.float64)
        places = background.places
        return np.asarray(places[int(random.integers(len(places)))], dtype=np.float64)

    def _view(self, anchor: Array, random: np.random.Generator) -> _View:
        angle = random.uniform(-np.pi / 12, np.pi / 12) + np.pi / 2 * random.integers(4)
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        flips = np.diag(random.choice([-1.0, 1.0], size=3))
        scale = float(np.exp(random.uniform(np.log(0.85), np.log(1.2))))
        margin = self.size * 0.16
        middle = random.uniform(margin, self.size - 1 - margin, size=3)
        return _View(matrix=turn @ flips * scale, middle=middle, centre=anchor)

    def _sites(
        self, background: Background, view: _View, random: np.random.Generator
    ) -> tuple[PatchSites, Array, Array]:
        """Places of the background that lie in the patch, with depth and share of vessels."""
        some = random.integers(len(background.places), size=4000)
        points = view.to_patch(background.places[some].astype(np.float64))
        inside = ((points > 3) & (points < self.size - 4)).all(axis=1)
        some, points = some[inside][:200], points[inside][:200]
        depths = background.place_depth_mm[some].astype(np.float64)
        wall = np.flatnonzero(depths < 3.5)[:40]
        normals = np.array([_normal(background, background.places[n]) for n in some[wall]])
        normals = normals.reshape(-1, 3) @ np.linalg.inv(view.matrix).T
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
        borders = points[wall] - normals * depths[wall, None] / self.spacing_mm
        sites = PatchSites(lung=points, wall=borders, wall_normals=normals)
        return sites, depths, background.place_vessels[some].astype(np.float64)


def _normal(background: Background, place: NDArray[np.int32]) -> Array:
    """Direction in which the lung gets deeper, voxels of the background."""
    depth = background.depth_mm
    at = np.clip(place // DEPTH_STEP, 1, np.array(depth.shape) - 2)
    slope = np.zeros(3)
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        slope[axis] = float(depth[tuple(at + step)]) - float(depth[tuple(at - step)])
    return slope / max(float(np.linalg.norm(slope)), 1e-6)
