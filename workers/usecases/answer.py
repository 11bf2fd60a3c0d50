"""What somebody says of a nodule at the command line: kept in the object store, then in the rows.

The record in the object store comes first, so that a lost database loses no answer; `reindex`
takes it up again.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.compose.identity import derive_uid
from workers.answers.known import KnownNodule, Point, known_nodules
from workers.application import Application
from workers.bank.answers import RATINGS, Told, make_answer
from workers.errors import AnswerRefused, ObjectMissing
from workers.state.answer_tables import Answer, Verdict
from workers.state.jobs import find_job, note
from workers.state.schema import Job, Result, printable
from workers.state.store import get_content
from workers.usecases import audit
from workers.usecases.audit import Actor

ANSWERS = "answers"
ROLE = "operator"
RECORD_KEYS = ("tracking_uid", "verdict", "said", "why", "author", "author_id", "role",
               "said_at")  # fmt: skip
LEVELS = ("I", "II", "III", "IV")
CATEGORIES = ("0", "1", "2", "3", "4A", "4B", "4X")
LARGEST_MM = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What somebody says of one nodule, not yet looked at.

    Attributes
    ----------
    nodule : str
        Its number in the findings or its Tracking UID; empty for one that we did not list.
    place_lps_mm, diameter_mm : optional
        Of that one.
    reject : bool
        It is no nodule.
    level, rating, lung_rads : optional
        Other than the model's, or the same.
    outcome, evidence : str, optional
        As for the bank (docs/bank.md), with the days that prove it.
    """

    nodule: str = ""
    place_lps_mm: Point | None = None
    diameter_mm: float | None = None
    reject: bool = False
    level: str | None = None
    rating: float | None = None
    lung_rads: str | None = None
    outcome: str | None = None
    evidence: str | None = None
    on: date | None = None
    since: date | None = None
    comment: str = ""


