"""What the pipeline finds, from candidate to case: the types that leave `inference`.

Values are unrounded. What was not computed is `None`, never a made-up number.
`inference.findings_json` writes them as the contract's ``findings.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inference.grade_values import UNGRADED, NoduleGrade
from inference.known import KnownContext
from inference.pet_values import PetUsed, Uptake
from inference.report_values import ReportComparison, ReportedAs

PointLps = tuple[float, float, float]
NoduleType = Literal["solid", "part-solid", "ground-glass", "calcified"]
Laterality = Literal["left", "right"]
Applicable = Literal["yes", "no", "unknown"]
"""Whether a guideline is meant for this examination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A place where a nodule may be: output of a `Detector`."""

    centre_lps_mm: PointLps
    probability: float
    """0 to 1, for ranking; calibrated only where the detector's card says so."""
    diameter_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiMask:
    """A boolean box cut from a volume's grid."""

    origin_kji: tuple[int, int, int]
    mask: NDArray[np.bool_]
    """Shape (D, H, W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A straight line in one slice, between voxel-centre coordinates (continuous)."""

    k: int
    start_ji: tuple[float, float]
    end_ji: tuple[float, float]
    length_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """A nodule as radiologists measure it; mm, mm3 and HU, unrounded."""

    long_axis: Axis
    short_axis: Axis
    """Longest line perpendicular to `long_axis` in the same slice."""
    contour_ji: NDArray[np.float64]
    """Outer contour on the key slice, shape (N, 2), continuous (j, i), closed."""
    mean_diameter_mm: float
    max_3d_diameter_mm: float
    volume_mm3: float
    mean_hu: float
    solid_mean_diameter_mm: float | None
    solid_volume_mm3: float | None

    @property
    def key_slice_k(self) -> int:
        """Slice of the largest area, in which both axes lie."""
        return self.long_axis.k


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorNodule:
    """The same nodule at an earlier examination; `None` is unknown."""

    mean_diameter_mm: float
    nodule_type: NoduleType
    days_before: float
    """From that examination to this one; over 0."""
    solid_mean_diameter_mm: float | None = None
    """Of the solid part of a part-solid nodule."""
    volume_mm3: float | None = None
    category: str | None = None
    """Lung-RADS category that it had then."""

    def __post_init__(self) -> None:
        """Refuse what is not earlier.

        Raises
        ------
        ValueError
            If `days_before` is not over 0.
        """
        if self.days_before <= 0:
            raise ValueError(f"prior lies {self.days_before:g} days before, wanted over 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LungRadsAssessment:
    """Lung-RADS v2022 for one nodule or for the exam."""

    applicable: Applicable
    category: str | None
    why: str
    management: str | None = None
    modifier: str | None = None
    """Always `None`: S is offered."""
    offered: tuple[str, ...] = ()
    """What only a radiologist sets (0, 1, 4X, S), each with its reason: ``4X: spiculation``."""
    version: str = "2022"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleischnerAssessment:
    """Fleischner 2017 for one nodule or for the exam."""

    applicable: Applicable
    recommendation: str | None
    """Both risks' where the risk is unknown and matters."""
    why: str
    missing: tuple[str, ...] = ()
    """Inputs that would decide what is still open."""
    version: str = "2017"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrockEstimate:
    """PanCan / Brock full model; `probability` is `None` while an input is missing."""

    probability: float | None
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MayoEstimate:
    """Mayo Clinic model; `probability` is `None` while an input is missing or it is withheld."""

    probability: float | None
    missing: tuple[str, ...] = ()
    withheld: str | None = None
    """Why the model does not hold for this nodule or patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthEstimate:
    """What became of a nodule's volume since an earlier examination."""

    volume_change_percent: float
    doubling_days: float | None
    """`None` for a change under 25 % and for a nodule that became smaller."""
    change: Literal["growing", "stable", "shrinking"]
    pace: Literal["fast", "intermediate", "slow"] | None
    """Doubling within 400 days, within 600 days, later; `None` without a doubling time."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleChange:
    """What became of a nodule since an earlier examination."""

    status: Literal["new", "grown", "stable", "shrunk", "unknown"]
    """By volume where both are known; `new` only where the earlier CT shows nothing there."""
    why: str
    prior: PriorNodule | None = None
    prior_key: str | None = None
    """Names the nodule then (its Tracking UID); `None` where it was not listed."""
    matched_by: Literal["place", "search", "size"] | None = None
    """`search`: not listed then, found in the earlier CT at this place. `size`: without an
    earlier CT, by side, lobe, type and size; less certain."""
    growth: GrowthEstimate | None = None
    diameter_change_mm: float | None = None
    """Of the mean diameter."""
    distance_mm: float | None = None
    """Between both places after registration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierNodule:
    """A nodule that an earlier examination listed and this one does not."""

    key: str
    """Its Tracking UID."""
    status: Literal["resolved", "smaller", "present", "unknown"]
    """`smaller`, `present`: still seen at that place, though not listed."""
    why: str
    type: NoduleType
    mean_diameter_mm: float
    """Then."""
    mean_diameter_now_mm: float | None = None
    place_lps_mm: PointLps | None = None
    """Where it would lie now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """The comparison with an earlier examination."""

    exam: str
    """Its Study Instance UID."""
    days_before: float
    source: str
    compared: bool
    """Whether nodules were matched at all."""
    why: str
    """How they were compared, or why not."""
    overlap: float | None = None
    """Dice coefficient of the lungs laid over each other, 0 to 1."""
    common: float | None = None
    """Share of the lungs now that the earlier CT covers, 0 to 1."""
    unlisted: tuple[EarlierNodule, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """A segmented, measured nodule."""

    id: int
    """Rank in the list, from 1."""
    centre_lps_mm: PointLps
    """Centroid of the mask."""
    voi: VoiMask
    detection_probability: float
    measurements: Measurements
    type: NoduleType
    laterality: Laterality | None
    lobe: str | None
    lobe_probability: float | None
    lung_rads: LungRadsAssessment
    fleischner: FleischnerAssessment
    brock: BrockEstimate
    mayo: MayoEstimate
    attributes: Mapping[str, float] = field(default_factory=dict)
    """Predicted, in LIDC's scales; empty where no network described the nodule."""
    features: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """What the grader was given, by modality and column; `None` is unknown. Empty where nothing
    was given: no grader was at work, or the encoder was never trained on the like."""
    grade: NoduleGrade = UNGRADED
    change: NoduleChange | None = None
    """Since an earlier examination; `None` where there was none."""
    uptake: Uptake | None = None
    """In a PET; `None` where there was none, or it does not cover the nodule."""
    reported: Mapping[str, float] = field(default_factory=dict)
    """What a radiologist's report says of it, by column of modality ``ct_report`` (LIDC's scales);
    empty where no report names the nodule."""
    reported_as: ReportedAs | None = None
    """The same as it is told, with the report and why it is this nodule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LungSide:
    """One side of the chest."""

    side: Laterality
    aerated_ml: float
    unaerated_ml: float
    """Where lung should be and no air is, as far as it could be told from the ribs."""

    @property
    def aerated_fraction(self) -> float | None:
        """Share of the cavity that is aerated, 0 to 1; `None` where no cavity was found."""
        whole = self.aerated_ml + self.unaerated_ml
        return self.aerated_ml / whole if whole > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LungSummary:
    """Aerated volumes, ml, and what was covered.

    `left_ml` and `right_ml` are `None`, and `sides` is empty, where the sides could not be
    told apart.
    """

    left_ml: float | None
    right_ml: float | None
    total_ml: float
    sides: tuple[LungSide, ...] = ()
    beyond: tuple[str, ...] = ()
    """Ends of the series that the lungs reach beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What limits the result."""

    slice_spacing_mm: float
    coverage: Literal["full", "partial"]
    warnings: tuple[str, ...] = ()
    air_hu: float | None = None
    """Of the airways; `None` where they were not found."""
    blood_hu: float | None = None
    """Of the heart; `None` where it was not found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicalContext:
    """What is known of the patient beside the pixels; `None` is unknown."""

    age_years: float | None = None
    sex: Literal["F", "M"] | None = None
    screening_exam: bool | None = None
    emphysema: bool | None = None
    family_history_lung_cancer: bool | None = None
    ever_smoker: bool | None = None
    """Cigarettes, now or formerly."""
    extrathoracic_cancer_over_5_years: bool | None = None
    """Diagnosed more than five years ago."""
    known_cancer: bool | None = None
    """A primary cancer that may have spread to the lungs, lung cancer, or any cancer diagnosed
    within the last five years."""
    immunosuppressed: bool | None = None
    high_risk: bool | None = None
    """Of lung cancer, as a clinician judges it (Fleischner 2017: intermediate counts as high)."""
    pack_years: float | None = None
    size_m: float | None = None
    """Height of the body."""
    weight_kg: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFindings:
    """All that one analysis of one series found."""

    algorithm_name: str
    algorithm_version: str
    weights: Mapping[str, str] = field(default_factory=dict)
    """Name to sha256 of each set of trained weights used; empty for classical methods."""
    device: str = "cpu"
    bank_version: str | None = None
    """Of the typical cases; `None` where nothing was graded."""
    engine: str | None = None
    """Name and version of what ran the networks; `None` for classical methods."""
    timings_s: Mapping[str, float] = field(default_factory=dict)
    peak_rss_mb: float = 0.0
    quality: Quality
    lungs: LungSummary
    candidates: tuple[Candidate, ...]
    nodules: tuple[Nodule, ...]
    exam_lung_rads: LungRadsAssessment
    exam_fleischner: FleischnerAssessment
    limits: tuple[str, ...] = ()
    """What this version cannot know, said in every report."""
    follow_up: FollowUp | None = None
    """`None` where there was no earlier examination."""
    pet: PetUsed | None = None
    known: KnownContext | None = None
    """What was known beside the pixels; `None` where nobody asked."""
    reported: ReportComparison | None = None
    """`None` where there was no report of this examination."""
