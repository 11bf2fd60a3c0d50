"""A square window on a plane of the patient: where a picture looks, and what it sees there.

Planes are laid in the patient, not in the array, so that slice spacing, gantry tilt and the
order of slices cannot bend the picture: a millimetre is as long in every direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from inference.findings import VoiMask
from inference.volume import Volume

Plane = Literal["axial", "coronal", "sagittal"]
OUTSIDE_HU = -1350
"""Drawn where the volume ends: black in the lung window, which air is not."""
LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))
"""Towards + and - of the LPS axes (PS3.3 C.7.6.1.1.1)."""
NAMED_FROM = float(np.sin(np.radians(15.0)))
"""Share of an edge's direction from which a letter stands for it: a head rest's tilt of a few
degrees does not turn ``H`` into ``HA``."""
FINEST_SAMPLE_MM = 0.2
SAMPLES = (64, 512)
"""Fewest and most along a side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A square of the patient.

    Attributes
    ----------
    plane : {'axial', 'coronal', 'sagittal'}
        Its name.
    centre_lps_mm : ndarray of shape (3,)
        Point in the middle.
    right, down : ndarray of shape (3,)
        Unit LPS vectors along the picture's rows and columns.
    extent_mm : float
        Length of a side.
    """

    plane: Plane
    centre_lps_mm: NDArray[np.float64]
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    extent_mm: float

    def to_picture(self, points_lps_mm: ArrayLike, side_px: int) -> NDArray[np.float64]:
        """Where points of the patient lie in the picture.

        Parameters
        ----------
        points_lps_mm : array_like of shape (..., 3)
            LPS mm; what lies before or behind the plane is projected onto it.
        side_px : int
            Pixels of a side.

        Returns
        -------
        ndarray of shape (..., 2)
            ``(x, y)`` from the top left corner; a pixel's centre is at ``.5``.
        """
        away = np.asarray(points_lps_mm, dtype=np.float64) - self.centre_lps_mm
        flat = np.stack([away @ self.right, away @ self.down], axis=-1)
        return np.asarray((flat / self.extent_mm + 0.5) * side_px)

    def points(self, side: int) -> NDArray[np.float64]:
        """Centres of `side` x `side` equal squares, shape (side, side, 3), LPS mm."""
        steps = ((np.arange(side) + 0.5) / side - 0.5) * self.extent_mm
        return np.asarray(
            self.centre_lps_mm
            + steps[:, None, None] * self.down
            + steps[None, :, None] * self.right
        )

    def samples(self, volume: Volume) -> int:
        """How many samples of a side to take: two per voxel where that is not too many."""
        finest_mm = max(float(volume.spacing_mm.min()) / 2, FINEST_SAMPLE_MM)
        return int(np.clip(np.ceil(self.extent_mm / finest_mm), *SAMPLES))

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What the left, right, top and bottom edges point to, as ``A``, ``HL`` ..."""
        return (
            edge_letters(-self.right),
            edge_letters(self.right),
            edge_letters(-self.down),
            edge_letters(self.down),
        )


def edge_letters(direction: NDArray[np.float64]) -> str:
    """Letters of a direction, the largest share first (Patient Orientation, PS3.3 C.7.6.1.1.1)."""
    shares = sorted(zip(np.abs(direction), direction, LETTERS, strict=True), key=lambda s: -s[0])
    return "".join(
        pair[0] if value > 0 else pair[1] for share, value, pair in shares if share >= NAMED_FROM
    )


def make_views(
    volume: Volume, point_lps_mm: ArrayLike, extent_mm: float
) -> tuple[View, View, View]:
    """Axial, coronal and sagittal view through a point.

    The axial one shows a slice as it is stored. The others stand upright: head at the top,
    the patient's right or front at the left.

    Parameters
    ----------
    volume : Volume
        Of axial slices, whatever their rotation and order.
    point_lps_mm : array_like of shape (3,)
        Middle of all three.
    extent_mm : float
        Length of a side, mm.
    """
    point = np.asarray(point_lps_mm, dtype=np.float64)
    along_columns, along_rows = volume.direction[:, 1], volume.direction[:, 2]
    normal = np.cross(along_rows, along_columns)
    up = normal * (1.0 if normal[2] > 0 else -1.0)
    if abs(along_rows[0]) >= abs(along_columns[0]):
        across, through = along_rows, along_columns
    else:
        across, through = along_columns, along_rows

    def view(plane: Plane, right: NDArray[np.float64], down: NDArray[np.float64]) -> View:
        return View(plane=plane, centre_lps_mm=point, right=right, down=down, extent_mm=extent_mm)

    return (
        view("axial", along_rows, along_columns),
        view("coronal", across * (1.0 if across[0] > 0 else -1.0), -up),
        view("sagittal", through * (1.0 if through[1] > 0 else -1.0), -up),
    )


