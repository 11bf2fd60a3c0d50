"""Destinations that take nothing: somebody has to look at the PACS, or at the wire to it."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.state.alarms import DESTINATION_SILENT, clear_alarm, open_alarms, raise_alarm
from workers.state.schema import Delivery, DeliveryState


def watch_destinations(app: Application, *, now: float) -> None:
    """Raise an alarm for each destination whose deliveries wait too long, and clear the others.

    A destination is silent when a delivery has been tried, has waited longer than the limit,
    and nothing was taken within that time.
    """
    limit = now - app.settings.delivery_alarm_s
    with app.database.read() as session:
        waiting = session.execute(
            select(Delivery.destination, func.count(), func.max(Delivery.reason))
            .where(
                Delivery.state.in_([DeliveryState.QUEUED, DeliveryState.SENDING]),
                Delivery.attempts > 0,
                Delivery.created_at <= limit,
            )
            .group_by(Delivery.destination)
        ).all()
        took = {name for name, _, _ in waiting if _took(session, name, limit, now)}
        known = {item.subject for item in open_alarms(session) if item.code == DESTINATION_SILENT}
    silent = {name: (count, reason) for name, count, reason in waiting if name not in took}
    if set(silent) == known:
        return
    with app.database.write() as session:
        for name, (count, reason) in silent.items():
            message = f"{name} has taken nothing, {count} results wait: {reason or 'no answer'}"
            raise_alarm(session, DESTINATION_SILENT, name, message, at=now)
        for name in known - set(silent):
            clear_alarm(session, DESTINATION_SILENT, name, at=now)


def _took(session: Session, name: str, since: float, until: float) -> bool:
    """Whether a destination took something; asked by name, for which there is an index."""
    within = Delivery.delivered_at.between(since, until)
    found = select(Delivery.id).where(Delivery.destination == name, within).limit(1)
    return session.scalars(found).first() is not None
