"""The newest earlier chest CT of a patient that this system has analysed itself.

Nothing here may hold an analysis up: what cannot be read becomes a warning, and the study goes
on without. Patients are never matched by name (`dicom_node.read.earlier`).
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.errors import DicomNodeError
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.earlier import days_before, why_not_earlier
from dicom_node.read.header import Identity
from dicom_node.read.series import load_ct_series
from dicom_node.read.stored_file import read_before_pixels
from inference.follow_up.exam import PriorExam
from workers.application import Application
from workers.detector_choice import segmenter_of
from workers.errors import WorkersError
from workers.patient_key import patient_key
from workers.prior import prior_of_result
from workers.state.schema import WITH_RESULT, Instance, Job, Result, ResultObject
from workers.state.store import get_content

log = structlog.get_logger()

TRIED_AT_MOST = 3
"""Earlier examinations that are read until one can be compared with."""
LISTED_AT_MOST = 50
UNREADABLE = (DicomNodeError, WorkersError, OSError, ValueError, KeyError)
SOURCE = "own database"
NOT_COMPARED = "an earlier examination under this Patient ID was not compared: "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Earlier:
    study_date: str
    findings: tuple[str, str]
    """Key and SHA-256."""
    report: tuple[str, str] | None
    instances: tuple[str, ...]


def find_prior(app: Application, series: CtSeries) -> tuple[PriorExam | None, tuple[str, ...]]:
    """An earlier examination to compare a series with.

    Returns
    -------
    exam : PriorExam or None
        The newest that is earlier and surely the same patient's; without its CT where that is
        gone.
    warnings : tuple of str
        What was there and could not be used, for the report.
    """
    if app.settings.priors == "off":
        return None, ()
    warnings: list[str] = []
    for earlier in _list_earlier(app, series)[:TRIED_AT_MOST]:
        try:
            exam = _read(app, series, earlier)
        except (*UNREADABLE, MemoryError) as error:
            log.warning("prior_not_read", error=type(error).__name__)
            warnings.append(f"{NOT_COMPARED}it cannot be read ({type(error).__name__})")
            continue
        if exam is None:
            continue
        if isinstance(exam, PriorExam):
            return exam, tuple(dict.fromkeys(warnings))
        warnings.append(f"{NOT_COMPARED}{exam}")
    return None, tuple(dict.fromkeys(warnings))


def _list_earlier(app: Application, series: CtSeries) -> list[_Earlier]:
    """Results of other studies under the same Patient ID and issuer, the newest study first."""
    identity = Identity.from_dataset(series.headers[0])
    key = patient_key([identity])
    if not key:
        return []
    with app.database.read() as session:
        rows = session.execute(
            select(Result, Job)
            .join(Job, Job.id == Result.job_id)
            .where(
                Result.patient_key == key,
                Result.removed_at.is_(None),
                Result.study_date <= identity.study_date,
                Job.study_uid != series.study_instance_uid,
                Job.state.in_(WITH_RESULT),
            )
            .order_by(Result.study_date.desc(), Result.committed_at.desc())
            .limit(LISTED_AT_MOST)
        ).all()
        found = []
        for result, job in rows:
            report = session.scalars(
                select(ResultObject).where(ResultObject.job_id == job.id, ResultObject.kind == "sr")
            ).first()
            instances = session.scalars(
                select(Instance.path).where(
                    Instance.series_uid == job.series_uid, Instance.stored.is_(True)
                )
            ).all()
            found.append(
                _Earlier(
                    study_date=result.study_date,
                    findings=(result.findings_path, result.findings_sha256),
                    report=None if report is None else (report.path, report.sha256),
                    instances=tuple(instances),
                )
            )
    return found


def _read(app: Application, series: CtSeries, earlier: _Earlier) -> PriorExam | str | None:
    """The examination, or why it is not one of the same patient's of before.

    `None` for a study of which nothing was analysed.

    Raises
    ------
    DicomNodeError, WorkersError, OSError, ValueError, KeyError
        If neither its CT nor its report can be read, or its findings are not what they were.
    """
    findings = json.loads(get_content(app.store, *earlier.findings))
    if findings["status"] != "analysed":
        return None
    with tempfile.TemporaryDirectory(prefix="pulmonode-prior-") as scratch:
        header = _header(app, earlier, Path(scratch))
        refused = why_not_earlier(series.headers[0], header)
        if refused is not None:
            return refused
        then: CtSeries | None = None
        if earlier.instances:
            try:
                paths = app.store.local_files(earlier.instances, Path(scratch))
                then = load_ct_series(paths, allow_incomplete=True)
            except (DicomNodeError, WorkersError, OSError) as error:
                log.warning("prior_ct_not_read", error=type(error).__name__)
    return prior_of_result(
        findings,
        days=days_before(series.headers[0], header),
        volume_of=then,
        source=SOURCE,
        weights=segmenter_of(app.settings).weights,
    )


def _header(app: Application, earlier: _Earlier, scratch: Path) -> Dataset:
    """The header of one of its slices, or of the report that was made of it.

    One slice tells whose and when it was, before hundreds are decoded.

    Raises
    ------
    ValueError
        If there is neither.
    """
    if earlier.instances:
        try:
            (path,) = app.store.local_files(earlier.instances[:1], scratch)
            return read_before_pixels(path)
        except (DicomNodeError, WorkersError, OSError) as error:
            log.warning("prior_ct_not_read", error=type(error).__name__)
    if earlier.report is None:
        raise ValueError("neither CT nor report is left of it")
    path = scratch / "report.dcm"
    path.write_bytes(get_content(app.store, *earlier.report))
    return read_before_pixels(path)
