"""Destinations as an administrator looks at them: what waits for each, and what it took last."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.peer_settings import AnyDestination
from workers.settings import Settings
from workers.state.schema import Delivery, DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """One destination.

    Attributes
    ----------
    settings : AnyDestination or None
        `None` when deliveries go by its name and it is not configured any more.
    counts : dict of str to int
        Deliveries by state.
    oldest_s : float or None
        Since when the oldest one waits.
    last_success_at : float or None
        When it last took a result.
    last_reason : str
        What the newest delivery that waits or failed was told.
    """

    name: str
    settings: AnyDestination | None
    counts: dict[str, int]
    oldest_s: float | None
    last_success_at: float | None
    last_reason: str

    @property
    def waiting(self) -> int:
        """Deliveries that are on their way or due."""
        return self.counts.get(DeliveryState.QUEUED, 0) + self.counts.get(DeliveryState.SENDING, 0)

    @property
    def failed(self) -> int:
        """Deliveries that were given up."""
        return self.counts.get(DeliveryState.FAILED, 0)


def list_backlogs(session: Session, settings: Settings, *, now: float) -> list[Backlog]:
    """Every destination that is configured, and others that deliveries still name."""
    rows = session.execute(
        select(
            Delivery.destination, Delivery.state, func.count(), func.min(Delivery.created_at)
        ).group_by(Delivery.destination, Delivery.state)
    ).all()
    counts: dict[str, dict[str, int]] = {item.name: {} for item in settings.destinations}
    oldest: dict[str, float] = {}
    for name, state, count, created_at in rows:
        counts.setdefault(name, {})[state] = int(count)
        if state in {DeliveryState.QUEUED, DeliveryState.SENDING}:
            oldest[name] = min(oldest.get(name, created_at), created_at)
    return [
        Backlog(
            name=name,
            settings=settings.destination(name),
            counts=by_state,
            oldest_s=now - oldest[name] if name in oldest else None,
            last_success_at=session.scalar(
                select(func.max(Delivery.delivered_at)).where(Delivery.destination == name)
            ),
            last_reason=_last_reason(session, name),
        )
        for name, by_state in counts.items()
    ]


def _last_reason(session: Session, name: str) -> str:
    query = (
        select(Delivery.reason)
        .where(
            Delivery.destination == name,
            Delivery.state.in_([DeliveryState.QUEUED, DeliveryState.FAILED]),
            Delivery.reason.is_not(None),
        )
        .order_by(Delivery.id.desc())
        .limit(1)
    )
    return session.scalar(query) or ""