def add_answer(
    app: Application,
    wanted: str,
    statement: Statement,
    *,
    by: str,
    account: str,
    actor: Actor | None = None,
) -> Answer:
    """Keep what somebody says of a nodule of a job's result.

    Parameters
    ----------
    wanted : str
        Number or Series Instance UID of the job.
    by, account : str
        Who says it, and under which account.
    actor : Actor, optional
        Who is recorded in the audit.

    Raises
    ------
    NoSuchJob, AnswerRefused, BankChangeRefused
        If there is no such result or nodule, or what is said does not hold together.
    StoreUnavailable
        If it cannot be kept now.
    """
    if not by.strip():
        raise AnswerRefused("--by", "is empty", "say who answers")
    with app.database.read() as session:
        job = find_job(session, wanted)
        result = session.get(Result, job.id)
        series_uid, revision = job.series_uid, job.revision
    if result is None:
        raise AnswerRefused(
            f"job {job.id}", f"is {job.state} and has no result", "choose one that was analysed"
        )
    findings = json.loads(get_content(app.store, result.findings_path, result.findings_sha256))
    now = app.now()
    uid, verdict, said, why = _judge(statement, known_nodules(findings, ()), series_uid, now)
    record: dict[str, Any] = {
        "record_version": 1,
        "series_uid": series_uid,
        "revision": revision,
        "tracking_uid": uid,
        "verdict": str(verdict),
        "said": said,
        "why": why,
        "author": printable(by.strip()),
        "author_id": account,
        "role": ROLE,
        "said_at": now,
    }
    data = (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(data).hexdigest()[:8]
    key = f"{ANSWERS}/{series_uid}/{int(now * 1000):015d}-{digest}.json"
    app.store.put_bytes(key, data)
    with app.database.write() as session:
        answer = _add(session, job.id, key, record, now)
        audit.record(session, actor, "answer.give", at=now, job_id=job.id)
        session.flush()
        session.expunge(answer)
    return answer


def take_up_answers(app: Application) -> int:
    """Give a rebuilt database the answers that the object store has; returns how many.

    Raises
    ------
    StoreUnavailable
        If the store is away.
    """
    taken = 0
    with app.database.read() as session:
        known = set(session.scalars(select(Answer.record).where(Answer.record.is_not(None))))
    for key in app.store.keys(ANSWERS):
        if key in known:
            continue
        try:
            record = json.loads(app.store.get_bytes(key))
        except (ObjectMissing, ValueError):
            continue
        with app.database.write() as session:
            job = session.scalars(
                select(Job).where(
                    Job.series_uid == record["series_uid"], Job.revision == record["revision"]
                )
            ).first()
            if job is not None and session.get(Result, job.id) is not None:
                _add(session, job.id, key, record, app.now())
                taken += 1
    return taken


def _add(session: Session, job_id: int, key: str, record: dict[str, Any], now: float) -> Answer:
    values = {name: record[name] for name in RECORD_KEYS}
    answer = Answer(
        job_id=job_id, report_id=None, sop_uid=None, record=key, verified=False,
        recorded_at=now, **values,
    )  # fmt: skip
    session.add(answer)
    job = session.get_one(Job, job_id)
    note(session, job, f"answered at the command line: {record['verdict']}", at=now)
    return answer


def _judge(
    statement: Statement, nodules: tuple[KnownNodule, ...], series_uid: str, now: float
) -> tuple[str, Verdict, dict[str, Any], str]:
    """Tracking UID, verdict, what is said beside it, and how that follows."""
    said = _said(statement, now)
    opinions = [name for name in ("level", "rating", "lung_rads") if name in said]
    if statement.reject and (opinions or "outcome" in said):
        raise AnswerRefused("--reject", "what is no nodule has no grade", "say one of them")
    if not statement.nodule:
        return _added(statement, said, series_uid)
    if statement.place_lps_mm is not None or statement.diameter_mm is not None:
        raise AnswerRefused(
            "--missed", "a nodule of the findings has its place", "name the nodule, or a place"
        )
    nodule = _find(statement.nodule, nodules)
    if statement.reject:
        return nodule.tracking_uid, Verdict.REJECT, said, "said to be no nodule"
    changed = [name for name in opinions if said[name] != getattr(nodule, name, None)]
    if said.get("level") == nodule.level:
        said.pop("level", None)
        if nodule.level is not None and statement.level is not None:
            said["same_level"] = nodule.level
    if changed:
        words = ", ".join(changed).replace("lung_rads", "Lung-RADS category")
        return nodule.tracking_uid, Verdict.REGRADE, said, f"other {words}"
    return nodule.tracking_uid, Verdict.ACCEPT, said, "said to be a nodule"


def _find(wanted: str, nodules: tuple[KnownNodule, ...]) -> KnownNodule:
    for nodule in nodules:
        if wanted in (str(nodule.number), nodule.tracking_uid):
            return nodule
    there = ", ".join(str(nodule.number) for nodule in nodules) or "none"
    raise AnswerRefused(f"nodule {wanted}", "is not in the findings", f"there are: {there}")


def _added(
    statement: Statement, said: dict[str, Any], series_uid: str
) -> tuple[str, Verdict, dict[str, Any], str]:
    place = statement.place_lps_mm
    if place is None or not all(map(math.isfinite, place)):
        raise AnswerRefused(
            "nodule", "is neither named nor placed", "name one, or say --missed X,Y,Z (LPS mm)"
        )
    if statement.reject:
        raise AnswerRefused("--reject", "goes with a nodule of ours", "name it")
    diameter_mm = statement.diameter_mm
    if diameter_mm is None or not 0 < diameter_mm <= LARGEST_MM:
        raise AnswerRefused(
            "--diameter", "is missing or out of range", f"give mm, up to {LARGEST_MM:g}"
        )
    said |= {"centre_lps_mm": list(place), "measures": {"long_axis_mm": diameter_mm}}
    uid = derive_uid("added", series_uid, *(f"{value:.2f}" for value in place))
    return uid, Verdict.ADDED, said, "a nodule that we did not list"


def _said(statement: Statement, now: float) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if statement.level is not None:
        if statement.level not in LEVELS:
            raise AnswerRefused("--level", f"{statement.level} is none", "say I, II, III or IV")
        said["level"] = statement.level
    if statement.rating is not None:
        low, high = RATINGS
        if not low <= statement.rating <= high:
            raise AnswerRefused(
                "--rating", f"{statement.rating:g} is not in {low:g} to {high:g}", "correct it"
            )
        said["rating"] = statement.rating
    if statement.lung_rads is not None:
        if statement.lung_rads.upper() not in CATEGORIES:
            raise AnswerRefused(
                "--lung-rads", f"{statement.lung_rads} is none", f"say {', '.join(CATEGORIES)}"
            )
        said["lung_rads"] = statement.lung_rads.upper()
    if statement.outcome is not None:
        proof = make_answer(
            Told(
                outcome=statement.outcome,
                evidence=statement.evidence,
                on=statement.on,
                since=statement.since,
            ),
            by="",
            at="",
            today=datetime.fromtimestamp(now, UTC).astimezone().date(),
        )
        said |= {
            "outcome": statement.outcome, "evidence": proof.basis,
            "on": None if statement.on is None else statement.on.isoformat(),
            "since": None if statement.since is None else statement.since.isoformat(),
        }  # fmt: skip
    elif statement.evidence or statement.on or statement.since:
        raise AnswerRefused("--evidence", "goes with --outcome", "say benign or malignant")
    if statement.comment.strip():
        said["comment"] = printable(statement.comment.strip())
    return said
