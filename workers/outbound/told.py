"""A committed result as values: what any message about it may say.

Read from what was committed and is never changed: ``findings.json``, and the SR that the PACS gets,
from which patient, study and the report's sentences are taken. So no message can name another
patient than the report does. Deliberately absent: how a message is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.compose import codes
from dicom_node.compose.content_tree import code_of, items
from dicom_node.read.header import Identity

TIME_PATTERN = re.compile(r"\d{2}(\d{2}(\d{2})?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldNodule:
    """One nodule; `None` and empty: not known, or not given."""

    number: int
    tracking_uid: str
    site: Code | None
    """Lobe, or lung, or nothing."""
    long_axis_mm: float
    short_axis_mm: float
    volume_mm3: float
    type: Code | None
    level: Code | None
    """The model's; withheld levels are absent."""
    suspicion: float | None
    """From 0 to 1, beside the level."""
    lung_rads: Code | None
    brock: float | None
    """Probability from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldResult:
    """One revision of a result."""

    identity: Identity
    study_time: str
    """HH, HHMM or HHMMSS; empty where it is unknown."""
    procedure: Code | None
    series_uid: str
    report_uid: str
    revision: int
    committed_at: datetime
    """In UTC."""
    algorithm: str
    lines: tuple[str, ...]
    """The SR's sentences, most important first."""
    analysed: bool
    """Whether there are findings; else the lines say why there are none."""
    lung_rads: Code | None
    """Of the examination."""
    nodules: tuple[ToldNodule, ...]

    @property
    def patient(self) -> tuple[str, str]:
        """Under which Patient ID and issuer it is filed."""
        return self.identity.patient_id, self.identity.issuer_of_patient_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a result stands among those of its study."""

    withdrawn: str = ""
    """Why it counts no more; empty while it counts."""
    newer_uid: str = ""
    """SOP Instance UID of the report that took its place, where there is one by now."""
    replaces: tuple[str, ...] = ()
    """SOP Instance UIDs of the reports whose place it took."""


def tell(
    findings: Mapping[str, Any], report: Dataset, *, revision: int, committed_at: float
) -> ToldResult:
    """What a message may say of a result.

    Parameters
    ----------
    findings : mapping
        ``findings.json``.
    report : Dataset
        One of the result's structured reports.
    revision : int
        From 1.
    committed_at : float
        Seconds since the epoch.
    """
    with config.disable_value_validation():
        time = TIME_PATTERN.match(str(report.get("StudyTime") or ""))
        algorithm = findings["algorithm"]
        return ToldResult(
            identity=Identity.from_dataset(report),
            study_time=time[0] if time else "",
            procedure=code_of(report, "ProcedureCodeSequence"),
            series_uid=str(findings["series_instance_uid"]),
            report_uid=str(report.SOPInstanceUID),
            revision=revision,
            committed_at=datetime.fromtimestamp(committed_at, tz=UTC),
            algorithm=f"{algorithm['name']} {algorithm['version']}",
            lines=_lines(report),
            analysed=findings["status"] == "analysed",
            lung_rads=_lung_rads(findings.get("exam", {}).get("lung_rads")),
            nodules=tuple(_nodule(item) for item in findings.get("nodules", ())),
        )


def _lines(report: Dataset) -> tuple[str, ...]:
    return tuple(
        str(item.TextValue)
        for container in items(report, codes.QUALITATIVE_EVALUATIONS, "CONTAINER")
        for item in items(container, codes.COMMENT, "TEXT")
    )


def _nodule(item: Mapping[str, Any]) -> ToldNodule:
    grade, guidelines = item["grade"], item["guidelines"]
    lobe = item["lobe"]["name"]
    return ToldNodule(
        number=int(item["id"]),
        tracking_uid=str(item["tracking_uid"]),
        site=codes.SITES.get(lobe or item["laterality"] or ""),
        long_axis_mm=float(item["long_axis_mm"]),
        short_axis_mm=float(item["short_axis_mm"]),
        volume_mm3=float(item["volume_mm3"]),
        type=codes.NODULE_TYPES.get(item["type"] or ""),
        level=codes.MODEL_LEVELS.get(grade.get("level") or ""),
        suspicion=grade.get("suspicion"),
        lung_rads=_lung_rads(guidelines["lung_rads"]),
        brock=guidelines["brock"]["probability"],
    )


def _lung_rads(assessment: Mapping[str, Any] | None) -> Code | None:
    category = assessment["category"] if assessment else None
    return codes.lung_rads_value(category) if category else None
