"""Training samples of the cube network: a cube around a candidate, right or wrong.

The same seed and number give the same sample, whatever came before: training resumes exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.findings import NoduleType
from inference.models.voi_network import VoiNetworkConfig
from inference.training.appearance import Array, Image
from inference.training.decoys import PatchSites, draw_decoys
from inference.training.insertion import PLANE_BLUR_MM, WantedNodule, fits_site
from inference.training.shapes import NoduleShape
from inference.training.voi_backgrounds import VoiBackground
from inference.training.voi_frames import (
    SLICES_MM,
    Frame,
    as_scanned,
    cut_background,
    make_frame,
    pick_background,
)
from inference.training.voi_nodules import (
    DrawnNodule,
    put_nodule,
    smooth_shapes,
    wish_nodule,
)

NODULE_SHARE = 0.62
TRIES = 6
EXACT_SHARE = 0.4
"""Of the candidates lie right, as in the second look at a nodule."""
OFF_AT_MOST, OFF_AT_MOST_MM = 0.35, 4.0
"""A candidate's centre is off by so much of the diameter, and by so many mm."""
WRONG_SIZE = (0.6, 1.6)
DECOYS_SHARE = 0.5
NEGATIVES = {"mistake": 0.35, "decoy": 0.3, "tissue": 0.23, "lung": 0.12}
NEGATIVE_SIZES_MM = (4.0, 25.0)
SOFT_SLOPE = 1.5
"""Of the soft target around the outline: truth is known better than to a voxel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiSample:
    """A cube and what should be said of it.

    Attributes
    ----------
    hu : ndarray of shape (S, S, S), dtype float32
        HU.
    spacing_mm, slice_spacing_mm : float
        Voxel size; slice spacing of the scan that it comes from.
    mask, core : ndarray of shape (S, S, S), dtype float32
        Soft, 0 to 1, the outline at 0.5; zero where there is no nodule.
    nodule : bool
        Whether there is one at the candidate.
    kind : NoduleType or None
        `None` where it cannot be told.
    diameter_mm : float
        Of the ball of the mask's volume, 0 without a nodule.
    candidate_mm : float
        What the candidate's diameter is taken for.
    site : str
        Of the nodule, or what the candidate is instead.
    """

    hu: Image
    spacing_mm: float
    slice_spacing_mm: float
    mask: Image
    core: Image
    nodule: bool
    kind: NoduleType | None
    diameter_mm: float
    candidate_mm: float
    site: str


@dataclass(slots=True, kw_only=True)
class SampleMaker:
    """Makes samples from shapes and backgrounds.

    Raises
    ------
    ValueError
        Without shapes or backgrounds.
    """

    shapes: Sequence[NoduleShape]
    backgrounds: Sequence[VoiBackground]
    config: VoiNetworkConfig
    seed: int = 0
    slices_mm: tuple[float, float] = SLICES_MM
    _diameters: Array = field(init=False)
    _smooth: list[NoduleShape] = field(init=False)

    def __post_init__(self) -> None:
        """Refuse to make samples from nothing."""
        if not self.shapes or not self.backgrounds:
            raise ValueError("samples need at least one nodule shape and one background")
        self._diameters = np.array([shape.diameter_mm for shape in self.shapes])
        self._smooth = smooth_shapes(np.random.default_rng(5))

    def make(self, number: int) -> VoiSample:
        """The sample of a number."""
        random = np.random.default_rng((self.seed, 31, number))
        if random.random() < NODULE_SHARE:
            for _ in range(TRIES):
                sample = self._with_nodule(random)
                if sample is not None:
                    return sample
        return self._without_nodule(random)

    def _with_nodule(self, random: np.random.Generator) -> VoiSample | None:
        background = pick_background(self.backgrounds, random)
        wanted = wish_nodule(self.shapes, self._diameters, self._smooth, random)
        coarse = background.coarse
        fits = np.flatnonzero(fits_site(coarse.place_depth_mm, coarse.place_vessels, wanted))
        if not len(fits):
            return None
        place = coarse.places[int(random.choice(fits))].astype(np.float64)
        off, factor = _candidate_error(wanted.diameter_mm, random)
        frame = self._frame(
            background,
            coarse.volume.index_to_lps(place),
            wanted.diameter_mm * factor,
            off,
            wanted.diameter_mm,
            random,
        )
        hu = cut_background(frame)
        centre = frame.middle
        self._add_decoys(hu, frame, _around(centre, wanted, frame.spacing_mm, random), random)
        drawn = put_nodule(
            hu,
            wanted,
            centre,
            frame.spacing_mm,
            frame.slicing,
            coarse.noise_hu,
            random,
        )
        if drawn is None:
            return None
        return self._finish(hu, frame, drawn, wanted.site, random)

    def _without_nodule(self, random: np.random.Generator) -> VoiSample:
        background = pick_background(self.backgrounds, random)
        sort = str(random.choice(list(NEGATIVES), p=list(NEGATIVES.values())))
        if sort == "mistake" and not len(background.mistakes):
            sort = "decoy"
        if sort == "tissue" and not len(background.tissue_lps_mm):
            sort = "lung"
        low, high = np.log(NEGATIVE_SIZES_MM)
        diameter_mm = float(np.exp(random.uniform(low, high)))
        if sort == "mistake":
            row = background.mistakes[int(random.integers(len(background.mistakes)))]
            point, diameter_mm = row[:3], float(row[3]) * float(random.uniform(0.7, 1.4))
        elif sort == "tissue":
            tissue = background.tissue_lps_mm
            point = tissue[int(random.integers(len(tissue)))]
        else:
            places = background.coarse.places
            index = places[int(random.integers(len(places)))].astype(np.float64)
            point = background.coarse.volume.index_to_lps(index)
        off = random.normal(0, 1.0, 3)
        frame = self._frame(background, point, diameter_mm, off, diameter_mm, random)
        hu = cut_background(frame)
        if sort == "decoy":
            self._add_decoys(hu, frame, frame.middle[None], random, always=True)
        else:
            self._add_decoys(hu, frame, np.zeros((0, 3)), random)
        return self._finish(hu, frame, None, sort, random)

    def _frame(
        self,
        background: VoiBackground,
        point_lps_mm: Array,
        candidate_mm: float,
        off_mm: Array,
        diameter_mm: float,
        random: np.random.Generator,
    ) -> Frame:
        """A cube whose own middle is the candidate, `off_mm` away from the point."""
        return make_frame(
            background,
            point_lps_mm,
            candidate_mm,
            off_mm,
            diameter_mm,
            config=self.config,
            slices_mm=self.slices_mm,
            random=random,
        )

    def _add_decoys(
        self,
        hu: Image,
        frame: Frame,
        near: Array,
        random: np.random.Generator,
        *,
        always: bool = False,
    ) -> None:
        """Vessels, scars, plaques and fissures at `near` (N, 3), or anywhere in the cube's lung."""
        if not always and not len(near) and random.random() >= DECOYS_SHARE:
            return
        points = near
        if not len(near):
            points = np.argwhere(hu < -650).astype(np.float64)
            if not len(points):
                return
            points = points[random.integers(len(points), size=60)]
        wall, normals = np.zeros((0, 3)), np.zeros((0, 3))
        if always:
            wall, normals = _wall_at(hu, frame.middle)
        plane = PLANE_BLUR_MM / frame.spacing_mm
        draw_decoys(
            hu,
            PatchSites(lung=points, wall=wall, wall_normals=normals),
            spacing_mm=frame.spacing_mm,
            blur_voxels=(0.3 * frame.thickness_mm / frame.spacing_mm, plane, plane),
            noise_hu=frame.background.coarse.noise_hu,
            random=random,
        )

    def _finish(
        self,
        hu: Image,
        frame: Frame,
        drawn: DrawnNodule | None,
        site: str,
        random: np.random.Generator,
    ) -> VoiSample:
        """Noise of the slices, another scanner's kernel and calibration, and soft targets."""
        hu = as_scanned(hu, frame, random)
        empty = np.zeros_like(hu)
        mask = _soft(drawn.share) if drawn else empty
        count = float((mask >= 0.5).sum())
        return VoiSample(
            hu=hu,
            spacing_mm=frame.spacing_mm,
            slice_spacing_mm=frame.gap_mm,
            mask=mask,
            core=_soft(drawn.core) if drawn else empty,
            nodule=drawn is not None,
            kind=drawn.kind if drawn else None,
            diameter_mm=float((6 * count / np.pi) ** (1 / 3)) * frame.spacing_mm,
            candidate_mm=frame.candidate_mm,
            site=site,
        )


