"""Uptake in a PET of another frame of reference: known motion, known breath, known activity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from inference.detection import BlobDetector
from inference.findings import Nodule
from inference.follow_up.registration import register
from inference.lungs import LungMask, segment_lungs
from inference.pet.beside import (
    CARRIED_LIMIT,
    LUNGS_LIKE_AT_LEAST,
    NODULE_LIKE_AT_LEAST,
    NOT_MEASURED,
    measure_beside,
)
from inference.pet.carry import Carry
from inference.pet.local_match import match_near
from inference.pet.uptake import OwnCt, SuvVolume
from inference.phantom import PhantomNodule, PhantomSpec, make_phantom
from inference.pipeline import analyse
from inference.segmenters import make_segmenter
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

PLACES = {(-57.955, 18.479, 60.233): (14.0, 8.0), (96.385, -21.519, -1.535): (18.0, 4.0)}
"""Centre to diameter, mm, and SUV."""
SPEC = PhantomSpec(
    slices=100,
    slice_spacing_mm=3.0,
    pixels=256,
    pixel_spacing_mm=1.4,
    nodules=tuple(
        PhantomNodule(diameter_mm=mm, centre_lps_mm=place) for place, (mm, _) in PLACES.items()
    ),
)
SPOTS = [Spot(place, mm, suv) for place, (mm, suv) in PLACES.items()]
SUV_WITHIN = 0.03
"""Relative: the middle of a spot lies up to half a voxel's diagonal off a voxel's centre, where
the spot has faded little."""


@dataclass(frozen=True)
class Chest:
    ct: Volume
    lungs: LungMask
    nodules: tuple[Nodule, ...]


@pytest.fixture(scope="module")
def chest() -> Chest:
    ct = make_phantom(SPEC).volume
    nodules = tuple(outlined(ct, spot, number) for number, spot in enumerate(SPOTS, start=1))
    return Chest(ct=ct, lungs=segment_lungs(ct), nodules=nodules)


def pet_in_other_frame(chest: Chest, *, breath: bool, own_ct: Volume | None = None) -> SuvVolume:
    own = with_own_ct(chest.ct, breath=breath) if own_ct is None else own_ct
    return pet_of(SPOTS, own, to_source(chest.ct, breath=breath))


@pytest.fixture(scope="module", params=[False, True], ids=["rigid", "breath"])
def scene(request: pytest.FixtureRequest, chest: Chest) -> tuple[SuvVolume, bool]:
    return pet_in_other_frame(chest, breath=request.param), request.param


def test_uptake_of_each_nodule_is_what_it_was_made_of(
    chest: Chest, scene: tuple[SuvVolume, bool]
) -> None:
    found = measure_beside(chest.ct, chest.lungs, chest.nodules, scene[0])

    assert found.warnings == ()
    for nodule, spot in zip(found.nodules, SPOTS, strict=True):
        assert nodule.uptake is not None
        assert nodule.uptake.suv_max == pytest.approx(spot.suv, rel=SUV_WITHIN)
        assert nodule.uptake.likeness is not None
        assert nodule.uptake.likeness > NODULE_LIKE_AT_LEAST
    assert found.used is not None
    registration = found.used.registration
    assert registration is not None
    assert registration.ct_series == "1.2.4"
    assert registration.likeness > LUNGS_LIKE_AT_LEAST
    assert registration.residual_mm == max(
        item.uptake.corrected_mm or 0.0 for item in found.nodules if item.uptake
    )


def test_the_metabolic_volume_is_that_of_the_spot_and_not_of_a_warped_one(
    chest: Chest, scene: tuple[SuvVolume, bool]
) -> None:
    pet, breath = scene
    assert pet.own_ct is not None
    ends = np.stack(np.indices(pet.suv.shape), axis=-1).reshape(-1, 3)
    lies = to_source(chest.ct, breath=breath)(ends @ pet.affine[:3, :3].T + pet.affine[:3, 3])

    found = measure_beside(chest.ct, chest.lungs, chest.nodules, pet)

    voxel_mm3 = abs(np.linalg.det(pet.affine[:3, :3]))
    for nodule, spot in zip(found.nodules, SPOTS, strict=True):
        assert nodule.uptake is not None
        near = np.linalg.norm(lies - np.array(spot.centre_lps_mm), axis=1) < 25.0
        hot = near & (pet.suv.ravel() >= 0.41 * spot.suv)
        assert nodule.uptake.mtv_mm3 == pytest.approx(hot.sum() * voxel_mm3, rel=0.05)


def test_a_place_is_found_to_two_millimetres_and_back_again(
    chest: Chest, scene: tuple[SuvVolume, bool]
) -> None:
    pet, breath = scene
    assert pet.own_ct is not None
    own = pet.own_ct.volume
    laid = register(chest.ct, chest.lungs, own, segment_lungs(own))
    source = to_source(chest.ct, breath=breath)
    for nodule in chest.nodules:
        near = match_near(chest.ct, chest.lungs, nodule.voi, own, laid.to_prior)
        assert near is not None
        carry = Carry(registration=laid, shift_mm=near.shift_mm)
        centre = np.array([nodule.centre_lps_mm])

        there = carry.to_pet(centre)

        assert np.linalg.norm(source(there) - centre) < 2.0
        assert carry.to_ct(there) == pytest.approx(centre, abs=1e-3)


def test_the_analysis_says_that_places_were_carried_over(chest: Chest) -> None:
    pet = pet_in_other_frame(chest, breath=True)

    found = analyse(
        chest.ct, detector=BlobDetector(), segmenter=make_segmenter("classical"), pet=pet
    )

    assert CARRIED_LIMIT in found.limits
    assert found.pet is not None
    assert found.pet.registration is not None
    for spot in SPOTS:
        nodule = min(
            found.nodules, key=lambda item: math.dist(item.centre_lps_mm, spot.centre_lps_mm)
        )
        assert nodule.uptake is not None
        assert nodule.uptake.suv_max == pytest.approx(spot.suv, rel=SUV_WITHIN)


def test_nodules_that_are_not_in_the_pets_own_ct_are_not_measured(chest: Chest) -> None:
    """Another chest of the same shape: other vessels, and no nodule where these lie."""
    other = make_phantom(replace(SPEC, seed=5, nodules=())).volume
    pet = pet_in_other_frame(chest, breath=False, own_ct=in_pets_frame(other))

    found = measure_beside(chest.ct, chest.lungs, chest.nodules, pet)

    assert found.used is None
    assert [item.uptake for item in found.nodules] == [None, None]
    assert len(found.warnings) == 2
    assert all("was not found again" in warning for warning in found.warnings)


def test_a_pets_own_ct_that_ends_above_a_nodule_leaves_that_one_out(chest: Chest) -> None:
    own = with_own_ct(chest.ct, breath=False)
    lowest = round(float(chest.ct.lps_to_index(np.array(SPOTS[0].centre_lps_mm))[0]) - 7)
    affine = own.affine.copy()
    affine[:3, 3] = own.index_to_lps((lowest, 0, 0))
    cut = Volume(hu=own.hu[lowest:], affine=affine)
    pet = pet_in_other_frame(chest, breath=False, own_ct=cut)

    found = measure_beside(chest.ct, chest.lungs, chest.nodules, pet)

    first, second = found.nodules
    assert first.uptake is not None
    assert second.uptake is None
    assert found.warnings == (
        NOT_MEASURED.format(number=2, why="the CT that was taken with it does not cover the place"),
    )


def test_a_pets_own_ct_without_lungs_is_a_warning(chest: Chest) -> None:
    pet = pet_in_other_frame(chest, breath=False)
    assert pet.own_ct is not None
    empty = Volume(hu=np.full((40, 64, 64), -1000, dtype=np.int16), affine=pet.own_ct.volume.affine)

    found = measure_beside(
        chest.ct, chest.lungs, chest.nodules, replace(pet, own_ct=OwnCt(series="1", volume=empty))
    )

    assert found.used is None
    (warning,) = found.warnings
    assert warning.startswith("the PET was not used")
    assert "no lungs" in warning


def test_nothing_is_registered_where_there_is_no_nodule(chest: Chest) -> None:
    pet = pet_in_other_frame(chest, breath=False)

    found = measure_beside(chest.ct, chest.lungs, (), pet)

    assert (found.nodules, found.used, found.warnings) == ((), None, ())


@pytest.mark.real_ct
def test_a_real_nodule_is_measured_through_breath_low_dose_and_thick_slices() -> None:
    ct = halved(read(need_ct("lidc_idri_0001")))
    lungs = segment_lungs(ct)
    spot = Spot((56.37, 86.49, -116.04), 23.7, 9.0)
    own = with_own_ct(ct, breath=True, thick=3)
    pet = pet_of([spot], own, to_source(ct, breath=True))

    measured = measure_beside(ct, lungs, [outlined(ct, spot, 1)], pet)

    (uptake,) = [item.uptake for item in measured.nodules]
    assert uptake is not None
    assert uptake.suv_max == pytest.approx(9.0, rel=SUV_WITHIN)


@pytest.mark.real_ct
def test_a_ct_of_another_patient_is_refused() -> None:
    ct = halved(read(need_ct("lidc_idri_0001")))
    other = halved(read(need_ct("cmb_crc_MSB-01068")))
    spot = Spot((56.37, 86.49, -116.04), 23.7, 9.0)
    pet = pet_of([spot], in_pets_frame(other), to_source(ct, breath=False))

    measured = measure_beside(ct, segment_lungs(ct), [outlined(ct, spot, 1)], pet)

    assert measured.used is None
    (warning,) = measured.warnings
    assert "look unlike" in warning
    assert "another patient" in warning
