"""Where a cube lies in a CT, what it shows of it, and how another scanner would have shown it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from inference.models.voi_network import VoiNetworkConfig
from inference.training.acquisition import AcquisitionRange, vary_acquisition
from inference.training.appearance import Array, Image
from inference.training.noise import smooth_noise
from inference.training.slices import along_slices, slice_matrices
from inference.training.voi_backgrounds import VoiBackground
from inference.training.voi_nodules import Slicing
from inference.voi import cube_spacing_mm

REAL_SHARE = 0.65
SLICES_MM = (0.6, 5.0)
OVERLAP_SHARE = 0.25
NOISE_HU_AT_MOST = 40.0
WITHOUT_SLICES = AcquisitionRange(slice_blur_mm=0.3, noise_hu=12.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where a cube lies: its own voxel p -> the fine CT's index ``matrix @ (p - middle) + at``."""

    background: VoiBackground
    at: Array
    middle: Array
    matrix: Array
    spacing_mm: float
    candidate_mm: float
    thickness_mm: float
    gap_mm: float
    slicing: Slicing


def pick_background(
    backgrounds: Sequence[VoiBackground], random: np.random.Generator
) -> VoiBackground:
    """One of them; a real one with `REAL_SHARE` where there are both sorts."""
    real = [item for item in backgrounds if item.coarse.real]
    simulated = [item for item in backgrounds if not item.coarse.real]
    use_real = bool(real) and (not simulated or random.random() < REAL_SHARE)
    chosen = real if use_real else simulated
    return chosen[int(random.integers(len(chosen)))]


def make_frame(
    background: VoiBackground,
    point_lps_mm: Array,
    candidate_mm: float,
    off_mm: Array,
    diameter_mm: float,
    *,
    config: VoiNetworkConfig,
    slices_mm: tuple[float, float],
    random: np.random.Generator,
) -> Frame:
    """A cube whose own middle is the candidate, `off_mm` away from a point of the CT.

    Parameters
    ----------
    candidate_mm : float
        Decides the voxel size.
    diameter_mm : float
        Of the nodule: small ones are not put into thick slices.
    slices_mm : (float, float)
        Bounds of the slice thickness.
    """
    spacing_mm = cube_spacing_mm(candidate_mm, config)
    angle = random.uniform(-np.pi / 12, np.pi / 12) + np.pi / 2 * random.integers(4)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    flips = np.diag(random.choice([-1.0, 1.0], size=3))
    scale = float(np.exp(random.uniform(np.log(0.85), np.log(1.2))))
    fine = background.fine
    matrix = np.diag(1 / fine.spacing_mm) @ turn @ flips * (scale * spacing_mm)
    thickness_mm = _thickness_mm(diameter_mm, slices_mm, random)
    overlap = 0.5 if random.random() < OVERLAP_SHARE else 1.0
    gap_mm = max(thickness_mm * overlap, slices_mm[0])
    average, interpolate = slice_matrices(
        config.side,
        spacing_mm=spacing_mm,
        thickness_mm=thickness_mm,
        gap_mm=gap_mm,
        phase=float(random.uniform(0, 1)),
    )
    return Frame(
        background=background,
        at=fine.lps_to_index(point_lps_mm),
        middle=(config.side - 1) / 2 + off_mm / spacing_mm,
        matrix=matrix,
        spacing_mm=spacing_mm,
        candidate_mm=candidate_mm,
        thickness_mm=thickness_mm,
        gap_mm=gap_mm,
        slicing=Slicing(average=average, interpolate=interpolate),
    )


def _thickness_mm(
    diameter_mm: float, slices_mm: tuple[float, float], random: np.random.Generator
) -> float:
    """Slice thickness; small nodules cannot be seen in thick slices."""
    low, high = slices_mm
    most = max(low, min(high, max(1.5, 0.5 * diameter_mm)))
    return float(np.exp(random.uniform(np.log(low), np.log(most))))


def cut_background(frame: Frame) -> Image:
    """The background's densities in a cube."""
    fine = frame.background.fine
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * (2 * frame.middle.max())
    reach = (corners - frame.middle) @ frame.matrix.T + frame.at
    low = np.clip(np.floor(reach.min(axis=0)).astype(int) - 1, 0, np.array(fine.shape) - 1)
    high = np.clip(np.ceil(reach.max(axis=0)).astype(int) + 2, low + 1, fine.shape)
    box = fine.hu[low[0] : high[0], low[1] : high[1], low[2] : high[2]].astype(np.float32)
    side = frame.slicing.average.shape[1]
    cut = ndimage.affine_transform(
        box,
        frame.matrix,
        frame.at - frame.matrix @ frame.middle - low,
        output_shape=(side,) * 3,
        order=1,
        mode="nearest",
    )
    return np.asarray(cut, dtype=np.float32)


def as_scanned(hu: Image, frame: Frame, random: np.random.Generator) -> Image:
    """Noise of the slices, and another scanner's kernel and calibration."""
    if frame.thickness_mm > frame.background.coarse.slice_thickness_mm:
        hu = frame.slicing.seen(hu)
    slices = frame.slicing.interpolate.shape[1]
    width = float(random.choice([0.4, 0.6, 0.9]))
    noise = smooth_noise((slices, *hu.shape[1:]), (0.0, width, width), random)
    deviation = random.uniform(0, 1) ** 2 * NOISE_HU_AT_MOST
    hu = hu + along_slices(frame.slicing.interpolate, noise) * np.float32(deviation)
    return vary_acquisition(hu, spacing_mm=frame.spacing_mm, random=random, limits=WITHOUT_SLICES)
