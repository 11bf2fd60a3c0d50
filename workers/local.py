"""Analysis of a folder on this machine, without network or database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dicom_node.compose.profile import DEFAULT, Profile
from dicom_node.errors import SeriesRejected
from dicom_node.read.eligibility import RuleSet
from dicom_node.read.series import load_ct_series
from inference.beside_pixels import MARKER_UNITS
from inference.detection import Detector
from inference.detectors import make_detector
from inference.errors import NotAnalysable
from inference.findings import ClinicalContext
from inference.findings_json import not_eligible_to_dict
from inference.follow_up.exam import PriorExam
from inference.grading.table_file import save_table
from inference.known import KnownContext, KnownValue
from inference.pet.uptake import SuvVolume
from inference.pipeline import Grading
from inference.segmentation import Segmenter
from inference.segmenters import make_segmenter
from workers import clock
from workers.case import CaseResult, analyse_case
from workers.folder import JudgedSeries, judge_folder
from workers.object_names import file_names
from workers.page.draw import CasePictures, draw_case
from workers.pet import pet_of_folder
from workers.prior import prior_of_folder
from workers.report_file import prefer, read_report_file

FEATURES_FILE = "features.npz"
PAGE_FILE = "report.pdf"
KEY_IMAGE_FILE = "key_{number}.png"


class ContextFile(BaseModel):
    """The file of ``--context``: what is known of the patient beside the CT."""

    model_config = ConfigDict(extra="forbid")

    age_years: float | None = Field(default=None, ge=0, le=130)
    sex: Literal["F", "M"] | None = None
    screening_exam: bool | None = None
    emphysema: bool | None = None
    family_history_lung_cancer: bool | None = None
    ever_smoker: bool | None = None
    extrathoracic_cancer_over_5_years: bool | None = None
    known_cancer: bool | None = None
    immunosuppressed: bool | None = None
    high_risk: bool | None = None
    serology: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Markers by item, in the units of `inference.beside_pixels.MARKER_UNITS`."""

    @field_validator("serology")
    @classmethod
    def _known_markers(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            if name not in MARKER_UNITS:
                raise ValueError(f"there is no marker {name!r}: any of {', '.join(MARKER_UNITS)}")
        return value

    def to_context(self) -> ClinicalContext:
        """As `inference` takes it."""
        return ClinicalContext(**self.model_dump(exclude={"serology"}))

    def to_known(self) -> KnownContext | None:
        """The markers, for grader and report; `None` without any."""
        if not self.serology:
            return None
        return KnownContext(
            values=tuple(
                KnownValue(item=name, number=number, unit=MARKER_UNITS[name], source="file")
                for name, number in self.serology.items()
            )
        )


def analyse_folder(
    folder: Path,
    rules: RuleSet,
    *,
    context: ClinicalContext | None,
    known: KnownContext | None = None,
    profiles: Sequence[Profile] = (DEFAULT,),
    detector: Detector | None = None,
    segmenter: Segmenter | None = None,
    grading: Grading | None = None,
    prior: Path | None = None,
    pet: Path | None = None,
    report: Path | None = None,
    pictures_in: str | None = None,
    font_file: Path | None = None,
    progress: Callable[[str], None],
) -> CaseResult | Mapping[str, Any]:
    """Analyse the best series below a folder, compare it with that of `prior`, measure in `pet`.

    What stands against either becomes a warning of the result. `report` is a text file with the
    radiologist's report of the same CT; of the history that it tells, `context` counts first.

    With `pictures_in`, a language, the result has pictures to be written beside its objects.

    Returns
    -------
    CaseResult or mapping
        The result, or the ``findings.json`` that says why there is none.

    Raises
    ------
    ContextRefused
        If `report` cannot be read as text.
    """
    best = judge_folder(folder, rules)[0]
    if best.refusal is not None:
        return _refused(best, best.refusal[1])
    progress("read")
    warnings = [*best.geometry.warnings, *best.verdict.warnings]
    earlier: PriorExam | None = None
    try:
        series = load_ct_series(best.paths)
        if prior is not None:
            found = prior_of_folder(
                prior,
                rules,
                series,
                detector=detector or make_detector(),
                segmenter=segmenter or make_segmenter(),
                progress=progress,
            )
            if isinstance(found, PriorExam):
                earlier = found
            else:
                warnings.append(f"earlier examination not compared: {found}")
        measured_in: SuvVolume | None = None
        if pet is not None:
            beside = pet_of_folder(series, pet, folder)
            if isinstance(beside, SuvVolume):
                measured_in = beside
            else:
                warnings.append(f"the PET was not used: {beside}")
        told = None if report is None else prefer(context, read_report_file(report, series))
        created = datetime.fromtimestamp(clock.now(), tz=UTC)
        result = analyse_case(
            series,
            revision=1,
            created=created,
            context=context if told is None else told.context,
            known=known if told is None else _with_markers(told.known, known),
            report=told.exam if told else None,
            profiles=profiles,
            detector=detector,
            segmenter=segmenter,
            grading=grading,
            prior=earlier,
            pet=measured_in,
            warnings=warnings,
            font_file=font_file,
            progress=progress,
        )
        if pictures_in is None:
            return result
        progress("pictures")
        pictures = draw_case(
            series,
            result.findings,
            revision=1,
            created=created,
            language=pictures_in,
            font_file=font_file,
        )
        return replace(result, pictures=pictures)
    except (SeriesRejected, NotAnalysable) as error:
        return _refused(best, error.why)


def _with_markers(told: KnownContext, markers: KnownContext | None) -> KnownContext:
    return replace(told, values=(*told.values, *(markers.values if markers else ())))


def _refused(series: JudgedSeries, reason: str) -> Mapping[str, Any]:
    return not_eligible_to_dict(
        study_instance_uid=series.headers[0].study_instance_uid,
        series_instance_uid=series.series_uid,
        reason=reason,
    )


def write_result(result: CaseResult | Mapping[str, Any], out: Path) -> Sequence[Path]:
    """Write ``findings.json``, ``features.npz`` where nodules were graded, objects and pictures.

    Features and pictures that an earlier analysis left in the folder go: they are of other
    findings.

    Returns
    -------
    sequence of Path
        What was written.
    """
    out.mkdir(parents=True, exist_ok=True)
    findings, features = out / "findings.json", out / FEATURES_FILE
    for left in (features, out / PAGE_FILE, *out.glob(KEY_IMAGE_FILE.format(number="*"))):
        left.unlink(missing_ok=True)
    if not isinstance(result, CaseResult):
        findings.write_text(json.dumps(result, indent=2) + "\n")
        return [findings]
    findings.write_bytes(result.findings_bytes())
    written = [findings]
    if result.features is not None:
        save_table(features, result.features)
        written.append(features)
    names = file_names([(item.kind, item.profiles) for item in result.objects])
    for name, item in zip(names, result.objects, strict=True):
        path = out / name
        path.write_bytes(item.data)
        written.append(path)
    return written + ([] if result.pictures is None else _write_pictures(result.pictures, out))


def _write_pictures(pictures: CasePictures, out: Path) -> list[Path]:
    page = out / PAGE_FILE
    page.write_bytes(pictures.page)
    written = [page]
    for each in pictures.nodules:
        path = out / KEY_IMAGE_FILE.format(number=each.number)
        each.sheet.save(path)
        written.append(path)
    return written
