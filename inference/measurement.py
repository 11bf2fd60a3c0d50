"""A nodule's size and density, measured as radiologists do, unrounded.

Long and short axis lie in the slice of the largest area; the short one is the longest chord
at a right angle to the long one (RECIST 1.1; Lung-RADS v2022). The outline is that of the mask
with its steps smoothed away: the corners of voxels would make a disc up to 0.8 voxels too long.
"""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform
from skimage import measure

from inference.findings import Axis, Measurements, NoduleType, PointLps, VoiMask
from inference.segmentation import Segmented
from inference.thresholds import (
    CALCIFIED_AT_LEAST_HU,
    CALCIFIED_FRACTION,
    GROUND_GLASS_SOLID_FRACTION,
    PART_SOLID_FRACTION,
    SOLID_AT_LEAST_HU,
)
from inference.volume import Volume

CHORDS = 200
SMOOTHING = 0.25
"""Sigma of an outline's smoothing, voxels, per root of the diameter in voxels. Discs and ellipses
(0.7 : 1) of 4 to 30 voxels then keep their length within 0.3 voxels, the two missing it to either
side; more would shorten what is curved strongly (`tests/unit/inference/test_measurement.py`)."""
SMOOTHING_REACH = 4
"""Voxels around a plane, so that nothing is smoothed against its border."""
INNER_VOXELS_AT_LEAST = 12


def classify_type(volume: Volume, voi: VoiMask) -> NoduleType:
    """Solid, part-solid, ground-glass or calcified, by the densities inside.

    The outermost voxels are left out: they are half lung. Where too few remain, part-solid and
    calcified cannot be told.
    """
    hu = voi_hu(volume, voi)
    inner = ndimage.binary_erosion(np.pad(voi.mask, 1))[1:-1, 1:-1, 1:-1]
    if inner.sum() < INNER_VOXELS_AT_LEAST:
        # All border: blur would look like a ground-glass rim, so the densest voxels decide.
        peak = float(np.percentile(hu[voi.mask], 90))
        return "solid" if peak >= SOLID_AT_LEAST_HU else "ground-glass"
    values = hu[inner]
    if float((values >= CALCIFIED_AT_LEAST_HU).mean()) >= CALCIFIED_FRACTION:
        return "calcified"
    solid = float((values >= SOLID_AT_LEAST_HU).mean())
    if solid >= PART_SOLID_FRACTION:
        return "solid"
    return "part-solid" if solid >= GROUND_GLASS_SOLID_FRACTION else "ground-glass"


def checked_type(
    volume: Volume, voi: VoiMask, told: NoduleType, core: VoiMask | None
) -> NoduleType:
    """A type that a network told, where densities and its own core do not speak against it.

    Calcified must have dense voxels, part-solid a core, and ground glass must not be opaque
    throughout; otherwise `classify_type` decides. Between part-solid and ground glass it is the
    core that decides: where the network outlines one and the densities agree, it is part-solid.
    """
    hu = voi_hu(volume, voi)[voi.mask]
    if told == "calcified" and float(np.percentile(hu, 95)) < CALCIFIED_AT_LEAST_HU:
        return classify_type(volume, voi)
    if told == "part-solid" and core is None:
        return "ground-glass"
    if told == "ground-glass" and float(np.median(hu)) >= SOLID_AT_LEAST_HU:
        return classify_type(volume, voi)
    if told == "ground-glass" and core is not None:
        solid = float((hu >= SOLID_AT_LEAST_HU).mean())
        return "part-solid" if solid >= GROUND_GLASS_SOLID_FRACTION else told
    return told


def centre_of(volume: Volume, voi: VoiMask) -> PointLps:
    """Centroid of a mask, LPS mm."""
    index = np.argwhere(voi.mask).mean(axis=0) + voi.origin_kji
    x, y, z = volume.index_to_lps(index)
    return float(x), float(y), float(z)


def measure_segmented(volume: Volume, item: Segmented) -> tuple[NoduleType, Measurements]:
    """Type and size: the type that a segmenter tells, checked by the densities, or by these."""
    nodule_type = (
        classify_type(volume, item.voi)
        if item.type is None
        else checked_type(volume, item.voi, item.type, item.core)
    )
    return nodule_type, measure_nodule(volume, item.voi, nodule_type, item.core)


