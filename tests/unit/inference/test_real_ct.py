"""Real CT: the lesions that are known must be listed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from inference.pipeline import REPORT_AT_MOST
from inference.volume import Volume
from tests.conftest import need_ct
from workers.case import CaseResult


def read(folder: Path) -> Volume:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "dicom")))
    image = reader.Execute()
    steps = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = steps[:, ::-1]  # i, j, k of ITK -> k, j, i
    affine[:3, 3] = image.GetOrigin()
    return Volume(hu=SimpleITK.GetArrayFromImage(image).astype(np.int16), affine=affine)


@pytest.mark.real_ct
def test_the_lidc_nodule_is_delineated_as_its_readers_did(
    analysed_ct: Callable[[str], CaseResult],
) -> None:
    folder = need_ct("lidc_idri_0001")
    volume = read(folder)
    consensus = SimpleITK.ReadImage(str(folder / "nodules_consensus50.nii.gz"))
    truth = SimpleITK.GetArrayFromImage(consensus) > 0

    found = analysed_ct("lidc_idri_0001").findings

    assert len(found.nodules) <= REPORT_AT_MOST
    near = [
        nodule
        for nodule in found.nodules
        if np.linalg.norm(np.subtract(nodule.centre_lps_mm, (56.37, 86.49, -116.04))) < 10
    ]
    assert len(near) == 1
    mask = np.zeros(volume.shape, dtype=bool)
    (k, j, i), (depth, height, width) = near[0].voi.origin_kji, near[0].voi.mask.shape
    mask[k : k + depth, j : j + height, i : i + width] = near[0].voi.mask
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    # Readers agree with each other at a median of 0.77 (knowledge, section A).
    assert dice > 0.75
    assert 20 < near[0].measurements.long_axis.length_mm < 32
    assert near[0].laterality == "left"


@pytest.mark.real_ct
@pytest.mark.parametrize(
    ("name", "index_kji"),
    [("cmb_crc_MSB-01068", (51, 241, 361)), ("cptac_lscc_C3N-00247", (32, 168, 107))],
)
def test_a_lesion_seen_by_eye_is_listed(
    name: str, index_kji: tuple[int, int, int], analysed_ct: Callable[[str], CaseResult]
) -> None:
    volume = read(need_ct(name))

    found = analysed_ct(name).findings

    place = volume.index_to_lps(index_kji)
    assert any(
        np.linalg.norm(np.subtract(nodule.centre_lps_mm, place)) < 12 for nodule in found.nodules
    )


@pytest.mark.real_ct
def test_the_upper_third_of_the_lungs_is_partial_coverage(
    analysed_ct: Callable[[str], CaseResult],
) -> None:
    found = analysed_ct("lung_fused_LungFCP-01-0001").findings

    assert found.quality.coverage == "partial"
    assert any("partial coverage" in warning for warning in found.quality.warnings)


@pytest.mark.real_ct
def test_thick_slices_are_warned_of(analysed_ct: Callable[[str], CaseResult]) -> None:
    found = analysed_ct("lung_pet_ct_dx_A0001").findings

    assert any("slice spacing 5 mm" in warning for warning in found.quality.warnings)
