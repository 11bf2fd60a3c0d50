"""`KnownNodule`: a nodule of ours as an edited report is compared with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicom_node.compose import codes
from dicom_node.read.measurement_report import TrackedFinding

Point = tuple[float, float, float]
Concept = tuple[str, str]

LEVEL = (codes.MODEL_LEVEL.value, codes.MODEL_LEVEL.scheme_designator)
LEVELS = {code.value: level for level, code in codes.MODEL_LEVELS.items()}
LUNG_RADS = (codes.LUNG_RADS.value, codes.LUNG_RADS.scheme_designator)
LUNG_RADS_PREFIX = codes.lung_rads_value("").value
TYPE = (codes.NODULE_TYPE.value, codes.NODULE_TYPE.scheme_designator)
TYPES = {code.value: name for name, code in codes.NODULE_TYPES.items()}
MEASURES = {
    (codes.LONG_AXIS.value, codes.LONG_AXIS.scheme_designator, "mm"): "long_axis_mm",
    (codes.SHORT_AXIS.value, codes.SHORT_AXIS.scheme_designator, "mm"): "short_axis_mm",
    (codes.DIAMETER.value, codes.DIAMETER.scheme_designator, "mm"): "mean_diameter_mm",
    (codes.VOLUME.value, codes.VOLUME.scheme_designator, "mm3"): "volume_mm3",
    (codes.ATTENUATION.value, codes.ATTENUATION.scheme_designator, "[hnsf'U]"): "mean_hu",
}
ROUNDED = {"volume_mm3": 0.11, "mean_hu": 0.11}
ROUNDED_MM = 0.011
"""What a report's rounding may change (mm to two digits, mm3 and HU to one)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNodule:
    """A nodule that we reported, or that somebody added to our report before.

    Attributes
    ----------
    number : int or None
        In the findings; `None` for one that was added.
    centre_lps_mm : tuple
    diameter_mm : float or None
        Its long axis.
    level, lung_rads, type : str or None
        As reported.
    measures : mapping
        Name to every value that a report of ours gave, so that rounding is no change.
    comments : frozenset of str
        The texts that reports of ours gave it.
    """

    tracking_uid: str
    number: int | None
    centre_lps_mm: Point
    diameter_mm: float | None
    level: str | None
    lung_rads: str | None
    type: str | None
    measures: Mapping[str, Sequence[float]]
    comments: frozenset[str]

    @property
    def name(self) -> str:
        """For sentences."""
        return "an added nodule" if self.number is None else f"nodule {self.number}"

    def is_measured_so(self, name: str, value: float) -> bool:
        """Whether a report of ours says the same, apart from rounding."""
        tolerance = ROUNDED.get(name, ROUNDED_MM)
        return any(abs(value - ours) <= tolerance for ours in self.measures.get(name, ()))


def known_nodules(
    findings: Mapping[str, Any], reports: Iterable[Mapping[str, TrackedFinding]]
) -> tuple[KnownNodule, ...]:
    """The nodules of ``findings.json``, with what our reports said of them.

    Parameters
    ----------
    findings : mapping
        Of an analysed series.
    reports : iterable of mapping
        The tracked findings of each report that was made of them.
    """
    told = list(reports)
    return tuple(
        _known(nodule, [report[uid] for report in told if uid in report])
        for nodule in findings.get("nodules", ())
        for uid in (str(nodule["tracking_uid"]),)
    )


def _known(nodule: Mapping[str, Any], reported: Sequence[TrackedFinding]) -> KnownNodule:
    measures: dict[str, list[float]] = {
        name: [float(nodule[name])] for name in MEASURES.values() if nodule.get(name) is not None
    }
    for finding in reported:
        for key, name in MEASURES.items():
            if key in finding.measurements:
                measures.setdefault(name, []).append(finding.measurements[key])
    x, y, z = nodule["centre_lps_mm"]
    guidelines = nodule.get("guidelines") or {}
    return KnownNodule(
        tracking_uid=str(nodule["tracking_uid"]),
        number=int(nodule["id"]),
        centre_lps_mm=(float(x), float(y), float(z)),
        diameter_mm=nodule.get("long_axis_mm"),
        level=(nodule.get("grade") or {}).get("level"),
        lung_rads=(guidelines.get("lung_rads") or {}).get("category"),
        type=nodule.get("type"),
        measures=measures,
        comments=frozenset(text for finding in reported for text in finding.comments),
    )


def level_of(finding: TrackedFinding) -> str | None:
    """The level that a finding's code gives, in our own scheme."""
    return LEVELS.get(finding.codes.get(LEVEL, ""))


def lung_rads_of(finding: TrackedFinding) -> str | None:
    """The Lung-RADS category that a finding's code gives, in our own scheme."""
    value = finding.codes.get(LUNG_RADS, "")
    return value.removeprefix(LUNG_RADS_PREFIX) if value.startswith(LUNG_RADS_PREFIX) else None


def type_of(finding: TrackedFinding) -> str | None:
    """The type that a finding's code gives, in our own scheme."""
    return TYPES.get(finding.codes.get(TYPE, ""))


def measures_of(finding: TrackedFinding) -> dict[str, float]:
    """What a finding measures, by the names of ``findings.json``."""
    return {
        name: finding.measurements[key]
        for key, name in MEASURES.items()
        if key in finding.measurements
    }
