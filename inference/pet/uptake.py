"""A nodule's uptake: SUVmax, SUVpeak, metabolic volume and total lesion glycolysis.

Definitions as in the EANM guidelines for tumour imaging with FDG PET/CT (Boellaard et al., Eur J
Nucl Med Mol Imaging 2015;42:328) and PERCIST (Wahl et al., J Nucl Med 2009;50 Suppl 1:122S):

- SUVmax is the highest voxel of the PET in the nodule's region.
- SUVpeak is the highest mean in a sphere of 1 ml around a voxel of the region.
- The metabolic volume (MTV) are the voxels of the region from 41 % of SUVmax on that hang
  together with the highest one; total lesion glycolysis (TLG) is its volume times its mean.

The region is the nodule's outline and what lies within `MARGIN_MM` of it: a PET is taken while the
patient breathes, the CT is not. Where the PET has another frame of reference, each of its voxels is
asked where it lies in the CT (`inference.pet.carry`); the PET itself is never resampled, so that
values and volumes stay what was measured.

Under about 15 mm all values are too low, since the spot is spread over its surroundings (partial
volume effect): `too_small_to_trust`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.findings import VoiMask
from inference.pet.carry import SAME_FRAME, Carry
from inference.pet_values import PetUsed, Uptake
from inference.volume import Volume

MARGIN_MM = 5.0
CARRIED_MARGIN_MM = 6.0
"""Through a registration: 5 mm for breath and 3 mm for what the place may be off, as independent
errors add up (docs/pet.md)."""
MTV_SHARE = 0.41
PEAK_ML = 1.0
PEAK_RADIUS_MM = (3000.0 * PEAK_ML / (4.0 * np.pi)) ** (1 / 3)
PEAK_STEP_MM = 1.5
PARTIAL_VOLUME_MM = 15.0
"""About twice the resolution of a clinical scanner (FWHM 5 to 7 mm)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCt:
    """The CT that was taken with a PET, in its frame of reference."""

    series: str
    """Its Series Instance UID."""
    volume: Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class SuvVolume:
    """SUV on a regular grid.

    Attributes
    ----------
    suv : ndarray of shape (D, H, W), dtype float32
        By body weight, g/ml.
    affine : ndarray of shape (4, 4)
        (k, j, i, 1) of voxel centres to LPS mm, in its own frame of reference.
    used : PetUsed
        Which PET this is.
    lean_fraction : float or None
        SUL is SUV times this.
    own_ct : OwnCt or None
        A CT in its frame of reference; `None` where that frame is the analysed CT's.
    """

    suv: NDArray[np.float32]
    affine: NDArray[np.float64]
    used: PetUsed
    lean_fraction: float | None = None
    own_ct: OwnCt | None = None


def measure_uptake(
    ct: Volume,
    voi: VoiMask,
    pet: SuvVolume,
    *,
    diameter_mm: float,
    carry: Carry = SAME_FRAME,
) -> Uptake | None:
    """Measure a nodule in a PET.

    Parameters
    ----------
    ct : Volume
        In which it was outlined.
    voi : VoiMask
        Its outline.
    pet : SuvVolume
        In any grid.
    diameter_mm : float
        The nodule's mean diameter.
    carry : Carry
        From the CT to the PET, where these have not the same frame of reference.

    Returns
    -------
    Uptake or None
        `None` where the PET does not cover the whole region.
    """
    index, start = _near(ct, voi, pet, carry)
    if index is None or start is None:
        return None
    inside = _within_margin(ct, voi, pet, carry, index)
    if not inside.any():
        return None
    box = tuple(slice(int(a), int(a) + n) for a, n in zip(start, inside.shape, strict=True))
    suv = pet.suv[box]
    masked = np.where(inside, suv, -np.inf)
    hottest = np.unravel_index(int(np.argmax(masked)), masked.shape)
    suv_max = float(suv[hottest])
    hot = inside & (suv >= MTV_SHARE * suv_max)
    parts, _ = ndimage.label(hot, structure=np.ones((3, 3, 3)))
    metabolic = parts == parts[hottest]
    voxel_mm3 = abs(float(np.linalg.det(pet.affine[:3, :3])))
    mtv_mm3 = float(metabolic.sum()) * voxel_mm3
    suv_mean = float(suv[metabolic].mean(dtype=np.float64))
    suv_peak = _peak(pet, np.argwhere(inside) + start)
    return Uptake(
        suv_max=suv_max,
        suv_peak=suv_peak,
        suv_mean=suv_mean,
        mtv_mm3=mtv_mm3,
        tlg=mtv_mm3 / 1000.0 * suv_mean,
        sul_peak=None if pet.lean_fraction is None else suv_peak * pet.lean_fraction,
        too_small_to_trust=diameter_mm < PARTIAL_VOLUME_MM,
    )


