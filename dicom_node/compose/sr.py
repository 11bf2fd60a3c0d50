"""The Structured Report: TID 1500 in Comprehensive SR (PS3.16 TID 1500, PS3.3 A.35.3).

Comprehensive SR (88.33) is the class that every open viewer draws, Stone included, as long as
the region's image is named Original Source. What a group holds: `sr_groups`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime

import highdicom
from highdicom import sr
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from dicom_node.compose import codes
from dicom_node.compose.content import AlgorithmContent, ComposedObject, ReportContent
from dicom_node.compose.envelope import (
    contributing_equipment,
    seal,
    single_component_names_allowed,
    source_headers,
)
from dicom_node.compose.identity import derive_uid, result_instance_uid, result_series_uid
from dicom_node.compose.sr_groups import nodule_groups
from dicom_node.compose.sr_text import summary_lines
from dicom_node.equipment import MANUFACTURER
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries

SR_SERIES_NUMBER = 9001
SERIES_DESCRIPTION = "AI lung nodules SR (research use, unverified)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The report that a revision replaces (Predecessor Documents Sequence, PS3.3 C.17.2.2)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def compose_sr(
    series: CtSeries,
    content: ReportContent,
    *,
    seg: ComposedObject | None,
    created: datetime,
    predecessor: Predecessor | None = None,
    profile: str = "default",
) -> ComposedObject:
    """Compose the report.

    Parameters
    ----------
    series : CtSeries
        The CT in which the nodules were found.
    content : ReportContent
        What to say; without nodules the report says that nothing is above the threshold.
    seg : ComposedObject or None
        The segmentation of the same content; `None` exactly when there is no nodule.
    created : datetime
        Content date and time.
    predecessor : Predecessor, optional
        The report of the revision before.
    profile : str
        Kind of destination; part of the identity.

    Raises
    ------
    ComposeError
        If `seg` and the nodules do not belong together.
    """
    if (seg is None) != (not content.nodules):
        raise ComposeError("a report has a segmentation exactly when it has nodules")
    with single_component_names_allowed():
        return _compose(series, content, seg, created, predecessor, profile)


def _compose(
    series: CtSeries,
    content: ReportContent,
    seg: ComposedObject | None,
    created: datetime,
    predecessor: Predecessor | None,
    profile: str,
) -> ComposedObject:
    headers = source_headers(series)
    segmentation = None if seg is None else dcmread(io.BytesIO(seg.data))
    groups = [
        group
        for index, nodule in enumerate(content.nodules)
        for group in nodule_groups(nodule, index + 1, headers, segmentation, content.algorithm)
    ]
    report = sr.MeasurementReport(
        observation_context=_observation_context(content.algorithm),
        procedure_reported=codes.CT_OF_CHEST,
        imaging_measurements=groups or [_placeholder()],
        referenced_images=_key_images(headers, content),
    )
    if not groups:
        _drop_measurements(report[0])
    _add_evaluations(report[0], content)
    evidence = headers if segmentation is None else [*headers, segmentation]
    ds = sr.ComprehensiveSR(
        evidence=evidence,
        content=report[0],
        series_instance_uid=result_series_uid(series.series_instance_uid, "sr"),
        series_number=SR_SERIES_NUMBER,
        sop_instance_uid=result_instance_uid(
            series.series_instance_uid, content.revision, "sr", profile
        ),
        instance_number=content.revision,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=SERIES_DESCRIPTION,
        contributing_equipment=contributing_equipment(content.algorithm),
    )
    _add_whole_series(ds, headers)
    if predecessor is not None:
        ds.PredecessorDocumentsSequence = [_predecessor_item(predecessor)]
    data = seal(ds, headers[0], content.algorithm, created)
    return ComposedObject(
        kind="sr",
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        data=data,
    )


def _observation_context(algorithm: AlgorithmContent) -> sr.ObservationContext:
    """TID 1001 with the device as observer (TID 1004)."""
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=Code("121007", "DCM", "Device"),
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=algorithm.device_uid,
                name=algorithm.name,
                manufacturer_name=algorithm.manufacturer,
                model_name=algorithm.model_name,
                serial_number=algorithm.serial_number,
            ),
        )
    )


def _key_images(headers: list[Dataset], content: ReportContent) -> list[Dataset]:
    """One image per nodule for the image library; the middle one when there is no nodule."""
    planes = {nodule.key_slice_k for nodule in content.nodules} or {len(headers) // 2}
    return [headers[k] for k in sorted(planes)]


def _placeholder() -> sr.MeasurementsAndQualitativeEvaluations:
    """highdicom wants a group even where nothing was found; it is dropped again."""
    tracking = sr.TrackingIdentifier(uid=derive_uid("placeholder"), identifier="none")
    return sr.MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking)


def _drop_measurements(root: Dataset) -> None:
    """TID 1500 wants Imaging Measurements or Qualitative Evaluations, not both (row 7 and 12)."""
    kept = [
        item
        for item in root.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue != codes.IMAGING_MEASUREMENTS.value
    ]
    root.ContentSequence = sr.ContentSequence(kept)


def _add_evaluations(root: Dataset, content: ReportContent) -> None:
    """Exam-level answers, where viewers look for what belongs to no nodule (TID 1500 row 12)."""
    container = sr.ContainerContentItem(
        name=codes.QUALITATIVE_EVALUATIONS,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )
    container.ContentSequence = highdicom.sr.ContentSequence()
    if content.exam_lung_rads_category is not None:
        container.ContentSequence.append(
            sr.CodeContentItem(
                name=codes.LUNG_RADS,
                value=codes.lung_rads_value(content.exam_lung_rads_category),
                relationship_type=sr.RelationshipTypeValues.CONTAINS,
            )
        )
    container.ContentSequence.extend(
        sr.TextContentItem(
            name=codes.COMMENT,
            value=line,
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
        for line in summary_lines(content)
    )
    root.ContentSequence.append(container)


def _add_whole_series(ds: Dataset, headers: list[Dataset]) -> None:
    """Name every image that was looked at as evidence, also those without a finding.

    highdicom lists only what the content tree refers to; a reader of a negative report must
    see what it is negative about.
    """
    sequence = ds.get("CurrentRequestedProcedureEvidenceSequence") or []
    listed = {
        str(reference.ReferencedSOPInstanceUID)
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    missing = []
    for header in headers:
        if str(header.SOPInstanceUID) not in listed:
            item = Dataset()
            item.ReferencedSOPClassUID = header.SOPClassUID
            item.ReferencedSOPInstanceUID = header.SOPInstanceUID
            missing.append(item)
    if not missing:
        return
    uid = headers[0].SeriesInstanceUID
    for study in sequence:
        for series in study.ReferencedSeriesSequence:
            if series.SeriesInstanceUID == uid:
                series.ReferencedSOPSequence.extend(missing)
                return
    series = Dataset()
    series.SeriesInstanceUID = uid
    series.ReferencedSOPSequence = missing
    study = Dataset()
    study.StudyInstanceUID = headers[0].StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    ds.CurrentRequestedProcedureEvidenceSequence = [*sequence, study]


def _predecessor_item(predecessor: Predecessor) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = UID(predecessor.sop_class_uid)
    reference.ReferencedSOPInstanceUID = UID(predecessor.sop_instance_uid)
    series = Dataset()
    series.SeriesInstanceUID = UID(predecessor.series_instance_uid)
    series.ReferencedSOPSequence = [reference]
    study = Dataset()
    study.StudyInstanceUID = UID(predecessor.study_instance_uid)
    study.ReferencedSeriesSequence = [series]
    return study
