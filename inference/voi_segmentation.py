"""The trained segmenter: a network looks at a cube around a candidate, then once more.

The network's voxel probabilities are brought onto the volume's own grid and cut at one half; the
part at the candidate is kept. Where the first look says that place or size were off, or the
outline comes near the cube's border, a second one is taken at the nodule that was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.backend import Backend, run_in_portions
from inference.findings import Candidate, NoduleType, VoiMask
from inference.lungs import LungMask
from inference.models.voi_network import (
    CORE,
    FIRST_TYPE,
    MASK,
    NODULE,
    TYPES,
    VoiNetworkConfig,
)
from inference.resample import crop
from inference.segmentation import (
    EXPOSED_SLACK_HU,
    Combination,
    Segmented,
    describe_outline,
)
from inference.thresholds import LUNG_AT_MOST_HU
from inference.voi import Cube, cube_spacing_mm, cut_cube, onto_volume, to_channels, touches_border
from inference.volume import Volume

LOOKS_AT_MOST = 3
LOOK_AGAIN_FROM = 0.05
"""Probability below which nobody needs a better outline."""
OFF_AT_MOST = 0.12
"""Of the nodule's diameter: a centre that is further off is corrected."""
SIZE_OFF_AT_MOST = 1.12
"""Factor between the cube's voxel size and the one that the nodule asks for."""
BORDER_GROWTH = 1.4
NEAR_AT_LEAST_MM = 3.0
"""An outline that does not come so near to the candidate is of something else."""
CORE_AT_LEAST_VOXELS = 2
SHARP = ("solid", "calcified")
"""Types whose border lies where the density is halfway to the lung's: the network draws it a
little outside, most of all where what is very dense blooms over it."""
RIM_AT_MOST_MM = 2.0
AROUND_MM = (2.0, 8.0)
AROUND_VOXELS_AT_LEAST = 20
SUBSOLID = ("part-solid", "ground-glass")
"""Types whose core is of interest: in what is solid throughout it is the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiAnswer:
    """What the network says of a cube.

    Attributes
    ----------
    mask, core : ndarray of shape (S, S, S), dtype float32
        Probabilities of the voxels.
    nodule : float
        Probability that the candidate is a nodule.
    types : ndarray of shape (4,)
        Probabilities of `TYPES`.
    """

    cube: Cube
    mask: NDArray[np.float32]
    core: NDArray[np.float32]
    nodule: float
    types: NDArray[np.float64]


def ask(
    backend: Backend,
    config: VoiNetworkConfig,
    cube: Cube,
    slice_spacing_mm: float,
    *,
    mirror: bool = False,
) -> VoiAnswer:
    """Run the network on a cube.

    Parameters
    ----------
    mirror : bool
        Average with the answer to the cube turned upside down and left for right: steadier,
        twice the time.
    """
    image = to_channels(cube.hu, cube.spacing_mm, slice_spacing_mm, config)
    images = [image, image[:, ::-1, :, ::-1]] if mirror else [image]
    batch = np.ascontiguousarray(np.stack(images))
    masks, judged = run_in_portions(backend, batch, at_once=len(batch))[:2]
    voxels, logits = masks[0], judged.mean(axis=0).astype(np.float64)
    if mirror:
        voxels = (voxels + masks[1][:, ::-1, :, ::-1]) / 2
    types = np.exp(logits[FIRST_TYPE:] - logits[FIRST_TYPE:].max())
    return VoiAnswer(
        cube=cube,
        mask=_sigmoid(voxels[MASK]),
        core=_sigmoid(voxels[CORE]),
        nodule=float(1.0 / (1.0 + np.exp(-logits[NODULE]))),
        types=types / types.sum(),
    )


class NetworkSegmenter:
    """A `Segmenter` around a trained `VoiNetwork`."""

    name = "cube network (trained on simulation)"
    kind = "trained"

    def __init__(
        self,
        backend: Backend,
        config: VoiNetworkConfig,
        *,
        version: str,
        weights: Mapping[str, str],
        combination: Combination | None = None,
        mirror: bool = True,
    ) -> None:
        self.version = version
        self.weights = weights
        self.combination: Combination = combination or Combination()
        self._backend = backend
        self._config = config
        self._mirror = mirror

    def segment(self, volume: Volume, lungs: LungMask, candidate: Candidate) -> Segmented | None:
        """Delineate and judge a candidate.

        Parameters
        ----------
        volume : Volume
            The CT.
        lungs : LungMask
            Not needed: the network sees where the lung ends.
        candidate : Candidate
            Where to look and how large it seems.

        Returns
        -------
        Segmented or None
            With probability, type and core; `None` where the network outlines nothing.
        """
        del lungs
        answer = self._look(volume, candidate)
        return None if answer is None else to_segmented(volume, candidate, answer)

    def judge(self, volume: Volume, candidate: Candidate) -> float:
        """Probability that a candidate is a nodule; 0 where nothing is outlined."""
        answer = self._look(volume, candidate)
        return 0.0 if answer is None else answer.nodule

    def _look(self, volume: Volume, candidate: Candidate) -> VoiAnswer | None:
        """The answer to the last of up to `LOOKS_AT_MOST` cubes; `None` without an outline."""
        slice_mm = float(volume.spacing_mm[0])
        centre = volume.lps_to_index(candidate.centre_lps_mm)
        spacing_mm = cube_spacing_mm(candidate.diameter_mm, self._config)
        answer: VoiAnswer | None = None
        for look in range(LOOKS_AT_MOST):
            cube = cut_cube(volume, centre, spacing_mm, self._config)
            # The first look is only to find the place; a mirrored view would be wasted on it.
            latest = ask(
                self._backend, self._config, cube, slice_mm, mirror=self._mirror and look > 0
            )
            found = _part_at(latest.mask >= 0.5, np.full(3, (self._config.side - 1) / 2))
            if found is None:
                return answer
            answer = latest
            if latest.nodule < LOOK_AGAIN_FROM:
                return answer
            middle = np.argwhere(found).mean(axis=0)
            diameter_mm = float((6 * found.sum() / np.pi) ** (1 / 3)) * spacing_mm
            wanted_mm = cube_spacing_mm(diameter_mm, self._config)
            if touches_border(found):
                wanted_mm = min(
                    max(wanted_mm, spacing_mm * BORDER_GROWTH), self._config.most_spacing_mm
                )
            off_mm = float(np.linalg.norm(middle - (self._config.side - 1) / 2)) * spacing_mm
            ratio = max(wanted_mm / spacing_mm, spacing_mm / wanted_mm)
            settled = off_mm <= OFF_AT_MOST * diameter_mm and ratio <= SIZE_OFF_AT_MOST
            if settled and (look > 0 or not self._mirror):
                return answer
            centre = cube.corner_kji + middle * cube.step_kji
            spacing_mm = wanted_mm
        return answer


def to_segmented(volume: Volume, candidate: Candidate, answer: VoiAnswer) -> Segmented | None:
    """An answer on the volume's own voxels; `None` where no voxel's centre is inside."""
    values, start = onto_volume(answer.mask, answer.cube, volume)
    if not values.size:
        return None
    middle = answer.cube.corner_kji + (np.array(answer.mask.shape) - 1) / 2 * answer.cube.step_kji
    reach_mm = NEAR_AT_LEAST_MM + 0.5 * candidate.diameter_mm
    nodule = _part_at(values >= 0.5, middle - start, volume.spacing_mm, reach_mm)
    if nodule is None:
        return None
    nodule = np.stack([ndimage.binary_fill_holes(plane) for plane in nodule])
    box = crop(volume, start, start + values.shape)
    kind = _type_of(answer.types)
    if kind in SHARP:
        nodule = _cut_at_half_height(nodule, box)
    lung = box.hu < LUNG_AT_MOST_HU + EXPOSED_SLACK_HU
    described = describe_outline(nodule, lung, box, start)
    core = _core_on(answer, volume, described.voi) if kind in SUBSOLID else None
    if kind == "part-solid" and core is None:
        kind = "ground-glass"
    return replace(described, probability=answer.nodule, type=kind, core=core)


def _cut_at_half_height(nodule: NDArray[np.bool_], box: Volume) -> NDArray[np.bool_]:
    """Take away what is less dense than halfway between the inside and the lung, near the border.

    The full width at half height is the size of what is blurred. Nothing is ever added.
    """
    depth = ndimage.distance_transform_edt(np.pad(nodule, 1), sampling=box.spacing_mm)
    depth = depth[1:-1, 1:-1, 1:-1]
    away = ndimage.distance_transform_edt(~nodule, sampling=box.spacing_mm)
    near = (away > AROUND_MM[0]) & (away <= AROUND_MM[1]) & (box.hu < LUNG_AT_MOST_HU)
    if near.sum() < AROUND_VOXELS_AT_LEAST:
        return nodule
    inside = float(np.median(box.hu[depth >= 0.6 * depth.max()]))
    half = (inside + float(np.median(box.hu[near]))) / 2
    kept = nodule & ((box.hu >= half) | (depth > RIM_AT_MOST_MM))
    pieces, count = ndimage.label(kept)
    if count == 0:
        return nodule
    return np.asarray(pieces == int(np.bincount(pieces.ravel())[1:].argmax()) + 1)


def _core_on(answer: VoiAnswer, volume: Volume, voi: VoiMask) -> VoiMask | None:
    """The largest piece of the core inside an outline."""
    values, start = onto_volume(answer.core, answer.cube, volume)
    low = np.array(voi.origin_kji) - start
    window = tuple(slice(int(a), int(a + n)) for a, n in zip(low, voi.mask.shape, strict=True))
    pieces, count = ndimage.label((values[window] >= 0.5) & voi.mask)
    if count == 0:
        return None
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    if sizes[largest] < CORE_AT_LEAST_VOXELS:
        return None
    return VoiMask(origin_kji=voi.origin_kji, mask=np.asarray(pieces == largest))


def _part_at(
    mask: NDArray[np.bool_],
    middle: NDArray[np.float64],
    spacing_mm: NDArray[np.float64] | float = 1.0,
    reach_mm: float = np.inf,
) -> NDArray[np.bool_] | None:
    """The connected part whose nearest voxel lies nearest to an index, within a reach."""
    pieces, count = ndimage.label(mask)
    if count == 0:
        return None
    voxels = np.argwhere(mask)
    distance = np.linalg.norm((voxels - middle) * spacing_mm, axis=1)
    nearest = int(distance.argmin())
    if distance[nearest] > reach_mm:
        return None
    return np.asarray(pieces == pieces[tuple(voxels[nearest])])


def _type_of(types: NDArray[np.float64]) -> NoduleType:
    named: dict[str, NoduleType] = {name: name for name in get_args(NoduleType)}
    return named[TYPES[int(types.argmax())]]


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30))), dtype=np.float32)
