"""Answers as files for training and testing: a table, features, and positions beside images."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.uid import SegmentationStorage
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.compose.seg_subset import keep_segments
from inference.grading.table import ModalityTable
from inference.grading.table_file import load_table, save_table
from workers.answers.exported import (
    Digests,
    ExportedAnswer,
    join_features,
    to_csv,
    to_exported,
    to_json,
    to_outcomes,
)
from workers.answers.positions import masks_of, positions_of
from workers.answers.positions import to_csv as positions_to_csv
from workers.application import Application
from workers.bank.anonymous import SALT_BYTES, patient_text
from workers.bank.folder import BankFolder
from workers.settings import Settings
from workers.state.answer_tables import Answer
from workers.state.schema import Instance, Job, Result, ResultObject
from workers.state.store import get_content
from workers.usecases.describe_answers import answers_of_series, current_answers

SALT_FILE = "answers.salt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written.

    `left_out` are series of which the size of an added nodule is not known, or whose CT was
    removed.
    """

    answers: int
    outcomes: int
    feature_files: int
    with_features: int
    series: int
    with_segments: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """A series with answers: those, and its newest result."""

    series_uid: str
    study_uid: str
    patient: str
    findings: tuple[str, str]
    features: tuple[tuple[str, str], ...]
    """Of all its results, the newest last."""
    segmentation: tuple[str, str] | None
    answers: tuple[dict[str, Any], ...]
    keys: tuple[str, ...]


def digests_of(settings: Settings) -> Digests:
    """The site's digests: of its bank where it has one, else under a salt in the data folder.

    Raises
    ------
    BankRefused
        If the bank's salt is gone.
    """
    if settings.bank_dir is not None:
        folder = BankFolder(settings.bank_dir)
        return Digests(salt=folder.salt(), prefix=folder.prefix())
    path = settings.data_dir / SALT_FILE
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SALT_BYTES))
    return Digests(salt=path.read_bytes())


def export_answers(
    app: Application, out: Path, *, accepted_levels: bool = False, images: bool = False
) -> Exported:
    """Write what was answered, without anything that tells who a patient is.

    Parameters
    ----------
    out : Path
        Folder; files of an earlier export are replaced.
    accepted_levels : bool
        Levels that somebody left as they were count as ratings.
    images : bool
        Also the CT of each answered series, **as received**, with a table of places.

    Raises
    ------
    StoreUnavailable, ObjectMissing, ObjectChanged
        If a result cannot be read.
    BankRefused
        If the bank's salt is gone.
    """
    digests = digests_of(app.settings)
    with app.database.read() as session:
        answered = list(_answered(session))
    out.mkdir(parents=True, exist_ok=True)
    rows: list[ExportedAnswer] = []
    tables: list[ModalityTable] = []
    marks: list[dict[str, Any]] = []
    series = with_segments = left_out = 0
    for one in answered:
        findings = json.loads(get_content(app.store, *one.findings))
        rows += _rows(one, findings, digests, accepted_levels)
        tables += [load_table(io.BytesIO(get_content(app.store, *item))) for item in one.features]
        if images:
            places = positions_of(findings, current_answers(one.answers))
            if places is None or not one.keys:
                left_out += 1
                continue
            folder = f"images/{digests.name('series', one.series_uid)}"
            _copy_images(app, one.keys, out / folder)
            with_segments += _write_segments(app, one, findings, out / folder)
            patient = digests.patient(one.patient)
            marks += [{"series": folder, "patient": patient, **place} for place in places]
            series += 1
    (out / "answers.csv").write_text(to_csv(rows))
    (out / "answers.json").write_text(to_json(rows))
    (out / "outcomes.csv").write_text(to_outcomes(rows))
    if images:
        (out / "positions.csv").write_text(positions_to_csv(marks))
    for old in out.glob("features*.npz"):
        old.unlink()
    joined = join_features(tables, rows, digests)
    for number, table in enumerate(joined, start=1):
        save_table(out / ("features.npz" if number == 1 else f"features-{number}.npz"), table)
    return Exported(
        answers=len(rows),
        outcomes=len(to_outcomes(rows).splitlines()) - 1,
        feature_files=len(joined),
        with_features=sum(map(len, joined)),
        series=series,
        with_segments=with_segments,
        left_out=left_out,
    )


def _answered(session: Session) -> Iterator[_Series]:
    """Series that somebody answered, in the order of their first answer."""
    uids = session.scalars(
        select(Job.series_uid).join(Answer, Answer.job_id == Job.id).order_by(Answer.id)
    ).all()
    for uid in dict.fromkeys(uids):
        results = session.execute(
            select(Job, Result)
            .join(Result, Result.job_id == Job.id)
            .where(Job.series_uid == uid)
            .order_by(Job.revision)
        ).all()
        instances = session.scalars(select(Instance).where(Instance.series_uid == uid)).all()
        gone = any(instance.removed_at is not None for instance in instances)
        job, newest = results[-1]
        segmentation = session.scalars(
            select(ResultObject).where(
                ResultObject.job_id == job.id,
                ResultObject.sop_class_uid == str(SegmentationStorage),
            )
        ).first()
        patient_id = instances[0].header["identity"]["patient_id"] if instances else ""
        yield _Series(
            series_uid=uid,
            study_uid=job.study_uid,
            patient=patient_text(patient_id, job.study_uid),
            findings=(newest.findings_path, newest.findings_sha256),
            features=tuple(
                (result.features_path, result.features_sha256)
                for _, result in results
                if result.features_path is not None and result.features_sha256 is not None
            ),
            segmentation=(
                None if segmentation is None else (segmentation.path, segmentation.sha256)
            ),
            answers=tuple(answers_of_series(session, uid)),
            keys=() if gone else tuple(instance.path for instance in instances),
        )


def _rows(
    one: _Series, findings: dict[str, Any], digests: Digests, accepted_levels: bool
) -> list[ExportedAnswer]:
    nodules = {str(nodule["tracking_uid"]): nodule for nodule in findings.get("nodules", ())}
    return [
        to_exported(
            answer,
            nodules.get(uid),
            digests=digests,
            patient=one.patient,
            study=one.study_uid,
            earlier=sum(item["tracking_uid"] == uid for item in one.answers) - 1,
            accepted_levels=accepted_levels,
        )
        for uid, answer in current_answers(one.answers).items()
    ]


def _write_segments(app: Application, one: _Series, findings: dict[str, Any], folder: Path) -> bool:
    """Our Segmentation without what was rejected, beside the images; tell whether there is one."""
    wanted = masks_of(findings, current_answers(one.answers))
    target = folder.with_name(f"{folder.name}-seg") / "seg.dcm"
    target.unlink(missing_ok=True)
    if not wanted or one.segmentation is None:
        return False
    data = keep_segments(get_content(app.store, *one.segmentation), wanted)
    if data is None:
        return False
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    return True


def _copy_images(app: Application, keys: tuple[str, ...], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pulmonode-images-") as scratch:
        for number, path in enumerate(app.store.local_files(keys, Path(scratch)), start=1):
            shutil.copyfile(path, folder / f"{number:05d}.dcm")
