"""How many deliveries may be under way to one destination at once.

So a PACS that answers slowly, or not at all, holds no more workers than its share, and gets no
more associations than it is configured for.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.settings import Settings
from workers.state.schema import Delivery, DeliveryState, Job


def free_associations(session: Session, settings: Settings, name: str) -> int:
    """How many more deliveries to a destination may begin now."""
    destination = settings.destination(name)
    limit = 1 if destination is None else destination.maximum_associations
    under_way = session.scalar(
        select(func.count())
        .select_from(Delivery)
        .where(Delivery.destination == name, Delivery.state == DeliveryState.SENDING)
    )
    return max(0, limit - (under_way or 0))


def due_deliveries(
    session: Session, settings: Settings, *, now: float, hinted_until: float
) -> list[int]:
    """Numbers of due deliveries of every destination that has associations free, the most urgent
    first.

    Parameters
    ----------
    hinted_until : float
        Leave out those that workers were told of after this time.
    """
    due = (
        Delivery.state == DeliveryState.QUEUED,
        Delivery.next_attempt_at <= now,
        Delivery.hinted_at <= hinted_until,
    )
    names = session.scalars(select(Delivery.destination).where(*due).distinct()).all()
    return [
        number
        for name in names
        if (free := free_associations(session, settings, name))
        for number in session.scalars(
            select(Delivery.id)
            .join(Job, Job.id == Delivery.job_id)
            .where(*due, Delivery.destination == name)
            .order_by(Job.priority.desc(), Delivery.hinted_at, Delivery.id)
            .limit(free)
        )
    ]