def whole_slice(volume: Volume, k: int) -> View:
    """A whole slice as it is stored, in the smallest square that holds it."""
    _, height, width = volume.shape
    centre = volume.index_to_lps([k, (height - 1) / 2, (width - 1) / 2])
    return View(
        plane="axial",
        centre_lps_mm=centre,
        right=volume.direction[:, 2],
        down=volume.direction[:, 1],
        extent_mm=float(max(height * volume.spacing_mm[1], width * volume.spacing_mm[2])),
    )


def whole_volume(volume: Volume) -> tuple[View, View, View]:
    """The three planes through the middle of a volume, in squares that hold all of it."""
    extents_mm = (np.array(volume.shape) - 1) * volume.spacing_mm
    middle = volume.index_to_lps((np.array(volume.shape) - 1) / 2)
    return make_views(volume, middle, float(extents_mm.max()))


def slice_hu(volume: Volume, k: int) -> NDArray[np.int16]:
    """What `whole_slice` shows: the slice's own voxels, filled up to a square; HU."""
    _, height, width = volume.shape
    _, row_mm, column_mm = volume.spacing_mm
    side_mm = max(height * row_mm, width * column_mm)
    short_rows = round(side_mm / row_mm) - height
    short_columns = round(side_mm / column_mm) - width
    return np.pad(
        volume.hu[k],
        [(short // 2, short - short // 2) for short in (short_rows, short_columns)],
        constant_values=OUTSIDE_HU,
    )


def sample_hu(volume: Volume, view: View) -> NDArray[np.float32]:
    """Radiodensity in a view, square, HU, by trilinear interpolation, two samples per voxel."""
    side = view.samples(volume)
    index = np.moveaxis(volume.lps_to_index(view.points(side)), -1, 0)
    seen = ndimage.map_coordinates(
        volume.hu, index, output=np.float32, order=1, mode="grid-constant", cval=OUTSIDE_HU
    )
    return np.asarray(seen, dtype=np.float32)


def sample_mask(volume: Volume, voi: VoiMask, view: View) -> NDArray[np.float32]:
    """Share of a mask in a view, sampled as by `sample_hu`, 0 to 1; its outline is at one half."""
    side = view.samples(volume)
    index = np.moveaxis(volume.lps_to_index(view.points(side)), -1, 0)
    inside = index - np.reshape(np.array(voi.origin_kji, dtype=np.float64), (3, 1, 1))
    seen = ndimage.map_coordinates(
        voi.mask.astype(np.float32), inside, order=1, mode="grid-constant", cval=0.0
    )
    return np.asarray(seen, dtype=np.float32)


def slices_seen(volume: Volume, views: Sequence[View]) -> tuple[int, int]:
    """First and last slice that views show something of."""
    k = np.concatenate([volume.lps_to_index(view.points(2) * 2 - view.centre_lps_mm)[..., 0].ravel()
                        for view in views])  # fmt: skip
    last = volume.shape[0] - 1
    return (
        int(np.clip(np.floor(k.min() + 1e-6), 0, last)),
        int(np.clip(np.ceil(k.max() - 1e-6), 0, last)),
    )


def key_point(volume: Volume, voi: VoiMask, k: int) -> NDArray[np.float64]:
    """The voxel of a nodule in its key slice that lies nearest to the middle; LPS mm.

    The middle itself may lie outside of a nodule that is bent.

    Raises
    ------
    ValueError
        If the nodule has no voxel in slice `k`.
    """
    row = k - voi.origin_kji[0]
    places = np.argwhere(voi.mask[row]) if 0 <= row < len(voi.mask) else np.empty((0, 2))
    if not len(places):
        raise ValueError(f"the nodule has no voxel in slice {k}")
    nearest = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]
    return volume.index_to_lps([k, *(nearest + voi.origin_kji[1:])])
