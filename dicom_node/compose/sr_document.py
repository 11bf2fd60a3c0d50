"""What every report of ours is around its words: root, evidence, predecessor, final bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage

from dicom_node.compose import codes
from dicom_node.compose.content import AlgorithmContent, ComposedObject, ReportContent
from dicom_node.compose.content_tree import concept_of, walk
from dicom_node.compose.envelope import contributing_equipment, seal
from dicom_node.compose.identity import derive_uid, result_instance_uid, result_series_uid
from dicom_node.compose.profile import NOT_ANALYSED_DESCRIPTION, ObjectKind, Profile
from dicom_node.compose.sr_groups import Group
from dicom_node.compose.sr_text import summary_lines
from dicom_node.compose.words import Words
from dicom_node.equipment import MANUFACTURER

LONGEST_LO = 64
"""Characters of an LO value (PS3.5 section 6.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The report that a revision replaces (Predecessor Documents Sequence, PS3.3 C.17.2.2)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An instance that was looked at (PS3.3 table 10-11)."""

    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str

    @classmethod
    def to(cls, ds: Dataset) -> Reference:
        """The reference to a data set."""
        return cls(
            series_instance_uid=str(ds.SeriesInstanceUID),
            sop_class_uid=str(ds.SOPClassUID),
            sop_instance_uid=str(ds.SOPInstanceUID),
        )


def compose_document(
    content: ReportContent,
    *,
    key: str,
    header: Dataset,
    source: Dataset,
    groups: Sequence[Group],
    key_images: Sequence[Dataset],
    evidence: Sequence[Reference],
    created: datetime,
    predecessor: Predecessor | None,
    profile: Profile,
    words: Words,
) -> ComposedObject:
    """Put a report together and encode it.

    Parameters
    ----------
    content : ReportContent
        What to say.
    key : str
        What the report's UIDs follow from: the Series Instance UID of the CT.
    header : Dataset
        A header of the study, in a form to compose from (`envelope.palatable`).
    source : Dataset
        The same header as it was sent.
    groups : sequence of Group
        Measurement groups in their order; may be empty.
    key_images : sequence of Dataset
        For the image library; may be empty.
    evidence : sequence of Reference
        Every image that was looked at, and the SEG.
    created, predecessor, profile
        See `sr.compose_sr`.
    words : Words
        To write in.
    """
    report = sr.MeasurementReport(
        observation_context=_observation_context(content.algorithm),
        procedure_reported=codes.CT_OF_CHEST,
        imaging_measurements=list(groups) or [_placeholder()],
        title=codes.IMAGING_MEASUREMENT_REPORT if groups else profile.sr.empty_title,
        referenced_images=list(key_images) or None,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
            sr.CodedConcept.from_code(codes.LANGUAGES[words.language])
        ),
    )
    _drop_image_descriptors(report[0])
    if not groups:
        _drop_measurements(report[0])
    _add_evaluations(report[0], content, words)
    incomplete_why = "nothing could be analysed" if content.not_analysed else content.partial_why
    kind = ObjectKind.SR
    dress = profile.series_of(kind)
    iod = (
        sr.Comprehensive3DSR
        if profile.sr.sop_class_uid == Comprehensive3DSRStorage
        else sr.ComprehensiveSR
    )
    ds = iod(
        evidence=[header],
        content=sr.ContentSequence([_bare_root(report[0])], is_root=True),
        series_instance_uid=result_series_uid(key, kind, profile.series_variant(kind)),
        series_number=dress.number,
        sop_instance_uid=result_instance_uid(key, content.revision, kind, profile.variant(kind)),
        instance_number=content.revision,
        manufacturer=MANUFACTURER,
        is_complete=incomplete_why is None,
        is_final=False,
        is_verified=False,
        record_evidence=False,
        series_description=NOT_ANALYSED_DESCRIPTION if content.not_analysed else dress.description,
        contributing_equipment=contributing_equipment(content.algorithm),
        specific_character_set=None,
    )
    if incomplete_why is not None:
        ds.CompletionFlagDescription = incomplete_why[:LONGEST_LO]
    ds.ContentSequence = report[0].ContentSequence
    ds.CurrentRequestedProcedureEvidenceSequence = [_evidence(header, evidence)]
    if predecessor is not None:
        ds.PredecessorDocumentsSequence = [_predecessor_item(predecessor)]
    _set_items_apart(ds)
    return seal(ds, source, content, created, kind=kind)


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


def _placeholder() -> sr.MeasurementsAndQualitativeEvaluations:
    """Highdicom wants a group even where nothing was found; it is dropped again."""
    tracking = sr.TrackingIdentifier(uid=derive_uid("placeholder"), identifier="none")
    return sr.MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking)


def _drop_image_descriptors(root: Dataset) -> None:
    """The image library names images; what their own headers say is 5 kB for each (TID 1602)."""
    for item in walk(root):
        if concept_of(item) == codes.IMAGE_LIBRARY_GROUP:
            for image in item.ContentSequence:
                del image.ContentSequence


def _drop_measurements(root: Dataset) -> None:
    """Without nodules only Qualitative Evaluations stand (TID 1500 rows 6 and 12: either)."""
    root.ContentSequence = sr.ContentSequence(
        [
            item
            for item in root.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue != codes.IMAGING_MEASUREMENTS.value
        ]
    )


def _add_evaluations(root: Dataset, content: ReportContent, words: Words) -> None:
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
        for line in summary_lines(content, words)
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


def _evidence(header: Dataset, evidence: Sequence[Reference]) -> Dataset:
    """Every image that was looked at and the SEG, once each (PS3.3 C.17.2.3).

    highdicom lists only what the content tree refers to; a reader of a negative report must
    see what it is negative about.
    """
    by_series: dict[str, list[Dataset]] = {}
    for item in dict.fromkeys(evidence):
        by_series.setdefault(item.series_instance_uid, []).append(
            _reference(item.sop_class_uid, item.sop_instance_uid)
        )
    study = Dataset()
    study.StudyInstanceUID = header.StudyInstanceUID
    study.ReferencedSeriesSequence = []
    for uid, references in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = UID(uid)
        series.ReferencedSOPSequence = references
        study.ReferencedSeriesSequence.append(series)
    return study


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
