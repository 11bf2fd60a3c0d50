"""Measurement reports that people made of ours: who says it, what it replaces, and when.

A viewer saves an edited report under its own equipment and names ours as predecessor; a
reporting system signs a copy with Verifying Observers. Nothing here knows what we reported:
who reads it compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExtensibleSRStorage,
)
from pydicom.valuerep import DA, DT, TM

from dicom_node.errors import UnreadableInstance
from dicom_node.read.eligibility import is_own_header
from dicom_node.read.header import Identity, InstanceHeader, read_header
from dicom_node.read.measurement_report import TrackedFinding, concept_of, find_tracked
from dicom_node.read.stored_file import MALFORMED, read_before_pixels

REPORT_CLASSES = frozenset(
    map(
        str,
        (
            BasicTextSRStorage,
            EnhancedSRStorage,
            ComprehensiveSRStorage,
            Comprehensive3DSRStorage,
            ExtensibleSRStorage,
        ),
    )
)
"""General purpose reports; dose, CAD and procedure logs are none."""
PERSON_NAME = ("121008", "DCM")
PERSON_LOGIN = ("128774", "DCM")
NOBODY = frozenset({"", "unknown"})
"""What dcmjs writes where nobody is logged in (``unknown^unknown``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """A person who stands for a report.

    Attributes
    ----------
    name : str
        Given name before family name; empty when the report names nobody.
    identifier : str
        Code or login name; may be empty.
    role : str
        ``verifying observer``, ``author observer`` or ``person observer``.
    """

    name: str
    identifier: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedReport:
    """A report, as far as it can answer ours.

    Attributes
    ----------
    author : Author or None
        The last one who verified it, else its author; `None` when no person made it.
    verified : bool
        Verification Flag is VERIFIED, and somebody did so.
    is_measurement_report : bool
        TID 1500.
    is_partial : bool
        Completion Flag is PARTIAL.
    has_own_equipment : bool
        The General Equipment is this product's: a copy of ours, signed perhaps.
    said_at : float or None
        Seconds since the epoch: of the verification, else of the content.
    predecessors, evidence : frozenset of str
        SOP Instance UIDs that it replaces, and that it rests on.
    findings : mapping
        By Tracking UID.
    """

    sop_instance_uid: str
    series_instance_uid: str
    identity: Identity
    author: Author | None
    verified: bool
    is_measurement_report: bool
    is_partial: bool
    has_own_equipment: bool
    said_at: float | None
    predecessors: frozenset[str]
    evidence: frozenset[str]
    findings: Mapping[str, TrackedFinding]


def is_report(header: InstanceHeader) -> bool:
    """Whether an instance is a report that somebody may have made of ours."""
    return header.modality == "SR" and header.sop_class_uid in REPORT_CLASSES


def read_edited_report(path: Path) -> EditedReport:
    """Read a report.

    Raises
    ------
    UnreadableInstance
        If it is none, or its content tree is malformed.
    """
    header = read_header(path)
    ds = read_before_pixels(path)
    if not is_report(header):
        raise UnreadableInstance(str(path), "it is no Structured Report")
    try:
        verifying = _verifying(ds)
        template = (ds.get("ContentTemplateSequence") or [Dataset()])[0]
        return EditedReport(
            sop_instance_uid=header.sop_instance_uid,
            series_instance_uid=header.series_instance_uid,
            identity=header.identity,
            author=verifying or _author(ds) or _person_observer(ds),
            verified=ds.get("VerificationFlag") == "VERIFIED" and verifying is not None,
            is_measurement_report=str(template.get("TemplateIdentifier", "")) == "1500",
            is_partial=ds.get("CompletionFlag") == "PARTIAL",
            has_own_equipment=is_own_header(header),
            said_at=_said_at(ds),
            predecessors=frozenset(_references(ds, "PredecessorDocumentsSequence")),
            evidence=frozenset(
                uid
                for keyword in (
                    "CurrentRequestedProcedureEvidenceSequence",
                    "PertinentOtherEvidenceSequence",
                )
                for uid in _references(ds, keyword)
            ),
            findings=find_tracked(ds),
        )
    except MALFORMED as error:
        raise UnreadableInstance(str(path), " ".join(str(error).split())) from error


def place_lps_mm(
    finding: TrackedFinding, headers: Mapping[str, InstanceHeader]
) -> tuple[float, float, float] | None:
    """The middle of all that is drawn of a finding, LPS mm; `None` when that cannot be told.

    Parameters
    ----------
    headers : mapping
        Of the images, by SOP Instance UID.
    """
    points = list(finding.points_lps_mm)
    for drawn in finding.image_points:
        header = headers.get(drawn.sop_instance_uid)
        if header is not None:
            points += _to_lps_mm(drawn.points, header)
    if not points:
        return None
    x, y, z = (np.min(points, axis=0) + np.max(points, axis=0)) / 2
    return float(x), float(y), float(z)


def images_of(report: EditedReport) -> frozenset[str]:
    """SOP Instance UIDs of the images that something is drawn on."""
    return frozenset(
        drawn.sop_instance_uid
        for finding in report.findings.values()
        for drawn in finding.image_points
    )


def _to_lps_mm(
    points: Sequence[tuple[float, float]], header: InstanceHeader
) -> list[tuple[float, float, float]]:
    """(Column, row) from the corner of the top left pixel -> LPS mm (PS3.3 C.7.6.2.1.1)."""
    position, cosines = header.image_position_lps_mm, header.image_orientation
    if position is None or cosines is None or header.pixel_spacing_mm is None:
        return []
    between_rows_mm, between_columns_mm = header.pixel_spacing_mm
    along_row, along_column = np.array(cosines[:3]), np.array(cosines[3:])
    placed = []
    for column, row in points:
        x, y, z = (
            np.array(position)
            + along_row * (column - 0.5) * between_columns_mm
            + along_column * (row - 0.5) * between_rows_mm
        )
        placed.append((float(x), float(y), float(z)))
    return placed


def _references(ds: Dataset, keyword: str) -> Iterator[str]:
    """SOP Instance UIDs of a hierarchical reference (PS3.3 table 10-4)."""
    for study in ds.get(keyword) or []:
        for series in study.get("ReferencedSeriesSequence") or []:
            for item in series.get("ReferencedSOPSequence") or []:
                yield str(item.ReferencedSOPInstanceUID)


def _verifying(ds: Dataset) -> Author | None:
    """The last one who verified it (PS3.3 C.17.2, Verifying Observer Sequence)."""
    items = list(ds.get("VerifyingObserverSequence") or [])
    if not items:
        return None
    last = max(items, key=lambda item: str(item.get("VerificationDateTime", "")))
    return Author(
        name=_name(last.get("VerifyingObserverName")),
        identifier=_code(last, "VerifyingObserverIdentificationCodeSequence"),
        role="verifying observer",
    )


def _author(ds: Dataset) -> Author | None:
    """The first person among its authors (PS3.3 C.17.2, Author Observer Sequence)."""
    for item in ds.get("AuthorObserverSequence") or []:
        if item.get("ObserverType") == "PSN" or "PersonName" in item:
            return Author(
                name=_name(item.get("PersonName")),
                identifier=_code(item, "PersonIdentificationCodeSequence"),
                role="author observer",
            )
    return None


def _person_observer(ds: Dataset) -> Author | None:
    """The person in the observation context (PS3.16 TID 1003); `None` where a device observed."""
    items = list(ds.get("ContentSequence") or [])
    people = [item for item in items if concept_of(item) == PERSON_NAME]
    if not people:
        return None
    logins = [str(item.TextValue) for item in items if concept_of(item) == PERSON_LOGIN]
    return Author(
        name=_name(people[0].get("PersonName")),
        identifier=logins[0] if logins else "",
        role="person observer",
    )


def _name(value: object) -> str:
    """A person name as people write it; empty for the names of nobody."""
    parts = [part.strip() for part in str(value or "").split("=")[0].split("^")]
    family, given = parts[0], parts[1] if len(parts) > 1 else ""
    words = [word for word in (given, family) if word.casefold() not in NOBODY]
    return " ".join(words)


def _code(item: Dataset, keyword: str) -> str:
    codes = item.get(keyword) or []
    return str(codes[0].get("CodeValue", "")) if len(codes) else ""


def _said_at(ds: Dataset) -> float | None:
    times = [
        str(item.get("VerificationDateTime") or "")
        for item in ds.get("VerifyingObserverSequence") or []
    ]
    zone = str(ds.get("TimezoneOffsetFromUTC") or "")
    if any(times):
        return _seconds(DT(max(times)), zone)
    date, time = str(ds.get("ContentDate") or ""), str(ds.get("ContentTime") or "")
    if not date:
        return None
    moment = f"{TM(time):%H%M%S}" if time else ""
    return _seconds(DT(f"{DA(date):%Y%m%d}{moment}"), zone)


def _seconds(moment: datetime, zone: str) -> float:
    """Seconds since the epoch; without any offset it is this host's local time."""
    plain = datetime.fromisoformat(moment.isoformat())
    if plain.tzinfo is None and zone:
        plain = datetime.fromisoformat(f"{plain.isoformat()}{zone[:3]}:{zone[3:]}")
    return plain.timestamp()
