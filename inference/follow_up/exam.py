"""An earlier examination, as it is brought here to be compared with."""

from __future__ import annotations

from dataclasses import dataclass

from inference.findings import Laterality, NoduleType, PointLps
from inference.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFinding:
    """A nodule as an earlier examination listed it; `None` is unknown."""

    key: str
    """Names it for ever: its Tracking UID."""
    centre_lps_mm: PointLps | None
    """In that examination's own coordinates."""
    type: NoduleType
    mean_diameter_mm: float
    volume_mm3: float | None
    solid_mean_diameter_mm: float | None = None
    category: str | None = None
    """Lung-RADS category that it had."""
    laterality: Laterality | None = None
    lobe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorExam:
    """An earlier chest CT of the same patient, which whoever made this has made sure of.

    Attributes
    ----------
    key : str
        Names the examination: its Study Instance UID.
    days_before : float
        Over 0.
    findings : tuple of PriorFinding
        What was listed then.
    volume : Volume or None
        Its CT; without it nothing can be looked for, and places cannot be compared.
    places : tuple of PointLps
        Where candidates lay that were not listed, in that examination's coordinates.
    same_method : bool
        Its nodules were outlined by the same version of the software and the same weights.
    source : str
        Where it was got from, for reports.
    """

    key: str
    days_before: float
    findings: tuple[PriorFinding, ...]
    volume: Volume | None = None
    places: tuple[PointLps, ...] = ()
    same_method: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse what is not earlier.

        Raises
        ------
        ValueError
            If `days_before` is not over 0.
        """
        if self.days_before <= 0:
            raise ValueError(f"prior lies {self.days_before:g} days before, wanted over 0")
