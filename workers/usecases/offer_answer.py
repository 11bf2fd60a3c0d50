"""An answer as a candidate of the typical-case bank: never a case by itself (docs/bank.md)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import DicomNodeError
from dicom_node.read.series import decode_slice
from workers.answers.exported import rating_of
from workers.application import Application
from workers.bank.anonymous import check_name
from workers.bank.answers import Told
from workers.bank.folder import BankFolder
from workers.errors import AnswerRefused, ObjectMissing
from workers.state.answer_tables import Answer, Verdict
from workers.state.schema import Instance, Job, Result
from workers.state.store import get_content
from workers.usecases.describe_answers import answers_of_series, current_answers

if TYPE_CHECKING:
    from workers.bank.candidates import Candidate
    from workers.bank.pictures import Picture

LEAST_NAME = 3


def offer_answer(app: Application, folder: BankFolder, answer_id: int, *, by: str) -> Candidate:
    """Make an answered nodule a candidate, with the author's answer.

    Whoever offers it and whoever answered cannot promote it. Features come from the stored
    result, so nothing is analysed again; a small picture from the CT, while that is kept.

    Raises
    ------
    AnswerRefused
        If the answer says nothing that a case needs, or is not the last one.
    BankChangeRefused, BankRefused, BankInUse
        As for any candidate.
    """
    from workers.bank.admit import add_candidate, record_answer
    from workers.bank.nodule import read_nodule
    from workers.bank.pictures import keep_picture

    with app.database.read() as session:
        answer, series_uid = _find(session, answer_id)
        newest = current_answers(answers_of_series(session, series_uid)).get(answer.tracking_uid)
        results = session.scalars(
            select(Result)
            .join(Job, Job.id == Result.job_id)
            .where(Job.series_uid == series_uid, Result.features_path.is_not(None))
            .order_by(Job.revision.desc())
        ).all()
        secrets = _identifiers(session, series_uid)
    told = _told(answer_id, answer, newest)
    author = check_name(answer.author)
    for result in results:
        with tempfile.TemporaryDirectory(prefix="pulmonode-offer-") as scratch:
            findings, features = Path(scratch) / "findings.json", Path(scratch) / "features.npz"
            content = get_content(app.store, result.findings_path, result.findings_sha256)
            number = _number(json.loads(content), answer.tracking_uid)
            if number is None:
                continue
            findings.write_bytes(content)
            features.write_bytes(
                get_content(app.store, str(result.features_path), str(result.features_sha256))
            )
            found = read_nodule(findings, number, features)
        found = replace(found, identifiers=found.identifiers | secrets)
        made = add_candidate(folder, found, by=by, note=f"answer {answer_id}")
        picture = _picture(app, series_uid, json.loads(content)["nodules"], number)
        if picture is not None:
            keep_picture(folder, made.case_id, picture)
        return record_answer(folder, made.case_id, told, by=author, why=f"answer {answer_id}")
    raise AnswerRefused(
        f"answer {answer_id}",
        "no features are kept of its nodule (it was not graded, or by an earlier release)",
        "analyse the series again ('pulmonode jobs force'), then offer it",
    )


def _find(session: Session, answer_id: int) -> tuple[Answer, str]:
    answer = session.get(Answer, answer_id)
    if answer is None:
        raise AnswerRefused(
            f"answer {answer_id}", "there is none", "'pulmonode answers list' shows what there is"
        )
    return answer, session.get_one(Job, answer.job_id).series_uid


def _told(answer_id: int, answer: Answer, newest: dict[str, Any] | None) -> Told:
    """What the author said, as the bank takes it."""
    where = f"answer {answer_id}"
    if newest is None or newest["id"] != answer_id:
        raise AnswerRefused(
            where,
            "is unclear" if newest is None else f"answer {newest['id']} was said later",
            "offer the last clear one",
        )
    if answer.verdict not in {Verdict.ACCEPT, Verdict.REGRADE}:
        raise AnswerRefused(
            where, f"is {answer.verdict}", "only a graded nodule of ours can become a case"
        )
    if not answer.author:
        raise AnswerRefused(
            where, "names nobody as its author", "confirm it with 'pulmonode answers add --by'"
        )
    said = answer.said
    if said.get("outcome") is not None:
        return Told(
            outcome=said["outcome"],
            evidence=said["evidence"],
            on=_day(said.get("on")),
            since=_day(said.get("since")),
        )
    rating, _ = rating_of(newest, accepted_levels=False)
    if rating is None:
        raise AnswerRefused(
            where,
            "gives neither a rating, nor another level, nor an outcome",
            "add one with 'pulmonode answers add'",
        )
    return Told(rating=rating)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _number(findings: dict[str, Any], tracking_uid: str) -> int | None:
    for nodule in findings.get("nodules", ()):
        if nodule["tracking_uid"] == tracking_uid:
            return int(nodule["id"])
    return None


def _picture(
    app: Application, series_uid: str, nodules: Sequence[dict[str, Any]], number: int
) -> Picture | None:
    """The nodule in its key slice; `None` where that is not kept any more."""
    from workers.bank.pictures import cut_picture

    nodule = next(one for one in nodules if one["id"] == number)
    with app.database.read() as session:
        slice_ = session.get(Instance, nodule["key_slice"]["sop_instance_uid"])
        if slice_ is None or slice_.series_uid != series_uid or slice_.removed_at is not None:
            return None
        key, spacing = slice_.path, slice_.header["pixel_spacing_mm"]
    try:
        with tempfile.TemporaryDirectory(prefix="pulmonode-offer-") as scratch:
            (path,) = app.store.local_files([key], Path(scratch))
            hu = decode_slice(path)
    except (ObjectMissing, DicomNodeError):
        return None
    ends = np.array([nodule["long_axis"]["start_ji"], nodule["long_axis"]["end_ji"]])
    row, column = ends.mean(axis=0)
    return cut_picture(
        hu,
        (float(row), float(column)),
        float(nodule["long_axis_mm"]),
        (float(spacing[0]), float(spacing[1])),
    )


def _identifiers(session: Session, series_uid: str) -> frozenset[str]:
    """What must not be found in the bank's folder: the words of patient and study."""
    header = session.scalars(
        select(Instance.header).where(Instance.series_uid == series_uid).limit(1)
    ).first()
    if header is None:
        return frozenset()
    identity = header["identity"]
    words = {identity["patient_id"], identity["accession_number"]}
    words |= set(identity["patient_name"].replace("=", "^").split("^"))
    return frozenset(word for word in words if len(word) >= LEAST_NAME)
