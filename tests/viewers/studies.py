"""Studies as an archive holds them once a result has come back: CT beside our objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.content import NotAnalysedSeries, ReportContent
from dicom_node.compose.profile import ObjectKind, Profile
from dicom_node.compose.seg import compose_seg
from dicom_node.compose.sr import compose_sr
from dicom_node.compose.sr_document import Reference
from dicom_node.compose.sr_not_analysed import compose_not_analysed
from dicom_node.read.eligibility import load_rules
from dicom_node.read.series import load_ct_series
from inference.findings_json import not_eligible_to_dict
from tests.real_ct import analyse_as_the_command_does
from workers.case import CaseResult
from workers.folder import judge_folder
from workers.translate import to_algorithm_content

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study with its results."""

    ct: tuple[Path, ...]
    objects: tuple[Path, ...]
    """SEG where nodules were found, then SR."""
    findings: Mapping[str, Any]
    headers: Mapping[str, Dataset]
    """Of the CT, by SOP Instance UID."""

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return str(self.findings["study_instance_uid"])

    @property
    def nodules(self) -> list[Mapping[str, Any]]:
        """Those of ``findings.json``."""
        return list(self.findings["nodules"])


def analysed_study(ct: Path, out: Path, profile: Profile) -> Study:
    """Analyse a folder as `pulmonode analyse` does, and write the objects of a profile."""
    return composed_study(ct, out, profile, analyse_as_the_command_does(ct))


def composed_study(ct: Path, out: Path, profile: Profile, result: CaseResult) -> Study:
    """Write the objects of a profile for a folder that was analysed."""
    paths = tuple(sorted(ct.glob("*.dcm")))
    series = load_ct_series(paths)
    objects = []
    seg = None
    if result.content.nodules and ObjectKind.SEG in profile.objects:
        seg = compose_seg(series, result.content, created=CREATED, profile=profile)
        objects.append(seg)
    objects.append(compose_sr(series, result.content, seg=seg, created=CREATED, profile=profile))
    for item in objects:
        (out / f"{item.kind}.dcm").write_bytes(item.data)
    return Study(
        ct=paths,
        objects=tuple(out / f"{item.kind}.dcm" for item in objects),
        findings=result.findings_json,
        headers={str(header.SOPInstanceUID): header for header in series.headers},
    )


def not_analysed_study(ct: Path, out: Path, profile: Profile) -> Study:
    """A folder that the rules refuse, and the report that says so."""
    (best, *_) = judge_folder(ct, load_rules(None))
    assert best.refusal is not None
    code, why = best.refusal
    paths = tuple(sorted(ct.glob("*.dcm")))
    headers = [dcmread(path, stop_before_pixels=True) for path in paths]
    missed = NotAnalysedSeries(
        number=int(headers[0].SeriesNumber), images=len(paths), code=str(code), why=why
    )
    sr = compose_not_analysed(
        headers[0],
        ReportContent(
            algorithm=to_algorithm_content("pulmonode", "1", {}),
            revision=1,
            nodules=(),
            not_analysed=(missed,),
        ),
        key=str(headers[0].SeriesInstanceUID),
        evidence=[Reference.to(header) for header in headers],
        created=CREATED,
        profile=profile,
    )
    path = out / "sr.dcm"
    path.write_bytes(sr.data)
    return Study(
        ct=paths,
        objects=(path,),
        findings=not_eligible_to_dict(
            study_instance_uid=str(headers[0].StudyInstanceUID),
            series_instance_uid=str(headers[0].SeriesInstanceUID),
            reason=why,
        ),
        headers={str(header.SOPInstanceUID): header for header in headers},
    )
