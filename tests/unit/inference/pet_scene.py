"""One chest twice: the analysed CT; and a PET with a CT of its own, lying, breathing otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from inference.findings import Nodule, VoiMask
from inference.pet.uptake import OwnCt, SuvVolume
from inference.pet_values import PetUsed
from inference.volume import Volume
from tests.unit.inference.moved import bent, bent_back
from tests.unit.inference.report_text.detected import detected

BACKGROUND = 0.5
PET_MM = 4.0
FADING_MM = 3.0
LOW_DOSE_HU = 60.0
"""Noise, standard deviation, of a CT for attenuation correction."""
MOTION = np.eye(4)
MOTION[:3, :3] = Rotation.from_euler("xyz", (3.0, -2.0, 4.0), degrees=True).as_matrix()
MOTION[:3, 3] = (30.0, -20.0, 400.0)
"""From the analysed CT's frame of reference to the PET's."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Spot:
    """A hot place, in the analysed CT."""

    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float
    suv: float


def outlined(ct: Volume, spot: Spot, number: int) -> Nodule:
    """A nodule whose outline is the ball of a spot."""
    centre = ct.lps_to_index(np.array(spot.centre_lps_mm))
    reach = np.ceil(spot.diameter_mm / 2 / ct.spacing_mm).astype(int) + 1
    low = np.rint(centre).astype(int) - reach
    index = np.stack(np.indices(2 * reach + 1), axis=-1) + low
    away = np.linalg.norm(ct.index_to_lps(index) - np.array(spot.centre_lps_mm), axis=-1)
    origin = (int(low[0]), int(low[1]), int(low[2]))
    voi = VoiMask(origin_kji=origin, mask=away <= spot.diameter_mm / 2)
    nodule = detected(number, long_mm=spot.diameter_mm)
    return replace(nodule, centre_lps_mm=spot.centre_lps_mm, voi=voi)


def low_dose(volume: Volume, *, thick: int = 1, seed: int = 7) -> Volume:
    """The CT with much noise, and slices that show the mean of `thick` (odd) of its own."""
    hu = ndimage.uniform_filter1d(volume.hu.astype(np.float32), thick, axis=0)
    hu += np.random.default_rng(seed).normal(0.0, LOW_DOSE_HU, hu.shape)
    return Volume(hu=np.rint(np.clip(hu, -1024, 3071)).astype(np.int16), affine=volume.affine)


def in_pets_frame(volume: Volume) -> Volume:
    """The same patient, lying otherwise."""
    return Volume(hu=volume.hu, affine=MOTION @ volume.affine)


def to_source(ct: Volume, *, breath: float) -> Callable[[Points], Points]:
    """From the PET's frame to where points (N, 3) lie in the analysed CT; `breath` times bent."""
    middle = ct.index_to_lps((np.array(ct.shape) - 1) / 2)
    back = np.linalg.inv(MOTION)

    def source(points: Points) -> Points:
        straight = points @ back[:3, :3].T + back[:3, 3]
        return bent_back(straight, middle, breath) if breath else straight

    return source


def with_own_ct(ct: Volume, *, breath: float, thick: int = 1) -> Volume:
    """The CT that was taken with the PET."""
    return in_pets_frame(low_dose(bent(ct, breath) if breath else ct, thick=thick))


def pet_of(spots: Sequence[Spot], own_ct: Volume, source: Callable[[Points], Points]) -> SuvVolume:
    """The PET of some spots, each a ball that fades at its edge, on a grid over `own_ct`."""
    ends = np.array(np.meshgrid(*((0, n - 1) for n in own_ct.shape))).reshape(3, -1).T
    corners = own_ct.index_to_lps(ends)
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = tuple(int(n) for n in np.ceil((high - low) / PET_MM)[::-1] + 1)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = PET_MM
    affine[:3, 3], affine[3, 3] = low, 1.0
    index = np.stack(np.indices(shape), axis=-1).reshape(-1, 3)
    lies = source(index @ affine[:3, :3].T + affine[:3, 3])
    suv = np.full(len(lies), BACKGROUND, dtype=np.float32)
    for spot in spots:
        away = np.linalg.norm(lies - np.array(spot.centre_lps_mm), axis=1)
        beyond = np.maximum(away - spot.diameter_mm / 2, 0) / FADING_MM
        suv += (spot.suv - BACKGROUND) * np.exp(-0.5 * beyond**2).astype(np.float32)
    return SuvVolume(
        suv=suv.reshape(shape),
        affine=affine,
        used=PetUsed(series="1.2.3", how="a test"),
        own_ct=OwnCt(series="1.2.4", volume=own_ct),
    )
