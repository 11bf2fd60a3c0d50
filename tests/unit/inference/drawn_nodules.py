"""Nodules of known shape for the tests of what is drawn."""

from __future__ import annotations

from inference.findings import (
    BrockEstimate,
    FleischnerAssessment,
    LungRadsAssessment,
    MayoEstimate,
    Nodule,
    VoiMask,
)
from inference.grade_values import NoduleGrade
from inference.measurement import measure_nodule
from inference.pictures.key_image import KeyImageWords
from inference.volume import Volume

WORDS = KeyImageWords(
    title="Nodule 1, solid",
    subtitle="12.0 mm",
    warning="Research use, not for diagnosis",
    footnote="pulmonode 0.1.0",
    measures="12.0 x 12.0 mm",
    axial="Axial",
    coronal="Coronal",
    sagittal="Sagittal",
    whole_slice="Whole slice",
)


def nodule_of(
    volume: Volume, voi: VoiMask, *, number: int = 1, grade: NoduleGrade | None = None
) -> Nodule:
    """A measured nodule with nothing known but its shape."""
    return Nodule(
        id=number,
        centre_lps_mm=(0.0, 0.0, 0.0),
        voi=voi,
        detection_probability=0.9,
        measurements=measure_nodule(volume, voi, "solid"),
        type="solid",
        laterality=None,
        lobe=None,
        lobe_probability=None,
        lung_rads=LungRadsAssessment(applicable="unknown", category=None, why=""),
        fleischner=FleischnerAssessment(applicable="unknown", recommendation=None, why=""),
        brock=BrockEstimate(probability=None, missing=("age",)),
        mayo=MayoEstimate(probability=None, missing=("age",)),
        grade=grade or NoduleGrade(withheld="unlike the training"),
    )
