"""What the site's policy lets go now: received instances, results, files kept aside, history.

Never what is not confirmed, unless its series ended and the longer limit is over; never a result
that a destination has not confirmed; never what waits for a person (`quarantined`, `failed`); never
a report that answers ours, nor a result that somebody answered, nor what is still to be told as
DICOM audit messages. Nothing is removed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, exists, false, func, or_, select
from sqlalchemy.orm import Session, aliased

from workers.audit_trail.follow import SERIES as FOLLOWED_SERIES
from workers.settings import Settings
from workers.state.answer_tables import Answer, AnswerReport, ReportOutcome
from workers.state.retention_tables import Removable, Removal
from workers.state.schema import (
    Delivery,
    DeliveryState,
    Event,
    Instance,
    Job,
    JobState,
    KeptAside,
    Result,
    ResultObject,
    Switch,
)
from workers.usecases.begin_deliveries import SHADOW

DAY_S = 86_400.0
DECIDED = frozenset({JobState.NOT_ELIGIBLE, JobState.CANCELLED, JobState.SUPERSEDED})
"""Ends without a result that counts, and without a question to a person."""
KEPT_FOR = "kept for {days:g} days after that"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Something that may go now; `why` names no patient."""

    job_id: int
    what: Removable
    series_uid: str
    objects: int
    size_bytes: int
    why: str


def due_removals(
    session: Session, settings: Settings, *, now: float, limit: int, job_id: int | None = None
) -> list[Due]:
    """What the policy lets go, oldest first.

    Parameters
    ----------
    limit : int
        At most so many of each kind.
    job_id : int, optional
        Only of this job.
    """
    return [
        due
        for kind in (_received, _results, _aside, _history)
        for due in kind(session, settings, now, limit, job_id)
    ]


def _received(
    session: Session, settings: Settings, now: float, limit: int, job_id: int | None
) -> Iterator[Due]:
    """Series whose newest job is confirmed, or ended and older than the longer limit."""
    limits = []
    if settings.keep_received_days:
        limits.append(_older(Job.state == JobState.CONFIRMED, settings.keep_received_days, now))
    if settings.keep_ended_days:
        limits.append(_older(_ended(), settings.keep_ended_days, now))
    if not limits:
        return
    held = exists().where(Instance.series_uid == Job.series_uid, Instance.stored.is_(True))
    query = _newest(limit, job_id).where(or_(*limits), held, ~_answers())
    for job in session.scalars(query):
        rows = session.scalars(
            select(Instance.size_bytes).where(
                Instance.series_uid == job.series_uid, Instance.stored.is_(True)
            )
        ).all()
        confirmed = job.state == JobState.CONFIRMED
        days = settings.keep_received_days if confirmed else settings.keep_ended_days
        yield Due(
            job_id=job.id,
            what=Removable.RECEIVED,
            series_uid=job.series_uid,
            objects=len(rows),
            size_bytes=sum(rows),
            why=f"{job.state}, {KEPT_FOR.format(days=days)}",
        )


def _results(
    session: Session, settings: Settings, now: float, limit: int, job_id: int | None
) -> Iterator[Due]:
    """Results of series whose newest revision every destination has confirmed."""
    days = settings.keep_results_days
    if not days:
        return
    there = exists().where(
        Result.job_id == Job.id, Result.removed_at.is_(None), Result.recorded.is_(True)
    )
    other = aliased(Job)
    answered = exists().where(Answer.job_id == other.id, other.series_uid == Job.series_uid)
    query = (
        _newest(limit, job_id)
        .where(_older(Job.state == JobState.CONFIRMED, days, now), there, ~answered)
    )  # fmt: skip
    for job in session.scalars(query):
        sizes = session.scalars(
            select(ResultObject.size_bytes)
            .join(Job, Job.id == ResultObject.job_id)
            .where(Job.series_uid == job.series_uid)
        ).all()
        yield Due(
            job_id=job.id,
            what=Removable.RESULT,
            series_uid=job.series_uid,
            objects=len(sizes),
            size_bytes=sum(sizes),
            why=f"confirmed, {KEPT_FOR.format(days=days)}",
        )


