"""A result of real bytes, and reports that people and viewers make of it."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import sr
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicom_node.compose import codes
from dicom_node.compose.content import ComposedObject, NoduleContent
from dicom_node.compose.ct import CtIdentity
from dicom_node.compose.identity import derive_uid
from dicom_node.read.ct_series import CtSeries
from inference.grading.table import ModalityTable
from tests.unit.dicom_node.compose.cases import (
    compose_both,
    report,
    series_on_disk,
    three_nodules,
)
from tests.unit.workers.rows import empty_result, job_of, receive, set_state
from workers.application import Application
from workers.state.answer_tables import Answer, AnswerReport
from workers.state.jobs import take_job
from workers.state.schema import JobState
from workers.state.store import put_content
from workers.usecases.commit import commit_result, keep_object
from workers.usecases.take_answers import take_answers

LEVELS = ("II", "III", None)
NEW_KJI = (4, 70, 80)


@dataclass(frozen=True)
class Reported:
    """A series with three nodules, and what we said of it."""

    series: CtSeries
    datasets: tuple[Dataset, ...]
    nodules: tuple[NoduleContent, ...]
    seg: ComposedObject
    report: ComposedObject
    findings: dict[str, Any] = field(default_factory=dict)

    @property
    def uids(self) -> tuple[str, ...]:
        return tuple(nodule.tracking_uid for nodule in self.nodules)

    @property
    def series_uid(self) -> str:
        return self.series.series_instance_uid

    def sr(self) -> Dataset:
        return dcmread(io.BytesIO(self.report.data))


def make_reported(folder: Path, key: str = "answered", patient_id: str = "MRN-1") -> Reported:
    identity = CtIdentity(key=key, patient_id=patient_id, patient_name="Muster^Erika")
    series, paths = series_on_disk(folder, shape=(16, 90, 100), identity=identity)
    nodules = tuple(
        replace(
            nodule,
            model_level=level,
            model_suspicion=None if level is None else 0.4,
            model_probabilities=() if level is None else (0.1, 0.4, 0.4, 0.1),
        )
        for nodule, level in zip(three_nodules(series), LEVELS, strict=True)
    )
    seg, composed = compose_both(series, report(nodules))
    assert seg is not None
    return Reported(
        series=series,
        datasets=tuple(painted(dcmread(path), series, nodules) for path in paths),
        nodules=nodules,
        seg=seg,
        report=composed,
        findings=findings_of(series, nodules),
    )


def painted(ds: Dataset, series: CtSeries, nodules: Sequence[NoduleContent]) -> Dataset:
    """The slice with what is seen of the nodules in it, 50 HU."""
    k = series.sop_instance_uids.index(str(ds.SOPInstanceUID))
    stored = ds.pixel_array.copy()
    for nodule in nodules:
        k0, j0, i0 = nodule.mask_origin_kji
        if 0 <= k - k0 < len(nodule.mask):
            box = stored[j0 : j0 + nodule.mask.shape[1], i0 : i0 + nodule.mask.shape[2]]
            box[nodule.mask[k - k0]] = (50 - float(ds.RescaleIntercept)) / float(ds.RescaleSlope)
    ds.PixelData = stored.tobytes()
    return ds


def lps(series: CtSeries, kji: Sequence[float]) -> list[float]:
    return [float(value) for value in (series.affine @ np.array([*kji, 1.0]))[:3]]


def findings_of(series: CtSeries, nodules: Sequence[NoduleContent]) -> dict[str, Any]:
    """As much of ``findings.json`` as answers look at."""
    return {
        "schema_version": 1,
        "status": "analysed",
        "study_instance_uid": series.study_instance_uid,
        "series_instance_uid": series.series_instance_uid,
        "nodules": [
            {
                "id": nodule.number,
                "tracking_uid": nodule.tracking_uid,
                "centre_lps_mm": lps(
                    series,
                    np.array(nodule.mask_origin_kji) + (np.array(nodule.mask.shape) - 1) / 2,
                ),
                "type": nodule.nodule_type or "solid",
                "key_slice": {"sop_instance_uid": series.sop_instance_uids[nodule.key_slice_k]},
                "long_axis": {
                    "start_ji": list(nodule.long_axis.start_ji),
                    "end_ji": list(nodule.long_axis.end_ji),
                },
                "long_axis_mm": nodule.long_axis.length_mm,
                "short_axis_mm": nodule.short_axis.length_mm,
                "mean_diameter_mm": nodule.mean_diameter_mm,
                "volume_mm3": nodule.volume_mm3,
                "mean_hu": nodule.mean_hu,
                "grade": {"withheld": "test"}
                if nodule.model_level is None
                else {"level": nodule.model_level, "suspicion": nodule.model_suspicion},
                "guidelines": {"lung_rads": {"category": nodule.lung_rads_category}},
            }
            for nodule in nodules
        ],
    }


def give_result(
    app: Application,
    folder: Path,
    reported: Reported,
    features: ModalityTable | None = None,
    *,
    only: Sequence[int] = (0, 1, 2),
) -> int:
    """Receive the series and commit its result, as a worker does; its job's number."""
    from inference.grading.table_file import table_to_bytes

    receive(app, folder, *reported.datasets)
    job_id = set_state(app, reported.series_uid, JobState.COMPLETE, JobState.QUEUED)
    with app.database.write() as session:
        lease = take_job(session, job_id, "tester", now=app.now(), lease_s=60)
    found = {**reported.findings, "nodules": [reported.findings["nodules"][at] for at in only]}
    result = replace(empty_result(), findings_json=found)
    kept = [keep_object(app, item) for item in (reported.report, reported.seg)]
    commit_result(
        app,
        lease,
        result,
        put_content(app.store, result.findings_bytes(), ".json"),
        kept,
        None if features is None else put_content(app.store, table_to_bytes(features), ".npz"),
    )
    assert job_of(app, reported.series_uid).id == job_id
    return job_id