def measure_nodule(
    volume: Volume, voi: VoiMask, nodule_type: NoduleType, core: VoiMask | None = None
) -> Measurements:
    """Measure a segmented nodule.

    Parameters
    ----------
    volume : Volume
        The CT.
    voi : VoiMask
        At least one voxel.
    nodule_type : NoduleType
        The solid part is measured in part-solid nodules only.
    core : VoiMask, optional
        Their solid part, on the voxels of `voi`'s box; by its density if absent.

    Returns
    -------
    Measurements
        Lengths in mm, indices in the volume's grid.
    """
    hu = voi_hu(volume, voi)
    long_axis, short_axis, contour = _axes(volume, voi)
    solid_mean_mm = solid_mm3 = None
    solid = core
    if nodule_type == "part-solid" and solid is None:
        pieces, _ = ndimage.label(voi.mask & (hu >= SOLID_AT_LEAST_HU))
        largest = pieces == int(np.bincount(pieces.ravel())[1:].argmax()) + 1
        solid = VoiMask(origin_kji=voi.origin_kji, mask=largest)
    if nodule_type == "part-solid" and solid is not None:
        solid_long, solid_short, _ = _axes(volume, solid)
        solid_mean_mm = (solid_long.length_mm + solid_short.length_mm) / 2
        solid_mm3 = float(solid.mask.sum()) * volume.voxel_volume_mm3
    return Measurements(
        long_axis=long_axis,
        short_axis=short_axis,
        contour_ji=contour,
        mean_diameter_mm=(long_axis.length_mm + short_axis.length_mm) / 2,
        max_3d_diameter_mm=_largest_diameter_mm(volume, voi),
        volume_mm3=float(voi.mask.sum()) * volume.voxel_volume_mm3,
        mean_hu=float(hu[voi.mask].mean()),
        solid_mean_diameter_mm=solid_mean_mm,
        solid_volume_mm3=solid_mm3,
    )


def voi_hu(volume: Volume, voi: VoiMask) -> NDArray[np.int16]:
    """The densities in a mask's box; a view of shape (D, H, W)."""
    (k, j, i), (depth, height, width) = voi.origin_kji, voi.mask.shape
    return volume.hu[k : k + depth, j : j + height, i : i + width]


def _outline(plane: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The longest closed outline of a 2-D mask, (N, 2), in voxels; smooth, see `SMOOTHING`."""
    padded = np.pad(plane, SMOOTHING_REACH).astype(np.float64)
    diameter = 2 * float(np.sqrt(plane.sum() / np.pi))
    smooth = ndimage.gaussian_filter(padded, SMOOTHING * np.sqrt(diameter))
    # What is a voxel or two wide may vanish; its own steps are then all that is known of it.
    contours = measure.find_contours(smooth, 0.5) or measure.find_contours(padded, 0.5)
    longest = max(contours, key=len)
    return np.asarray(longest - float(SMOOTHING_REACH))


def _axes(volume: Volume, voi: VoiMask) -> tuple[Axis, Axis, NDArray[np.float64]]:
    k = int(voi.mask.sum(axis=(1, 2)).argmax())
    outline = _outline(voi.mask[k])
    spacing = volume.spacing_mm[1:]
    points = outline * spacing
    distances = squareform(pdist(points))
    a, b = np.unravel_index(int(distances.argmax()), distances.shape)
    start, end = points[a], points[b]
    short = _widest_chord(points, start, end)
    offset = np.array(voi.origin_kji[1:], dtype=np.float64)

    def axis(first: NDArray[np.float64], last: NDArray[np.float64]) -> Axis:
        j0, i0 = first / spacing + offset
        j1, i1 = last / spacing + offset
        return Axis(
            k=voi.origin_kji[0] + k,
            start_ji=(float(j0), float(i0)),
            end_ji=(float(j1), float(i1)),
            length_mm=float(np.linalg.norm(last - first)),
        )

    return axis(start, end), axis(*short), outline + offset


def _widest_chord(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The longest chord of a closed outline at a right angle to the line start-end, mm."""
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length if length > 0 else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    t, u = (points - start) @ along, (points - start) @ across
    t_next, u_next = np.roll(t, -1), np.roll(u, -1)
    best = (0.0, 0.0, 0.0, 0.0)
    # Chords between whole fractions of the axis, and through its middle.
    for at in np.linspace(0.0, length, CHORDS + 1)[1:-1]:
        crosses = (t <= at) != (t_next <= at)
        if crosses.sum() < 2:
            continue
        fraction = (at - t[crosses]) / (t_next[crosses] - t[crosses])
        heights = np.sort(u[crosses] + fraction * (u_next[crosses] - u[crosses]))
        # Neighbouring pairs bound the inside; a concave outline has several.
        lows, highs = heights[0::2], heights[1::2]
        widths = highs[: len(lows)] - lows[: len(highs)]
        widest = int(widths.argmax())
        if widths[widest] > best[0]:
            best = (float(widths[widest]), float(at), float(lows[widest]), float(highs[widest]))
    _, at, low, high = best
    foot = start + at * along
    return foot + low * across, foot + high * across


def _largest_diameter_mm(volume: Volume, voi: VoiMask) -> float:
    """Largest distance between two points of the slices' outlines, mm."""
    points = []
    for k, plane in enumerate(voi.mask):
        if plane.any():
            outline = _outline(plane)
            points.append(np.column_stack([np.full(len(outline), float(k)), outline]))
    cloud = np.concatenate(points) @ np.diag(volume.spacing_mm)
    with contextlib.suppress(QhullError):  # a single slice has no hull: take its outline
        cloud = cloud[ConvexHull(cloud).vertices]
    return float(pdist(cloud).max())
