"""The same patient at another day: lying otherwise, breathing otherwise, another grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from inference.phantom import Phantom, PhantomSpec, make_phantom
from inference.volume import Volume


def lying_otherwise(
    spec: PhantomSpec,
    *,
    turned_deg: tuple[float, float, float],
    shift_mm: tuple[float, float, float],
) -> tuple[Phantom, NDArray[np.float64]]:
    """A phantom whose patient lies turned and shifted in a grid along L, P, S.

    Returns
    -------
    phantom : Phantom
        Its truth is in the coordinates of the patient before he was moved.
    motion : ndarray of shape (4, 4)
        From these to LPS mm of the volume.
    """
    phantom = make_phantom(replace(spec, rotation_deg=turned_deg))
    turn = Rotation.from_euler("xyz", turned_deg, degrees=True).as_matrix()
    motion = np.eye(4)
    motion[:3, :3] = turn.T
    motion[:3, 3] = shift_mm
    volume = Volume(hu=phantom.volume.hu, affine=motion @ phantom.volume.affine)
    return Phantom(volume=volume, truth=phantom.truth), motion


def moved(motion: NDArray[np.float64], point: list[float]) -> NDArray[np.float64]:
    """A point after a motion, shape (3,), LPS mm."""
    return np.asarray(motion[:3, :3] @ np.array(point) + motion[:3, 3])


def halved(volume: Volume) -> Volume:
    """Two by two pixels made one: a quarter of the data, and a CT that is still read well."""
    depth, height, width = volume.shape
    even = volume.hu[:, : height // 2 * 2, : width // 2 * 2].astype(np.float32)
    blocks = even.reshape(depth, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    affine = volume.affine.copy()
    affine[:3, 1:3] *= 2
    affine[:3, 3] = volume.index_to_lps((0.0, 0.5, 0.5))
    return Volume(hu=np.rint(blocks).astype(np.int16), affine=affine)


WAVES = (
    # (direction of the shift, direction of the wave, its length mm, shift mm)
    ((0.0, 0.0, 1.0), (0.0, 0.3, 1.0), 260.0, 6.0),
    ((0.0, 1.0, 0.0), (1.0, 0.0, 0.5), 200.0, 4.0),
    ((1.0, 0.0, 0.0), (0.2, 1.0, 0.3), 180.0, 3.0),
)


def bent_back(
    points_lps_mm: NDArray[np.float64], middle: NDArray[np.float64], times: float = 1.0
) -> NDArray[np.float64]:
    """Where points (N, 3) of a bent CT came from: up to about 8 mm away (`times`), smoothly."""
    from_middle = points_lps_mm - middle
    source = points_lps_mm.copy()
    for shift, wave, length_mm, most_mm in WAVES:
        along = from_middle @ (np.array(wave) / np.linalg.norm(wave))
        source += times * most_mm * np.sin(2 * np.pi * along / length_mm)[:, None] * np.array(shift)
    return source


def bent(volume: Volume, times: float = 1.0) -> Volume:
    """The CT of the same chest, bent by `bent_back`, on the same grid."""
    middle = volume.index_to_lps((np.array(volume.shape) - 1) / 2)
    hu = np.empty(volume.shape, dtype=np.int16)
    j, i = np.meshgrid(*(np.arange(n) for n in volume.shape[1:]), indexing="ij")
    for k in range(volume.shape[0]):
        index = np.stack([np.full(j.shape, k), j, i], axis=-1).reshape(-1, 3)
        source = volume.lps_to_index(bent_back(volume.index_to_lps(index), middle, times))
        low = np.clip(int(source[:, 0].min()) - 1, 0, volume.shape[0] - 1)
        high = np.clip(int(source[:, 0].max()) + 3, low + 1, volume.shape[0])
        plane = ndimage.map_coordinates(
            volume.hu[low:high].astype(np.float32),
            (source - (low, 0, 0)).T,
            order=1,
            mode="nearest",
        )
        hu[k] = np.rint(plane).reshape(j.shape)
    return Volume(hu=hu, affine=volume.affine)
