"""How right a PET in another frame of reference is measured: the table of docs/pet.md.

``python -m tests.unit.inference.pet_accuracy`` takes about ten minutes. Balls are put into four
real CTs; the PET's own CT is a copy of each: bent, of half the resolution, noisy, with thick
slices, lying otherwise.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from inference.findings import Nodule
from inference.follow_up.registration import register
from inference.lungs import LungMask, segment_lungs
from inference.pet.beside import LUNGS_LIKE_AT_LEAST, NODULE_LIKE_AT_LEAST, measure_beside
from inference.pet.local_match import match_near
from inference.pet.uptake import MARGIN_MM, SuvVolume
from inference.volume import Volume
from tests.conftest import need_ct
from tests.unit.inference.moved import halved
from tests.unit.inference.pet_scene import (
    Spot,
    in_pets_frame,
    outlined,
    pet_of,
    to_source,
    with_own_ct,
)
from tests.unit.inference.test_real_ct import read

SERIES = ("lidc_idri_0001", "cmb_crc_MSB-01068", "cptac_lscc_C3N-00247", "lung_pet_ct_dx_A0001")
BALLS, APART_MM, BALL_HU, EDGE_MM = 14, 30.0, 30, 1.5
DIAMETERS_MM = (9.0, 6.0)
BENT = (1.0, 2.0, 3.0)
"""Times 8 mm."""
THICK_FROM_MM = 4.0
"""Slices below it are averaged by three."""
OFF = 0.05
SEED = 20261126


@dataclass(frozen=True)
class Scene:
    """A chest with balls, and where they are."""

    ct: Volume
    lungs: LungMask
    spots: list[Spot]
    bare: Volume
    """Without them."""


def with_balls(ct: Volume, diameter_mm: float, dice: np.random.Generator) -> Scene:
    """The CT with balls in its lungs, whose SUV is 3 to 12."""
    lungs = segment_lungs(ct)
    inside = np.argwhere(lungs.lungs > 0)
    hu, spots = ct.hu.copy(), list[Spot]()
    while len(spots) < BALLS:
        place = lungs.affine[:3, :3] @ inside[dice.integers(len(inside))] + lungs.affine[:3, 3]
        spot = Spot((place[0], place[1], place[2]), diameter_mm, float(dice.uniform(3, 12)))
        room = outlined(ct, Spot(spot.centre_lps_mm, diameter_mm + 6, 0), 1).voi
        low, high = np.array(room.origin_kji), np.array(room.origin_kji) + room.mask.shape
        near = (np.linalg.norm(place - np.array(s.centre_lps_mm)) < APART_MM for s in spots)
        if (low < 0).any() or (high > np.array(ct.shape)).any() or any(near):
            continue
        index = np.stack(np.indices(room.mask.shape), axis=-1) + low
        away_mm = np.linalg.norm(ct.index_to_lps(index) - place, axis=-1)
        share = np.clip((diameter_mm / 2 - away_mm) / EDGE_MM + 0.5, 0, 1)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        ball = hu[box] * (1 - share) + BALL_HU * share
        hu[box] = np.rint(np.maximum(hu[box], ball)).astype(np.int16)
        spots.append(spot)
    made = Volume(hu=hu, affine=ct.affine)
    return Scene(ct=made, lungs=segment_lungs(made), spots=spots, bare=ct)


def outlines(scene: Scene) -> list[Nodule]:
    """The balls as nodules."""
    return [outlined(scene.ct, spot, n) for n, spot in enumerate(scene.spots, start=1)]


def pets_side(scene: Scene, times: float, *, bare: bool = False) -> SuvVolume:
    """The PET with its own CT, which may lack the balls."""
    coarse = halved(scene.bare if bare else scene.ct)
    thick = 3 if scene.ct.spacing_mm[0] < THICK_FROM_MM else 1
    own = with_own_ct(coarse, breath=times, thick=thick)
    return pet_of(scene.spots, own, to_source(coarse, breath=times))


@dataclass
class Row:
    """What one amount of bending gave."""

    lungs: list[float]
    lungs_off_mm: list[float]
    off_mm: list[float]
    suv_off: list[float]
    seconds: list[float]
    asked: int = 0

    def __str__(self) -> str:
        places = (
            f"{np.median(values):.1f}, {max(values):.1f}" if values else "-"
            for values in (self.lungs_off_mm, self.off_mm)
        )
        wrong = [f"{off:.0%}" for off in self.suv_off if off > OFF]
        return " | ".join(
            [f"{min(self.lungs):.2f} to {max(self.lungs):.2f}", *places,
             f"{len(self.suv_off)} of {self.asked}", f"{len(wrong)} {wrong or ''}",
             f"{min(self.seconds):.1f} to {max(self.seconds):.1f}"]
        )  # fmt: skip


def measure(scene: Scene, times: float, row: Row) -> None:
    """Add one chest to a row; places of what is believed alone, all places without the search."""
    pet = pets_side(scene, times)
    assert pet.own_ct is not None
    own, source = pet.own_ct.volume, to_source(halved(scene.ct), breath=times)
    began = time.perf_counter()
    laid = register(scene.ct, scene.lungs, own, segment_lungs(own))
    row.seconds.append(time.perf_counter() - began)
    row.lungs.append(laid.likeness)
    nodules = outlines(scene)
    for nodule in nodules:
        centre = np.array([nodule.centre_lps_mm])
        row.lungs_off_mm.append(float(np.linalg.norm(source(laid.to_prior(centre)) - centre)))
        near = match_near(scene.ct, scene.lungs, nodule.voi, own, laid.to_prior)
        if near is None or near.likeness < NODULE_LIKE_AT_LEAST or near.at_edge:
            continue
        there = laid.to_prior(centre + near.shift_mm)
        row.off_mm.append(float(np.linalg.norm(source(there) - centre)))
    index = np.stack(np.indices(pet.suv.shape), axis=-1).reshape(-1, 3)
    lies = source(index @ pet.affine[:3, :3].T + pet.affine[:3, 3])
    found = measure_beside(scene.ct, scene.lungs, nodules, pet)
    row.asked += len(nodules)
    for nodule, spot in zip(found.nodules, scene.spots, strict=True):
        if nodule.uptake is None:
            continue
        away_mm = np.linalg.norm(lies - np.array(spot.centre_lps_mm), axis=1)
        true = pet.suv.ravel()[away_mm <= spot.diameter_mm / 2 + MARGIN_MM].max()
        row.suv_off.append(abs(nodule.uptake.suv_max / float(true) - 1))


def tell(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table."""
    tell(f"lungs alike from {LUNGS_LIKE_AT_LEAST}, nodules from {NODULE_LIKE_AT_LEAST}")
    tell("ball | bent | lungs alike | off by lungs alone | with search | measured | SUVmax off | s")
    chests = {name: read(need_ct(name)) for name in SERIES}
    for diameter_mm in DIAMETERS_MM:
        dice = np.random.default_rng(SEED)
        scenes = [with_balls(ct, diameter_mm, dice) for ct in chests.values()]
        for times in BENT if diameter_mm == DIAMETERS_MM[0] else BENT[:1]:
            row = Row([], [], [], [], [])
            for scene in scenes:
                measure(scene, times, row)
            tell(f"{diameter_mm:g} mm | {8 * times:g} mm | {row}")
        if diameter_mm == DIAMETERS_MM[0]:
            taken = 0
            for scene in scenes:
                pet, balls = pets_side(scene, 1.0, bare=True), outlines(scene)
                found = measure_beside(scene.ct, scene.lungs, balls, pet).nodules
                taken += sum(nodule.uptake is not None for nodule in found)
            tell(f"balls not in the PET's own CT | measured all the same: {taken}")
            alike = []
            for one, other in pairwise([*scenes, scenes[0]]):
                strange = in_pets_frame(other.ct)
                laid = register(one.ct, one.lungs, strange, segment_lungs(strange))
                alike.append(laid.likeness)
            tell(f"another patient's CT | {min(alike):.2f} to {max(alike):.2f}")


if __name__ == "__main__":
    main()
