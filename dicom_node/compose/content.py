"""What a report says, before it becomes DICOM: the input of `sr` and `seg`.

Values are as measured (unrounded); rounding is the composer's. What was not computed is
`None` or empty and does not appear in the objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContent:
    """One algorithm of several that worked one after the other, for example the detector."""

    name: str
    version: str
    device_uid: str
    """Another one for another set of weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmContent:
    """The software that made the findings (TID 4019, Contributing Equipment)."""

    name: str
    version: str
    manufacturer: str
    model_name: str
    device_uid: str
    """Device UID (0018,1002): changes when the model changes (IHE AIR 6.5.3.1)."""
    serial_number: str = "1"
    stages: tuple[StageContent, ...] = ()
    """The trained algorithms in it, each with its own Contributing Equipment (IHE AIR)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisContent:
    """A line drawn in one slice, from voxel centre coordinates ``(j, i)`` to ``(j, i)``.

    Coordinates are continuous; the centre of the first pixel is ``(0.0, 0.0)``.
    """

    start_ji: tuple[float, float]
    end_ji: tuple[float, float]
    length_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarCaseContent:
    """A rated case that a model level rests on, by its anonymous name."""

    case_id: str
    similarity: float
    """0 to 1."""
    level: str
    evidence: str
    """`reader-rated` or `confirmed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionContent:
    """What a modality did for a nodule's suspicion; where there was more than one."""

    modality: str
    points: float
    """By how many percentage points the suspicion falls without it."""
    attention: float
    """Its weight among those present, 0 to 1."""
    simulated: bool = False
    """What it means was learned from simulated patients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthContent:
    """What became of a nodule since an earlier examination; `None` is not known."""

    status: str
    """`new`, `grown`, `stable`, `shrunk` or `unknown`."""
    why: str
    volume_change_percent: float | None = None
    doubling_days: float | None = None
    diameter_change_mm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UptakeContent:
    """What a PET shows of a nodule; SUV by body weight, g/ml."""

    suv_max: float
    suv_peak: float
    suv_mean: float
    """Of the metabolic volume."""
    mtv_mm3: float
    tlg: float
    """Total lesion glycolysis, g."""
    sul_peak: float | None
    too_small_to_trust: bool
    """Its values are too low, since it is small."""
    corrected_mm: float | None = None
    """Through a registration: what that was off by here, and was corrected by."""
    likeness: float | None = None
    """Through a registration: how alike both CTs are here, -1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleContent:
    """One nodule, in the index space of the `CtSeries` that it was found in."""

    number: int
    tracking_uid: str
    mask: NDArray[np.bool_]
    """Box of shape (D, H, W) cut from the series' grid."""
    mask_origin_kji: tuple[int, int, int]
    """Index of the box's first voxel in the series."""
    key_slice_k: int
    long_axis: AxisContent
    short_axis: AxisContent
    contour_ji: NDArray[np.float64]
    """Outer contour on the key slice, shape (N, 2), continuous (j, i), closed or open."""
    mean_diameter_mm: float
    volume_mm3: float
    mean_hu: float
    nodule_type: str | None = None
    """`solid`, `part-solid`, `ground-glass` or `calcified`."""
    solid_mean_diameter_mm: float | None = None
    solid_volume_mm3: float | None = None
    max_3d_diameter_mm: float | None = None
    laterality: str | None = None
    """`left`, `right` or unknown."""
    lobe: str | None = None
    """`left upper lobe` ... `right lower lobe` or unknown."""
    detection_probability: float | None = None
    lung_rads_category: str | None = None
    lung_rads_why: str | None = None
    fleischner: str | None = None
    """What Fleischner 2017 recommends for it."""
    brock_probability: float | None = None
    """Risk of cancer by the Brock model, 0 to 1."""
    brock_missing: tuple[str, ...] = ()
    """Inputs that are not known, for want of which there is no Brock risk."""
    mayo_probability: float | None = None
    """Risk of malignancy by the Mayo model, 0 to 1."""
    mayo_missing: tuple[str, ...] = ()
    mayo_withheld: str | None = None
    """Why the Mayo model does not hold for it."""
    attributes: Mapping[str, float] = field(default_factory=dict)
    """Readers' scales from 1 to 5, predicted; of `codes.ATTRIBUTES`."""
    model_level: str | None = None
    """Level I to IV of the grading model, learned from readers' opinion; no Lung-RADS category."""
    model_suspicion: float | None = None
    """Probability that readers' mean rating exceeds 3, 0 to 1; no probability of cancer."""
    model_probabilities: tuple[float, ...] = ()
    """Of levels I to IV; sums to 1, or empty."""
    model_withheld: str | None = None
    """Why there is no level though a model was at work."""
    contributions: tuple[ContributionContent, ...] = ()
    masked: tuple[str, ...] = ()
    """Modalities that are known and may not count for its level."""
    similar_cases: tuple[SimilarCaseContent, ...] = ()
    comment: str | None = None
    """One line for viewers that show only text; made by the composer when `None`."""
    remarks: tuple[str, ...] = ()
    """Further lines on this nodule for the report's text, for example why this category."""
    growth: GrowthContent | None = None
    """Since an earlier examination; `None` where there was none."""
    uptake: UptakeContent | None = None
    """In a PET; `None` where none covers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAnalysedSeries:
    """A series of which a result was expected, and why there is none."""

    number: int | None
    """Series Number (0020,0011)."""
    images: int
    code: str
    """Constant for programs and translations, for example ``spacing``."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything that one revision of one series' result says."""

    algorithm: AlgorithmContent
    revision: int
    nodules: tuple[NoduleContent, ...]
    exam_lung_rads_category: str | None = None
    exam_lung_rads_applicable: str = "unknown"
    exam_lung_rads_why: str | None = None
    exam_lung_rads_management: str | None = None
    exam_lung_rads_offered: tuple[str, ...] = ()
    """What only a reader sets, each with its reason."""
    exam_fleischner: str | None = None
    """What Fleischner 2017 recommends."""
    exam_fleischner_applicable: str = "unknown"
    exam_fleischner_why: str | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    """Name to SHA-256 of every set of weights that was at work."""
    bank_version: str | None = None
    """Of the typical cases that nodules were compared with."""
    warnings: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    """What was not done or cannot be known, for example that no malignancy grade is given."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further name/value lines for the summary, for example lung volumes."""
    not_analysed: tuple[NotAnalysedSeries, ...] = ()
    """When not empty, nothing of the study could be analysed, and the report says only that."""
    partial_why: str | None = None
    """Why the report covers only part of what was asked, for example lungs cut off by the
    first slice: the report is then flagged PARTIAL (PS3.3 C.17.2, Completion Flag)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedObject:
    """A finished DICOM instance: the bytes that every delivery attempt sends."""

    kind: str
    """An `ObjectKind` of `profile`, or `rejection`."""
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    data: bytes
    """A complete Part 10 file."""
    profiles: tuple[str, ...] = ("default",)
    """Names of the profiles that it is sent under."""
