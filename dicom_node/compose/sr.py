"""The Structured Report: TID 1500 in Comprehensive SR (PS3.16 TID 1500, PS3.3 A.35.3).

Which SOP class, groups and names suit which viewer: `profile`. What a nodule's groups hold:
`sr_groups`. The words: `sr_text`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime

from highdicom import sr
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage

from dicom_node.compose import codes
from dicom_node.compose.content import AlgorithmContent, ComposedObject, ReportContent
from dicom_node.compose.content_tree import walk
from dicom_node.compose.envelope import (
    contributing_equipment,
    seal,
    source_headers,
    translated_errors,
)
from dicom_node.compose.identity import derive_uid, result_instance_uid, result_series_uid
from dicom_node.compose.profile import DEFAULT, ObjectKind, Profile
from dicom_node.compose.sr_groups import Group, nodule_groups
from dicom_node.compose.sr_text import summary_lines
from dicom_node.equipment import MANUFACTURER
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries

LONGEST_LO = 64
"""Characters of an LO value (PS3.5 section 6.2)."""


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
    profile: Profile = DEFAULT,
) -> ComposedObject:
    """Compose the report.

    Parameters
    ----------
    series : CtSeries
        The CT in which the nodules were found.
    content : ReportContent
        What to say; without nodules the report says that nothing is above the threshold.
    seg : ComposedObject or None
        The segmentation of the same content; `None` exactly when there is no nodule, or the
        profile's reports name no segment.
    created : datetime
        Content date and time.
    predecessor : Predecessor, optional
        The report of the revision before.
    profile : Profile
        Kind of destination; what of it shapes the report is part of the identity.

    Raises
    ------
    ComposeError
        If `seg` and the nodules do not belong together, the slices have no common Frame of
        Reference, or a nodule's key slice is not in the series.
    """
    names_segments = bool(content.nodules) and "segment" in profile.sr.groups
    if (seg is not None) != names_segments:
        raise ComposeError(
            "a report has a segmentation exactly when it has nodules whose segments it names"
        )
    for nodule in content.nodules:
        if not 0 <= nodule.key_slice_k < len(series.headers):
            raise ComposeError(
                f"nodule {nodule.number}: key slice {nodule.key_slice_k} of {len(series.headers)}"
            )
    with translated_errors("report"):
        return _compose(series, content, seg, created, predecessor, profile)


def _compose(
    series: CtSeries,
    content: ReportContent,
    seg: ComposedObject | None,
    created: datetime,
    predecessor: Predecessor | None,
    profile: Profile,
) -> ComposedObject:
    headers = source_headers(series)
    # highdicom reads the segment's source images; the pixels would be dead weight.
    segmentation = None if seg is None else dcmread(io.BytesIO(seg.data), stop_before_pixels=True)
    groups: list[Group] = []
    for number, nodule in enumerate(content.nodules, start=1):
        groups += nodule_groups(
            nodule, number, headers, segmentation, content.algorithm, profile.sr
        )
    report = sr.MeasurementReport(
        observation_context=_observation_context(content.algorithm),
        procedure_reported=codes.CT_OF_CHEST,
        imaging_measurements=groups or [_placeholder()],
        title=codes.IMAGING_MEASUREMENT_REPORT if groups else profile.sr.empty_title,
        referenced_images=_key_images(headers, content),
    )
    if not groups:
        _drop_measurements(report[0])
    _add_evaluations(report[0], content)
    kind = ObjectKind.SR
    dress = profile.series_of(kind)
    iod = (
        sr.Comprehensive3DSR
        if profile.sr.sop_class_uid == Comprehensive3DSRStorage
        else sr.ComprehensiveSR
    )
    ds = iod(
        evidence=headers[:1],
        content=sr.ContentSequence([_bare_root(report[0])], is_root=True),
        series_instance_uid=result_series_uid(
            series.series_instance_uid, kind, profile.series_variant(kind)
        ),
        series_number=dress.number,
        sop_instance_uid=result_instance_uid(
            series.series_instance_uid, content.revision, kind, profile.variant(kind)
        ),
        instance_number=content.revision,
        manufacturer=MANUFACTURER,
        is_complete=content.partial_why is None,
        is_final=False,
        is_verified=False,
        record_evidence=False,
        series_description=dress.description,
        contributing_equipment=contributing_equipment(content.algorithm),
        specific_character_set=None,
    )
    if content.partial_why is not None:
        ds.CompletionFlagDescription = content.partial_why[:LONGEST_LO]
    ds.ContentSequence = report[0].ContentSequence
    ds.CurrentRequestedProcedureEvidenceSequence = [_evidence(headers, segmentation)]
    if predecessor is not None:
        ds.PredecessorDocumentsSequence = [_predecessor_item(predecessor)]
    _set_items_apart(ds)
    data = seal(ds, series.headers[0], content, created)
    return ComposedObject(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        data=data,
    )


def _observation_context(algorithm: AlgorithmContent) -> sr.ObservationContext:
    """TID 1001 with the device as observer (TID 1004)."""
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=sr.CodedConcept.from_code(codes.DEVICE),
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
    """Highdicom wants a group even where nothing was found; it is dropped again."""
    tracking = sr.TrackingIdentifier(uid=derive_uid("placeholder"), identifier="none")
    return sr.MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking)


def _drop_measurements(root: Dataset) -> None:
    """Without nodules only Qualitative Evaluations stand (TID 1500 rows 6 and 12: either)."""
    root.ContentSequence = sr.ContentSequence(
        [
            item
            for item in root.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue != codes.IMAGING_MEASUREMENTS.value
        ]
    )


def _add_evaluations(root: Dataset, content: ReportContent) -> None:
    """Exam-level answers (TID 1500 rows 12-14): never in a group, which would need a place.

    The words come line by line, one TEXT each: viewers show them as a list.
    """
    contains = sr.RelationshipTypeValues.CONTAINS
    container = sr.ContainerContentItem(
        name=codes.QUALITATIVE_EVALUATIONS, relationship_type=contains
    )
    container.ContentSequence = sr.ContentSequence()
    algorithm = content.algorithm
    container.ContentSequence.extend(
        sr.AlgorithmIdentification(name=algorithm.name, version=algorithm.version)
    )
    if content.exam_lung_rads_category is not None:
        container.ContentSequence.append(
            sr.CodeContentItem(
                name=codes.LUNG_RADS,
                value=codes.lung_rads_value(content.exam_lung_rads_category),
                relationship_type=contains,
            )
        )
    container.ContentSequence.extend(
        sr.TextContentItem(name=codes.COMMENT, value=line, relationship_type=contains)
        for line in summary_lines(content)
    )
    root.ContentSequence.append(container)


def _set_items_apart(ds: Dataset) -> None:
    """Each item stands for itself (Continuity of Content, PS3.3 table C.17-4).

    Of continuous items, which highdicom makes, OHIF makes one paragraph without names.
    """
    for item in (ds, *walk(ds)):
        if item.ValueType == "CONTAINER":
            item.ContinuityOfContent = "SEPARATE"


def _bare_root(root: Dataset) -> sr.ContainerContentItem:
    """The root without its tree: highdicom would copy and search the whole of it, twice."""
    name = root.ConceptNameCodeSequence[0]
    item = sr.ContainerContentItem(name=name, template_id="1500")
    item.ContentSequence = sr.ContentSequence()
    return item


def _evidence(headers: list[Dataset], segmentation: Dataset | None) -> Dataset:
    """Every image that was looked at and the SEG, once each (PS3.3 C.17.2.3).

    highdicom lists only what the content tree refers to; a reader of a negative report must
    see what it is negative about.
    """
    study = Dataset()
    study.StudyInstanceUID = headers[0].StudyInstanceUID
    study.ReferencedSeriesSequence = [_references(headers)]
    if segmentation is not None:
        study.ReferencedSeriesSequence.append(_references([segmentation]))
    return study


def _references(instances: list[Dataset]) -> Dataset:
    """One series' item of a hierarchical reference (PS3.3 table 10-4)."""
    series = Dataset()
    series.SeriesInstanceUID = instances[0].SeriesInstanceUID
    series.ReferencedSOPSequence = [
        _reference(instance.SOPClassUID, instance.SOPInstanceUID) for instance in instances
    ]
    return series


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = UID(sop_class_uid)
    item.ReferencedSOPInstanceUID = UID(sop_instance_uid)
    return item


def _predecessor_item(predecessor: Predecessor) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = UID(predecessor.series_instance_uid)
    series.ReferencedSOPSequence = [
        _reference(predecessor.sop_class_uid, predecessor.sop_instance_uid)
    ]
    study = Dataset()
    study.StudyInstanceUID = UID(predecessor.study_instance_uid)
    study.ReferencedSeriesSequence = [series]
    return study
