"""Rated nodules in cubes of CT: what the encoder is trained and measured on.

Each rendering follows from the seed, the nodule and the rendering's number alone, so a set that
was interrupted goes on as if it had not been. Deliberately absent: whether a candidate is a
nodule (`voi_samples` teaches that).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.models.voi_network import VoiNetworkConfig
from inference.training.appearance import Array, Image
from inference.training.decoys import PatchSites, draw_decoys
from inference.training.insertion import PLANE_BLUR_MM
from inference.training.noise import smooth_noise
from inference.training.rated_appearance import RatedDrawing, choose_look, draw_rated, hides
from inference.training.rated_nodules import EVERY_READER, RatedNodule
from inference.training.voi_backgrounds import VoiBackground
from inference.training.voi_frames import (
    SLICES_MM,
    Frame,
    as_scanned,
    cut_background,
    make_frame,
    pick_background,
)

TRIES = 8
FREE_AT_LEAST = 0.6
"""Share of the nodule that must lie in what was aerated lung."""
OFF_MM = 0.4
CUBE_FACTOR = (0.92, 1.1)
"""Of the nodule's diameter: what the cube's voxel size is chosen by."""
MASK_LEVEL = (0.35, 0.65)
MASK_NOISE = 0.1
"""A segmenter errs by about a voxel: the outline is cut at another level of an uneven share."""
VESSELS_NEAR = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """Which nodule is drawn, as whom, and the how-manieth time.

    Attributes
    ----------
    reader : int
        Whose ratings it is drawn by; `EVERY_READER` for the mean of all.
    number : int
        Of this nodule's renderings.
    """

    nodule: RatedNodule
    reader: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedVoi:
    """A cube with one nodule.

    Attributes
    ----------
    hu : ndarray of shape (S, S, S), dtype float32
        HU.
    mask : ndarray of shape (S, S, S), dtype bool
        As a segmenter might outline it; never empty.
    spacing_mm, slice_spacing_mm : float
        Voxel size; slice spacing of the scan that it comes from.
    background : str
        Whose lung.
    """

    hu: Image
    mask: NDArray[np.bool_]
    spacing_mm: float
    slice_spacing_mm: float
    background: str


def plan_renderings(
    nodules: Sequence[RatedNodule], *, by_everyone: int, by_each_reader: int
) -> tuple[Rendering, ...]:
    """All renderings of some nodules, nodule by nodule.

    Parameters
    ----------
    by_everyone, by_each_reader : int
        Renderings by the mean of all readers, and by each single one.
    """
    planned = []
    for nodule in nodules:
        readers = [EVERY_READER] * by_everyone
        readers += list(range(len(nodule.malignancy))) * by_each_reader
        planned += [
            Rendering(nodule=nodule, reader=reader, number=number)
            for number, reader in enumerate(readers)
        ]
    return tuple(planned)


def render(
    wanted: Rendering,
    backgrounds: Sequence[VoiBackground],
    *,
    config: VoiNetworkConfig,
    seed: int,
) -> RenderedVoi | None:
    """Draw a nodule into a lung; `None` where no place was found for it.

    Parameters
    ----------
    backgrounds : sequence of VoiBackground
        At least one.
    config : VoiNetworkConfig
        For side and voxel size of cubes.
    """
    shape = wanted.nodule.shape
    own = int.from_bytes(hashlib.sha256(shape.nodule_id.encode()).digest()[:4], "big")
    random = np.random.default_rng((seed, own, wanted.number))
    for _ in range(TRIES):
        look = choose_look(wanted.nodule.seen_by(wanted.reader), random)
        hidden = hides(look, random)
        background = pick_background(backgrounds, random)
        place = _place(background, shape.diameter_mm / 2, hidden, random)
        if place is None:
            continue
        frame = make_frame(
            background,
            background.coarse.volume.index_to_lps(place),
            shape.diameter_mm * random.uniform(*CUBE_FACTOR),
            random.normal(0, OFF_MM, 3),
            shape.diameter_mm,
            config=config,
            slices_mm=SLICES_MM,
            random=random,
        )
        hu = cut_background(frame)
        if hidden:
            _add_vessels(hu, frame, shape.diameter_mm, random)
        drawing = draw_rated(
            shape,
            look,
            side=config.side,
            centre_kji=frame.middle,
            spacing_mm=frame.spacing_mm,
            random=random,
        )
        weight = float(drawing.body.sum())
        if float(drawing.body[hu < -400].sum()) < FREE_AT_LEAST * weight:
            continue
        _blend(hu, drawing, frame, random)
        mask = as_outlined(drawing.body, random)
        if not mask.any():
            continue
        return RenderedVoi(
            hu=as_scanned(hu, frame, random),
            mask=mask,
            spacing_mm=frame.spacing_mm,
            slice_spacing_mm=frame.gap_mm,
            background=background.coarse.name,
        )
    return None


def as_outlined(body: Image, random: np.random.Generator) -> NDArray[np.bool_]:
    """The mask as a segmenter might give it: the largest part at an uneven level."""
    field = ndimage.gaussian_filter(body, 0.7, truncate=3.0)
    field = field + MASK_NOISE * smooth_noise(body.shape, 2.0, random)
    field[body <= 0] = 0
    labels, count = ndimage.label(field > random.uniform(*MASK_LEVEL))
    if count == 0:
        return np.asarray(body >= 0.5)
    sizes = np.bincount(labels.ravel())[1:]
    return np.asarray(labels == 1 + int(sizes.argmax()))


def _place(
    background: VoiBackground, radius_mm: float, hidden: bool, random: np.random.Generator
) -> Array | None:
    """A place of the coarse grid: free in the lung, or at vessels or the pleura."""
    coarse = background.coarse
    depth, vessels = coarse.place_depth_mm, coarse.place_vessels
    if hidden and random.random() < 0.5:
        fits = (depth > 0.85 * radius_mm) & (depth < 1.1 * radius_mm + 1.0)
    elif hidden:
        fits = (depth > radius_mm + 2.0) & (vessels > 0.05) & (vessels < 0.4)
    else:
        fits = (depth > radius_mm + 2.0) & (vessels < 0.08)
    found = np.flatnonzero(fits)
    if not len(found):
        return None
    return np.asarray(coarse.places[int(random.choice(found))], dtype=np.float64)


def _add_vessels(hu: Image, frame: Frame, diameter_mm: float, random: np.random.Generator) -> None:
    """Vessels, scars and fissures that pass at the nodule's surface, in place."""
    directions = random.normal(size=(VESSELS_NEAR, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = frame.middle + directions * 0.5 * diameter_mm / frame.spacing_mm
    plane = PLANE_BLUR_MM / frame.spacing_mm
    draw_decoys(
        hu,
        PatchSites(lung=points, wall=np.zeros((0, 3)), wall_normals=np.zeros((0, 3))),
        spacing_mm=frame.spacing_mm,
        blur_voxels=(0.3 * frame.thickness_mm / frame.spacing_mm, plane, plane),
        noise_hu=frame.background.coarse.noise_hu,
        random=random,
    )


def _blend(hu: Image, drawing: RatedDrawing, frame: Frame, random: np.random.Generator) -> None:
    """Add to the lung what the nodule has more of than it, as slices would show it; in place."""
    noise = frame.background.coarse.noise_hu * smooth_noise(hu.shape, 0.6, random)
    added = drawing.share * np.maximum(drawing.content_hu - hu, 0) * drawing.contrast
    plane = PLANE_BLUR_MM / frame.spacing_mm
    added = ndimage.gaussian_filter(added, (0.0, plane, plane), truncate=3.0)
    hu += frame.slicing.seen(added) + drawing.share * noise
