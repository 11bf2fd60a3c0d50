"""Work that nobody takes: somebody has to look at the workers, or at the broker's messages."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.state.alarms import NOBODY_WORKS, clear_alarm, open_alarms, raise_alarm
from workers.state.schema import PAUSES, Delivery, DeliveryState, Job, JobState, Switch


def watch_workers(app: Application, *, now: float) -> None:
    """Raise an alarm for each queue whose due work waits too long while nobody is at work.

    A queue that an administrator holds back raises none.
    """
    limit = now - app.settings.worker_alarm_s
    with app.database.read() as session:
        idle = {
            queue: count
            for queue, count in (
                ("analyse", _waiting_jobs(session, limit)),
                ("deliver", _waiting_deliveries(session, limit)),
            )
            if count and not _is_paused(session, queue)
        }
        known = {item.subject for item in open_alarms(session) if item.code == NOBODY_WORKS}
    if set(idle) == known:
        return
    with app.database.write() as session:
        for queue, count in idle.items():
            message = (
                f"{count} due in queue {queue} for {app.settings.worker_alarm_s:g} s, no worker"
            )
            raise_alarm(session, NOBODY_WORKS, queue, message, at=now)
        for queue in known - set(idle):
            clear_alarm(session, NOBODY_WORKS, queue, at=now)


def _is_paused(session: Session, queue: str) -> bool:
    switch = session.get(Switch, PAUSES[queue])
    return switch is not None and switch.value == "on"


def _waiting_jobs(session: Session, limit: float) -> int:
    """Jobs that were due already at `limit`; none when one is being analysed."""
    busy = session.scalar(select(Job.id).where(Job.state == JobState.ANALYSING).limit(1))
    waiting = select(func.count()).where(
        Job.state == JobState.QUEUED, Job.next_attempt_at <= limit, Job.state_since <= limit
    )
    return 0 if busy is not None else session.scalar(waiting) or 0


def _waiting_deliveries(session: Session, limit: float) -> int:
    busy = session.scalar(
        select(Delivery.id).where(Delivery.state == DeliveryState.SENDING).limit(1)
    )
    waiting = select(func.count()).where(
        Delivery.state == DeliveryState.QUEUED,
        Delivery.next_attempt_at <= limit,
        Delivery.created_at <= limit,
    )
    return 0 if busy is not None else session.scalar(waiting) or 0