def _near(
    ct: Volume, voi: VoiMask, pet: SuvVolume, carry: Carry
) -> tuple[NDArray[np.float64] | None, NDArray[np.int_] | None]:
    """Indices in the PET of the box around the nodule and its margin, and where it begins.

    Returns
    -------
    index : ndarray of shape (d, h, w, 3), or None where the box leaves the PET
    start : ndarray of shape (3,), or None
    """
    low = np.array(voi.origin_kji) - 0.5
    high = low + np.array(voi.mask.shape)
    ends = [(a, (a + b) / 2, b) for a, b in zip(low, high, strict=True)]  # a bent box bulges
    box = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T
    to_pet = np.linalg.inv(pet.affine)
    lps = np.c_[carry.to_pet(ct.index_to_lps(box)), np.ones(len(box))]
    found = (lps @ to_pet.T)[:, :3]
    margin = _margin_mm(carry) / np.linalg.norm(pet.affine[:3, :3], axis=0)
    start = np.floor(found.min(axis=0) - margin).astype(int)
    stop = np.ceil(found.max(axis=0) + margin).astype(int) + 1
    if (start < 0).any() or (stop > np.array(pet.suv.shape)).any():
        return None, None
    axes = [np.arange(a, b, dtype=np.float64) for a, b in zip(start, stop, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1), start


def _within_margin(
    ct: Volume, voi: VoiMask, pet: SuvVolume, carry: Carry, index: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which of the PET's voxel centres lie in the outline or within the margin of it."""
    margin_mm = _margin_mm(carry)
    pad = np.ceil(margin_mm / ct.spacing_mm).astype(int) + 1
    mask = np.pad(voi.mask, [(int(n), int(n)) for n in pad])
    away_mm = ndimage.distance_transform_edt(~mask, sampling=ct.spacing_mm)
    lps = np.c_[index.reshape(-1, 3), np.ones(index[..., 0].size)] @ pet.affine.T
    at = ct.lps_to_index(carry.to_ct(lps[:, :3])) - (np.array(voi.origin_kji) - pad)
    found = ndimage.map_coordinates(
        away_mm.astype(np.float32), at.T, order=1, mode="constant", cval=np.inf
    )
    return np.asarray((found <= margin_mm).reshape(index.shape[:-1]))


def _margin_mm(carry: Carry) -> float:
    return MARGIN_MM if carry.registration is None else CARRIED_MARGIN_MM


def _peak(pet: SuvVolume, places: NDArray[np.int_]) -> float:
    """Highest mean over a sphere of `PEAK_ML` around any of some voxels, interpolated."""
    reach = np.arange(-PEAK_RADIUS_MM, PEAK_RADIUS_MM + PEAK_STEP_MM / 2, PEAK_STEP_MM)
    steps = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[np.linalg.norm(steps, axis=1) <= PEAK_RADIUS_MM]
    offsets = steps @ np.linalg.inv(pet.affine[:3, :3]).T
    best = -np.inf
    for place in places:
        values = ndimage.map_coordinates(
            pet.suv, (place + offsets).T, order=1, mode="nearest", prefilter=False
        )
        best = max(best, float(values.mean(dtype=np.float64)))
    return best