def arrive(app: Application, folder: Path, *reports: Dataset) -> None:
    """Receive reports, index them and look for answers."""
    receive(app, folder / "reports", *reports)
    take_answers(app)


def stored_answers(app: Application) -> list[Answer]:
    with app.database.read() as session:
        return list(session.scalars(select(Answer).order_by(Answer.id)))


def outcomes(app: Application) -> list[tuple[str, str | None]]:
    with app.database.read() as session:
        rows = session.scalars(select(AnswerReport).order_by(AnswerReport.id))
        return [(row.outcome, row.reason) for row in rows]


def verdicts(app: Application, reported: Reported) -> dict[int | str, str]:
    """Nodule's number, or ``+`` for what is none of ours, to the verdict on it."""
    numbers = {uid: at for at, uid in enumerate(reported.uids, start=1)}
    return {numbers.get(row.tracking_uid, "+"): row.verdict for row in stored_answers(app)}


def replacing(reported: Reported, *, at: str = "20260301120000") -> Dataset:
    """Our report under a new UID, by another system, that names ours as its predecessor."""
    ds = reported.sr()
    ours = reported.report
    set_uid(ds, generate_uid())
    ds.Manufacturer, ds.ManufacturerModelName = "Reporting House", "Reader"
    ds.SeriesInstanceUID = derive_uid("test reports", reported.series_uid)
    reference = Dataset()
    reference.ReferencedSOPClassUID = ours.sop_class_uid
    reference.ReferencedSOPInstanceUID = ours.sop_instance_uid
    series = Dataset()
    series.SeriesInstanceUID = ours.series_instance_uid
    series.ReferencedSOPSequence = [reference]
    study = Dataset()
    study.StudyInstanceUID = ds.StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    ds.PredecessorDocumentsSequence = [study]
    written_by(ds, "One^Reader", at=at)
    return ds


def written_by(ds: Dataset, name: str, *, at: str) -> None:
    author = Dataset()
    author.ObserverType = "PSN"
    author.PersonName = name
    code = codes.NODULE  # any code will do for a person's identification
    author.PersonIdentificationCodeSequence = [coded(Code("R-17", "99HOUSE", code.meaning))]
    ds.AuthorObserverSequence = [author]
    ds.ContentDate, ds.ContentTime = at[:8], at[8:]
    ds.TimezoneOffsetFromUTC = "+0000"


def verified(ds: Dataset, name: str = "Chief^Rita", at: str = "20260302080000") -> Dataset:
    ds = copy.deepcopy(ds)
    observer = Dataset()
    observer.VerifyingObserverName = name
    observer.VerifyingOrganization = "House"
    observer.VerificationDateTime = f"{at}+0000"
    observer.VerifyingObserverIdentificationCodeSequence = []
    ds.VerifyingObserverSequence = [observer]
    ds.VerificationFlag = "VERIFIED"
    return ds


def set_uid(ds: Dataset, uid: str) -> None:
    ds.SOPInstanceUID = uid
    ds.file_meta.MediaStorageSOPInstanceUID = uid


def coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def imaging_measurements(ds: Dataset) -> Dataset:
    (container,) = (
        item
        for item in ds.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == codes.IMAGING_MEASUREMENTS.value
    )
    return container  # type: ignore[no-any-return]


def groups_of(ds: Dataset, tracking_uid: str) -> list[Dataset]:
    return [
        group
        for group in imaging_measurements(ds).ContentSequence
        if any(item.get("UID") == tracking_uid for item in group.ContentSequence)
    ]


