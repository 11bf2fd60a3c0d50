"""`pulmonode evaluate modalities`: what each set of modalities does to a grade.

A made-up patient on a phantom, analysed as a service would and graded with every set of what is
known; and test rows of described nodules with SIMULATED patients. No claim may rest on either.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from dicom_node.read.series import load_ct_series
from inference.beside_pixels import MARKER_UNITS
from inference.evaluation.grading.simulated_pet import LUNG_SUV, RESOLUTION_MM
from inference.findings import ClinicalContext, Nodule
from inference.grade_values import NoduleGrade
from inference.graders import load_judge
from inference.known import (
    BESIDE_PIXELS,
    BY_DEFAULT,
    CLINICAL,
    CT_REPORT,
    PET,
    SEROLOGY,
    KnownContext,
    KnownValue,
)
from inference.pet.uptake import SuvVolume
from inference.pet_json import uptake_to_dict
from inference.pet_values import PetUsed
from inference.report_text.facts import ReportedNodule
from inference.report_text.to_modality import report_columns
from inference.volume import Volume
from workers import clock
from workers.case import CaseResult, analyse_case
from workers.described_nodules import read_described
from workers.detector_choice import detector_of, grading_of, segmenter_of
from workers.modality_worth import SETS, measure_sets
from workers.phantom import write_phantom
from workers.settings import Settings
from workers.simulated_patients import with_simulated_patients
from workers.translate import to_volume

NODULE = "solid:9"
HOT_SUV = 7.0
COARSER = 3
PATIENT = ClinicalContext(
    age_years=71,
    sex="F",
    family_history_lung_cancer=True,
    emphysema=True,
    ever_smoker=True,
    extrathoracic_cancer_over_5_years=False,
)
MARKERS = {"cea": 9.6, "cyfra_21_1": 5.1, "nse": 18.0, "scc": 2.0, "progrp": 40.0}
REPORTED = ReportedNodule(
    type="solid", margin=("ill-defined",), spiculation="present", lobulation="present"
)
"""The made-up patient: all of it speaks for cancer, but for SCC and ProGRP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomCase:
    """The phantom, analysed with all that is known but the report; `nodule` is the one put in."""

    result: CaseResult
    volume: Volume
    nodule: Nodule


def grade_phantom(settings: Settings, told: Callable[[str], None]) -> dict[str, Any]:
    """The phantom's nodule, graded with every set of modalities, and as by default.

    Returns
    -------
    dict
        ``nodule``: size and uptake; ``weights``; ``sets``: a list of ``given`` and ``grade``;
        ``by_default``: the grade when everything is known and the setting is as it comes.
    """
    every = _setting(settings, BESIDE_PIXELS)
    case = analyse_phantom(every, told)
    told("grading with every set")
    return {
        "nodule": {
            "mean_diameter_mm": case.nodule.measurements.mean_diameter_mm,
            "pet": uptake_to_dict(case.nodule.uptake),
        },
        "weights": dict(case.result.findings.weights),
        "sets": [
            {"given": list(given), "grade": _plain(grade_with(every, case, given))}
            for given in SETS
        ],
        "by_default": _plain(grade_with(_setting(settings, BY_DEFAULT), case, BESIDE_PIXELS)),
    }


def _plain(grade: NoduleGrade) -> dict[str, Any]:
    plain = asdict(grade)
    del plain["similar_cases"]
    return plain


def _setting(settings: Settings, by: tuple[str, ...]) -> Settings:
    return settings.model_copy(update={"grade_by": by, "bank_dir": None})


def grade_with(settings: Settings, case: PhantomCase, given: Collection[str]) -> NoduleGrade:
    """The nodule's grade when only the modalities of `given` are known beside the pixels."""
    grading = grading_of(settings)
    if grading is None:
        return case.nodule.grade
    columns = report_columns(REPORTED)
    reported = {name: value for name, value in columns.items() if value is not None}
    asked = replace(
        case.nodule,
        reported=reported if CT_REPORT in given else {},
        uptake=case.nodule.uptake if PET in given else None,
    )
    context = PATIENT if CLINICAL in given else ClinicalContext()
    known = _markers() if SEROLOGY in given else None
    return grading.grade(case.volume, [asked], context, known)[0].grade


def grade_test_rows(
    settings: Settings, described: Path, *, seed: int, told: Callable[[str], None]
) -> dict[str, Any]:
    """Figures on the test patients' rows that one reader drew, as `measure_sets`.

    Raises
    ------
    DatasetRefused
        If the file is none of described nodules.
    inference.errors.WeightsRefused, inference.errors.BankRefused
        If there is no grader of all modalities.
    """
    told("simulating patients")
    rows = with_simulated_patients(read_described(described), seed=seed).honest("test")
    judge = load_judge(settings.weights_dir, multimodal=True).judge
    told("grading the test rows with every set")
    return measure_sets(judge.grader, judge.calibrators, rows)


def analyse_phantom(settings: Settings, told: Callable[[str], None]) -> PhantomCase:
    """The phantom through `analyse_case`, with patient and PET."""
    with tempfile.TemporaryDirectory(prefix="pulmonode-modalities-") as scratch:
        folder = Path(scratch)
        truth = write_phantom(
            folder, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4, nodules=[NODULE]
        )
        series = load_ct_series(sorted(folder.glob("*.dcm")))
    volume = to_volume(series)
    result = analyse_case(
        series,
        revision=1,
        created=datetime.fromtimestamp(clock.now(), tz=UTC),
        context=PATIENT,
        known=_markers(),
        pet=_pet_of(volume, truth),
        detector=detector_of(settings),
        segmenter=segmenter_of(settings),
        grading=grading_of(settings),
        progress=told,
    )
    place = truth["nodules"][0]["centre_lps_mm"]
    nodule = min(result.findings.nodules, key=lambda item: math.dist(item.centre_lps_mm, place))
    return PhantomCase(result=result, volume=volume, nodule=nodule)


def _markers() -> KnownContext:
    return KnownContext(
        values=tuple(
            KnownValue(item=item, number=number, unit=MARKER_UNITS[item], source="file")
            for item, number in MARKERS.items()
        )
    )


def _pet_of(volume: Volume, truth: Mapping[str, Any]) -> SuvVolume:
    """A hot ball where each nodule is, blurred by the scanner, on every third row and column."""
    coarse = np.array([1, COARSER, COARSER])
    shape = np.array(volume.hu.shape) // coarse
    affine = volume.affine @ np.diag([*coarse, 1.0])
    index = np.stack([*np.indices(shape), np.ones(shape)], axis=-1)
    places = (index @ affine.T)[..., :3]
    suv = np.full(shape, LUNG_SUV)
    for nodule in truth["nodules"]:
        away = np.linalg.norm(places - np.array(nodule["centre_lps_mm"]), axis=-1)
        suv[away <= nodule["diameter_mm"] / 2] = HOT_SUV
    sigma_mm = RESOLUTION_MM / np.sqrt(8 * np.log(2))
    blurred = ndimage.gaussian_filter(suv, sigma_mm / (np.array(volume.spacing_mm) * coarse))
    return SuvVolume(
        suv=blurred.astype(np.float32),
        affine=affine,
        used=PetUsed(series="2.25.1", how="made up"),
    )