def _aside(
    session: Session, settings: Settings, now: float, limit: int, job_id: int | None
) -> Iterator[Due]:
    """Files in quarantine of which somebody, or a later copy, has decided."""
    days = settings.keep_ended_days
    if not days:
        return
    decided = Job.state.in_({*DECIDED, JobState.CONFIRMED})
    query = (
        select(Job.id, Job.series_uid, Job.state, func.count())
        .join(KeptAside, KeptAside.job_id == Job.id)
        .where(_older(decided, days, now), KeptAside.at <= now - days * DAY_S)
        .group_by(Job.id, Job.series_uid, Job.state)
        .order_by(Job.id)
        .limit(limit)
    )
    if job_id is not None:
        query = query.where(Job.id == job_id)
    for found, series_uid, state, files in session.execute(query):
        yield Due(
            job_id=found,
            what=Removable.KEPT_ASIDE,
            series_uid=series_uid,
            objects=files,
            size_bytes=0,
            why=f"{state}, {KEPT_FOR.format(days=days)}",
        )


def _history(
    session: Session, settings: Settings, now: float, limit: int, job_id: int | None
) -> Iterator[Due]:
    """Lines and headers of jobs of which nothing else is left."""
    days = settings.keep_history_days
    if not days:
        return
    held = exists().where(Instance.series_uid == Job.series_uid, Instance.removed_at.is_(None))
    result = exists().where(Result.job_id == Job.id, Result.removed_at.is_(None))
    aside = exists().where(KeptAside.job_id == Job.id)
    pending = exists().where(Removal.job_id == Job.id)
    headers = exists().where(Instance.series_uid == Job.series_uid)
    says_whose = or_(headers, Job.patient_day != "")  # of a file that was kept aside, no header is
    query = _newest(limit, job_id).where(
        _older(Job.state.in_({*DECIDED, JobState.CONFIRMED}), days, now),
        says_whose, ~held, ~result, ~aside, ~pending, ~_answers(), ~_untold(session, settings),
    )  # fmt: skip
    for job in session.scalars(query):
        lines = session.scalar(
            select(func.count()).select_from(Event).where(Event.job_id == job.id)
        )
        yield Due(
            job_id=job.id,
            what=Removable.HISTORY,
            series_uid=job.series_uid,
            objects=lines or 0,
            size_bytes=0,
            why=f"{job.state}, {KEPT_FOR.format(days=days)}",
        )


def _newest(limit: int, job_id: int | None) -> Select[Job]:
    """Jobs whose series has no later revision and none that is still under way."""
    other = aliased(Job)
    ends = {*DECIDED, JobState.CONFIRMED, JobState.DELIVERED, JobState.ANALYSED}
    disturbs = exists().where(
        other.series_uid == Job.series_uid,
        other.id != Job.id,
        or_(other.revision > Job.revision, other.state.not_in(ends), _open_delivery(other)),
    )
    query = select(Job).where(~disturbs).order_by(Job.state_since, Job.id).limit(limit)
    return query if job_id is None else query.where(Job.id == job_id)


def _ended() -> ColumnElement[bool]:
    """Over without a confirmation that could still come.

    `delivered` is final where no destination owes a proof, `analysed` in shadow.
    """
    final = and_(Job.state == JobState.DELIVERED, ~_open_delivery(Job))
    in_shadow = and_(Job.state == JobState.ANALYSED, Job.reason_code == SHADOW)
    return or_(Job.state.in_(DECIDED), final, in_shadow)


def _open_delivery(job: type[Job]) -> ColumnElement[bool]:
    moving = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.WITHHELD)
    return exists().where(
        Delivery.job_id == job.id,
        or_(Delivery.state.in_(moving), Delivery.awaits_commitment_until.is_not(None)),
    )


def _answers() -> ColumnElement[bool]:
    """Whether a series holds reports that say, or may say, something of our results."""
    return exists().where(
        Instance.series_uid == Job.series_uid,
        AnswerReport.sop_uid == Instance.sop_uid,
        AnswerReport.outcome != ReportOutcome.NOT_OURS,
    )


def _untold(session: Session, settings: Settings) -> ColumnElement[bool]:
    """Whether lines of a series' history are still to be told as DICOM audit messages.

    They are made from these lines and the headers; removed before, nobody could make them.
    """
    followed = None if settings.dicom_audit is None else session.get(Switch, FOLLOWED_SERIES)
    if followed is None:  # nothing is told, or what is there now never will be
        return false()
    revision = aliased(Job)
    return exists().where(
        revision.series_uid == Job.series_uid,
        Event.job_id == revision.id,
        Event.id > int(followed.value),
    )


def _older(states: ColumnElement[bool], days: float, now: float) -> ColumnElement[bool]:
    return and_(states, Job.state_since <= now - days * DAY_S)