def drop(ds: Dataset, tracking_uid: str) -> None:
    container = imaging_measurements(ds)
    gone = groups_of(ds, tracking_uid)
    container.ContentSequence = [group for group in container.ContentSequence if group not in gone]


def regrade(ds: Dataset, tracking_uid: str, level: str) -> None:
    for group in groups_of(ds, tracking_uid):
        for item in group.ContentSequence:
            if item.ConceptNameCodeSequence[0].CodeValue == codes.MODEL_LEVEL.value:
                item.ConceptCodeSequence = [coded(codes.MODEL_LEVELS[level])]


def label(ds: Dataset, tracking_uid: str, text: str) -> None:
    for group in groups_of(ds, tracking_uid):
        for item in group.ContentSequence:
            if item.ConceptNameCodeSequence[0].CodeValue == codes.COMMENT.value:
                item.TextValue = text


def measure(ds: Dataset, tracking_uid: str, name: Code, value: float) -> None:
    for group in groups_of(ds, tracking_uid):
        for item in group.ContentSequence:
            if item.ConceptNameCodeSequence[0].CodeValue == name.value:
                item.MeasuredValueSequence[0].NumericValue = value


def add_group(
    ds: Dataset,
    reported: Reported,
    kji: Sequence[int] = NEW_KJI,
    *,
    tracking_uid: str = "1.2.3.44",
    finding: Code | None = codes.NODULE,
    drawn: bool = True,
) -> None:
    """A group of another system's, made by highdicom: a line of 6 mm about a voxel."""
    k, j, i = kji
    header = reported.series.headers[k]
    half_px = 3.0 / float(header.PixelSpacing[1])
    line = np.array([[i + 0.5 - half_px, j + 0.5], [i + 0.5 + half_px, j + 0.5]])
    image = sr.SourceImageForRegion(
        referenced_sop_class_uid=header.SOPClassUID,
        referenced_sop_instance_uid=header.SOPInstanceUID,
    )
    drawn_line = sr.CoordinatesForMeasurement(
        graphic_type=sr.GraphicTypeValues.POLYLINE, graphic_data=line, source_image=image
    )
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=tracking_uid, identifier="mine"),
        finding_type=finding,
        measurements=[
            sr.Measurement(
                name=codes.LONG_AXIS,
                value=6.0,
                unit=codes.MILLIMETRE,
                referenced_coordinates=[drawn_line] if drawn else None,
            )
        ],
    )
    imaging_measurements(ds).ContentSequence.append(group[0])


def saved_by_ohif(reported: Reported, *, labels: dict[int, str], keep: Sequence[int]) -> Dataset:
    """What OHIF 3 stores after hydrating and editing ours (dcmjs 0.51, adapters 5.14).

    Every group gets a new Tracking UID, codes other than finding and site are gone, the label
    stands in a Comment, nobody is named, the issuer of the Patient ID is left out, and the
    report goes into our own series with ours as predecessor.
    """
    ds = replacing(reported)
    ds.SeriesInstanceUID = reported.report.series_instance_uid
    ds.InstanceNumber = 2
    ds.Manufacturer = ds.ManufacturerModelName = "Unspecified"
    for keyword in (
        "AuthorObserverSequence", "IssuerOfPatientID", "ContributingEquipmentSequence",
        "TimezoneOffsetFromUTC",
    ):  # fmt: skip
        if keyword in ds:
            delattr(ds, keyword)
    container = imaging_measurements(ds)
    kept = []
    for number in keep:
        axes = copy.deepcopy(groups_of(ds, reported.uids[number - 1])[0])
        items = []
        for item in axes.ContentSequence:
            concept = item.ConceptNameCodeSequence[0].CodeValue
            if concept == codes.TRACKING_UNIQUE_IDENTIFIER.value:
                item.UID = generate_uid()
            if concept == codes.TRACKING_IDENTIFIER.value:
                item.TextValue = "Cornerstone3DTools@^0.1.0:Bidirectional"
            if concept == codes.COMMENT.value and number in labels:
                item.TextValue = labels[number]
            if item.ValueType in ("NUM", "UIDREF") or concept in (
                codes.TRACKING_IDENTIFIER.value, codes.COMMENT.value, codes.FINDING.value,
                codes.FINDING_SITE.value,
            ):  # fmt: skip
                items.append(item)
        axes.ContentSequence = items
        kept.append(axes)
    container.ContentSequence = kept
    person = Dataset()
    person.RelationshipType, person.ValueType = "HAS OBS CONTEXT", "PNAME"
    person.ConceptNameCodeSequence = [coded(Code("121008", "DCM", "Person Observer Name"))]
    person.PersonName = "unknown^unknown"
    ds.ContentSequence = [person, container]
    return ds
