"""The real CT series, analysed once for all tests as `pulmonode analyse` does."""

from __future__ import annotations

from pathlib import Path

from dicom_node.read.eligibility import load_rules
from tests.conftest import need_ct
from workers.case import CaseResult
from workers.detector_choice import detector_of, grading_of, segmenter_of
from workers.local import analyse_folder
from workers.settings import Settings


def analyse_as_the_command_does(folder: Path) -> CaseResult:
    """Objects of the default profile, with pictures in English."""
    settings = Settings()
    result = analyse_folder(
        folder,
        load_rules(None),
        context=None,
        detector=detector_of(settings),
        segmenter=segmenter_of(settings),
        grading=grading_of(settings),
        pictures_in="en",
        progress=lambda _: None,
    )
    assert isinstance(result, CaseResult), result
    return result


def analyse_real_ct(name: str) -> CaseResult:
    return analyse_as_the_command_does(need_ct(name) / "dicom")
