"""Jobs as plain values, for the command line and other readers; no patient data in them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.settings import Settings
from workers.state.alarms import open_alarms
from workers.state.jobs import NEEDS_A_PERSON, find_job
from workers.state.schema import (
    Commitment,
    Delivery,
    Event,
    Job,
    KeptAside,
    Notice,
    Result,
    ResultObject,
)
from workers.state.store import ObjectStore
from workers.usecases.describe_answers import answers_of_series
from workers.usecases.index import removed
from workers.usecases.job_row import job_row
from workers.usecases.retract import objects_for


def list_jobs(
    session: Session, *, state: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """The newest jobs, newest first."""
    query = select(Job).order_by(Job.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Job.state == state)
    return [job_row(job) for job in session.scalars(query)]


def list_dead_letters(session: Session) -> list[dict[str, Any]]:
    """Jobs that stopped and need a person, oldest first."""
    query = select(Job).where(Job.state.in_(NEEDS_A_PERSON)).order_by(Job.state_since, Job.id)
    return [job_row(job) for job in session.scalars(query)]


def list_alarms(session: Session) -> list[dict[str, Any]]:
    """Open alarms, oldest first."""
    return [
        {
            "code": item.code,
            "subject": item.subject,
            "message": item.message,
            "raised_at": item.raised_at,
        }
        for item in open_alarms(session)
    ]


def count_jobs(session: Session) -> dict[str, int]:
    """How many jobs stand in each state."""
    rows = session.execute(select(Job.state, func.count()).group_by(Job.state))
    return {str(state): int(count) for state, count in rows}


def show_job(session: Session, wanted: str, store: ObjectStore | None = None) -> dict[str, Any]:
    """Everything about one job: history, objects, deliveries, files kept aside, revisions.

    Parameters
    ----------
    store : ObjectStore, optional
        Where the result is kept: paths then are places to look at, and not keys.

    Raises
    ------
    NoSuchJob
        If there is none of that number or Series Instance UID.
    """
    job = find_job(session, wanted)
    result = session.get(Result, job.id)
    notice = session.get(Notice, job.id)
    objects = session.scalars(select(ResultObject).where(ResultObject.job_id == job.id))
    deliveries = session.scalars(select(Delivery).where(Delivery.job_id == job.id)).all()
    aside = session.scalars(select(KeptAside).where(KeptAside.job_id == job.id))
    events = session.scalars(select(Event).where(Event.job_id == job.id).order_by(Event.id))

    def place(path: str | None) -> str | None:
        return path if store is None or path is None else store.describe(path)

    return {
        **job_row(job),
        "nodules": None if result is None or notice else result.nodule_count,
        "not_analysed": notice.about if notice else [],
        "result_removed_at": None if result is None else result.removed_at,
        "instances_removed": removed(session, job.series_uid),
        "findings_path": None if result is None else place(result.findings_path),
        "features_path": None if result is None else place(result.features_path),
        "answers": answers_of_series(session, job.series_uid),
        "objects": [
            {
                "kind": item.kind,
                "profiles": item.profiles,
                "destinations": item.destinations,
                "sop_instance_uid": item.sop_uid,
                "series_instance_uid": item.series_uid,
                "size_bytes": item.size_bytes,
                "sha256": item.sha256,
                "path": place(item.path),
            }
            for item in objects
        ],
        "deliveries": [_delivery(session, item) for item in deliveries],
        "kept_aside": [
            {"file": item.name, "reason_code": item.reason_code, "at": item.at} for item in aside
        ],
        "revisions": [
            {"id": item.id, "revision": item.revision, "state": item.state}
            for item in session.scalars(
                select(Job).where(Job.series_uid == job.series_uid).order_by(Job.revision)
            )
        ],
        "history": [
            {"at": item.at, "state": item.state, "message": item.message} for item in events
        ],
    }


def count_deliveries(session: Session, settings: Settings) -> list[dict[str, Any]]:
    """Results per destination and state: how many, with how many nodules, objects and bytes.

    Of revisions only the newest result of a series counts for a destination. A destination in
    shadow is counted like any other; that is what it is for.
    """
    newest: dict[tuple[str, str], Delivery] = {}
    rows = session.execute(
        select(Delivery, Job.series_uid)
        .join(Job, Job.id == Delivery.job_id)
        .order_by(Job.revision, Delivery.id)
    )
    for delivery, series_uid in rows:
        newest[delivery.destination, series_uid] = delivery
    modes = {item.name: item.mode for item in settings.destinations}
    totals: dict[tuple[str, str], dict[str, Any]] = {}
    for delivery in newest.values():
        key = (delivery.destination, delivery.state)
        total = totals.setdefault(
            key,
            {
                "destination": delivery.destination,
                "mode": modes.get(delivery.destination, "not configured"),
                "state": delivery.state,
                "results": 0,
                "with_nodules": 0,
                "nodules": 0,
                "objects": 0,
                "bytes": 0,
            },
        )
        objects = objects_for(session, delivery, settings.destination(delivery.destination))
        nodules = session.get_one(Result, delivery.job_id).nodule_count
        total["results"] += 1
        total["with_nodules"] += nodules > 0
        total["nodules"] += nodules
        total["objects"] += len(objects)
        total["bytes"] += sum(item.size_bytes for item in objects)
    return [totals[key] for key in sorted(totals)]


def _delivery(session: Session, item: Delivery) -> dict[str, Any]:
    commitments = session.scalars(
        select(Commitment)
        .where(Commitment.delivery_id == item.id)
        .order_by(Commitment.requested_at)
    )
    return {
        "id": item.id,
        "destination": item.destination,
        "profile": item.profile,
        "state": item.state,
        "reason": item.reason,
        "attempts": item.attempts,
        "delivered_at": item.delivered_at,
        "confirmed_at": item.confirmed_at,
        "commitments": [
            {
                "transaction_uid": row.transaction_uid,
                "requested_at": row.requested_at,
                "replied_at": row.replied_at,
                "committed": row.committed_count,
                "failed": row.failed,
            }
            for row in commitments
        ],
    }