def _soft(share: Image) -> Image:
    return np.asarray(np.clip((share - 0.5) * SOFT_SLOPE + 0.5, 0, 1), dtype=np.float32)


def _candidate_error(diameter_mm: float, random: np.random.Generator) -> tuple[Array, float]:
    """How a detector errs: where the nodule lies from the candidate, mm, and its size's factor."""
    direction = random.normal(size=3)
    direction /= np.linalg.norm(direction)
    reach = min(OFF_AT_MOST * diameter_mm, OFF_AT_MOST_MM)
    if random.random() < EXACT_SHARE:
        return direction * random.uniform(0, 0.2) * reach, float(random.uniform(0.92, 1.08))
    factor = float(np.exp(random.uniform(*np.log(WRONG_SIZE))))
    return direction * random.uniform(0, 1) * reach, factor


def _around(
    centre: Array, wanted: WantedNodule, spacing_mm: float, random: np.random.Generator
) -> Array:
    """For a nodule at a vessel: places at its surface for vessels to pass; otherwise none."""
    if wanted.site != "juxtavascular" or random.random() < 0.3:
        return np.zeros((0, 3))
    directions = random.normal(size=(6, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(centre + directions * 0.45 * wanted.diameter_mm / spacing_mm)


def _wall_at(hu: Image, middle: Array) -> tuple[Array, Array]:
    """Where the nearest wall lies from the middle, and its normal into the lung; (N, 3) each."""
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(hu, 2.0, truncate=2.0)
    walls = np.argwhere((smooth > -500) & (smooth < -300))
    if not len(walls):
        return np.zeros((0, 3)), np.zeros((0, 3))
    at = walls[int(np.linalg.norm(walls - middle, axis=1).argmin())]
    at = np.clip(at, 1, np.array(hu.shape) - 2)
    steps = np.eye(3, dtype=int)
    normal = np.array([float(smooth[tuple(at - s)] - smooth[tuple(at + s)]) for s in steps])
    length = float(np.linalg.norm(normal))
    if length < 1e-6:
        return np.zeros((0, 3)), np.zeros((0, 3))
    return at[None].astype(np.float64), (normal / length)[None]
