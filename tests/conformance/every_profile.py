"""The objects of all shipped profiles, from one analysis of a small phantom.

For a result with a nodule, one without, a partial one and a revision; a note rejects the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.profile import ObjectKind, Profile, load_profiles
from dicom_node.compose.rejection_note import (
    RejectedObject,
    RejectionReason,
    compose_rejection_note,
)
from dicom_node.compose.sr_document import Predecessor
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.series import load_ct_series
from inference.findings import CaseFindings
from workers.case import analyse_case
from workers.earlier_reports import EarlierReport
from workers.object_names import file_names
from workers.phantom import write_phantom
from workers.result_objects import ResultSource, compose_objects

EVERYTHING = Profile(name="everything", objects=tuple(ObjectKind))
"""All kinds of objects at once; no shipped profile has them all."""
PROFILES = {**load_profiles(), EVERYTHING.name: EVERYTHING}
CREATED = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
CASES = ("with a nodule", "without", "partial", "revision")
SR_CLASSES = {"1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34"}
WEIGHTS = ("detector", "segmenter", "encoder", "grader")
NOTE_CLASS = "1.2.840.10008.5.1.4.1.1.88.59"


@dataclass(frozen=True)
class Composed:
    """The objects of one case in all profiles."""

    objects: tuple[ComposedObject, ...]
    paths: tuple[Path, ...]

    def of(self, profile: Profile, kind: str) -> list[Path]:
        """Files of a profile, of one kind."""
        return [
            path
            for item, path in zip(self.objects, self.paths, strict=True)
            if profile.name in item.profiles and item.kind == kind
        ]

    def all_of(self, profile: Profile) -> list[Path]:
        return [path for kind in profile.objects for path in self.of(profile, kind)]

    def one(self, profile: Profile, kind: str) -> Dataset:
        (path,) = self.of(profile, kind)
        return dcmread(path)


@dataclass(frozen=True)
class Study:
    ct: list[Path]
    series: CtSeries
    findings: CaseFindings
    content: ReportContent
    cases: dict[str, Composed]
    note: Path
    """Rejects what every profile sent of the first result."""


def compose(
    folder: Path, series: CtSeries, findings: CaseFindings, content: ReportContent,
    earlier: tuple[EarlierReport, ...] = (),
) -> Composed:  # fmt: skip
    folder.mkdir()
    source = ResultSource(
        series=series, findings=findings, content=content, created=CREATED, earlier=earlier
    )
    objects = compose_objects(source, list(PROFILES.values()))
    names = file_names([(item.kind, item.profiles) for item in objects])
    paths = tuple(folder / name for name in names)
    for item, path in zip(objects, paths, strict=True):
        path.write_bytes(item.data)
    return Composed(objects, paths)


def make_study(folder: Path) -> Study:
    """Analyse a phantom in `folder`, and compose every case in every profile."""
    write_phantom(
        folder / "ct", seed=3, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4,
        nodules=["solid:20"],
    )  # fmt: skip
    ct = sorted((folder / "ct").glob("*.dcm"))
    series = load_ct_series(ct)
    result = analyse_case(series, revision=1, created=CREATED, profiles=list(PROFILES.values()))
    findings, content = result.findings, result.content
    assert content.nodules
    nothing = replace(findings, nodules=())
    cases = {
        "with a nodule": compose(folder / "first", series, findings, content),
        "without": compose(folder / "none", series, nothing, replace(content, nodules=())),
        "partial": compose(
            folder / "partial", series, findings,
            replace(content, partial_why="the lungs reach beyond the first slice"),
        ),
    }  # fmt: skip
    first = cases["with a nodule"].objects
    earlier = tuple(
        EarlierReport(
            predecessor=Predecessor(
                study_instance_uid=series.study_instance_uid,
                series_instance_uid=item.series_instance_uid,
                sop_class_uid=item.sop_class_uid,
                sop_instance_uid=item.sop_instance_uid,
            ),
            revision=1,
            profiles=item.profiles,
        )
        for item in first
        if item.kind == ObjectKind.SR
    )
    later = replace(content, revision=2)
    cases["revision"] = compose(folder / "later", series, findings, later, earlier)
    note = compose_rejection_note(
        series,
        later,
        [
            RejectedObject(
                sop_class_uid=item.sop_class_uid,
                sop_instance_uid=item.sop_instance_uid,
                series_instance_uid=item.series_instance_uid,
            )
            for item in first
        ],
        reason=RejectionReason.SUPERSEDED,
        created=CREATED,
    )
    (folder / "note.dcm").write_bytes(note.data)
    return Study(ct, series, findings, content, cases, folder / "note.dcm")
