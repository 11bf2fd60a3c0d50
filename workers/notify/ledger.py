"""Which alarms each way out was told of, so that a restart neither repeats nor forgets one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import Exists

from workers.notify.message import AlarmChange
from workers.state.notice_tables import AlarmNotice
from workers.state.schema import Alarm

RAISED, CLEARED = "raised", "cleared"
BEGAN = "began"
NO_ALARM = 0
"""Its line with `BEGAN` says since when a way is set up: what was over before is not told."""
LOOK_BACK_S = 7 * 86_400.0
AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """Alarms that a way was not told of yet, with the lines to write once it was."""

    raised: tuple[AlarmChange, ...] = ()
    cleared: tuple[AlarmChange, ...] = ()
    lines: tuple[tuple[int, str], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.raised or self.cleared)


def begin(session: Session, channel: str, *, at: float) -> None:
    """Note that a way is set up, unless it is noted already."""
    if session.get(AlarmNotice, (channel, NO_ALARM, BEGAN)) is None:
        session.add(AlarmNotice(channel=channel, alarm_id=NO_ALARM, what=BEGAN, at=at))


def untold(session: Session, channel: str, *, now: float) -> Untold:
    """What a way was not told: open alarms, and those that ended since it was set up."""
    began = session.get(AlarmNotice, (channel, NO_ALARM, BEGAN))
    since = max(now - LOOK_BACK_S, began.at if began is not None else now)
    opened = session.scalars(
        select(Alarm)
        .where(Alarm.cleared_at.is_(None), ~_told(channel, RAISED))
        .order_by(Alarm.raised_at, Alarm.id)
        .limit(AT_ONCE)
    ).all()
    ended = session.scalars(
        select(Alarm)
        .where(Alarm.cleared_at >= since, ~_told(channel, CLEARED))
        .order_by(Alarm.cleared_at, Alarm.id)
        .limit(AT_ONCE)
    ).all()
    return Untold(
        raised=tuple(_change(alarm) for alarm in opened),
        cleared=tuple(_change(alarm) for alarm in ended),
        lines=(
            *((alarm.id, RAISED) for alarm in opened),
            *((alarm.id, CLEARED) for alarm in ended),
        ),
    )


def tell(session: Session, channel: str, lines: Iterable[tuple[int, str]], *, at: float) -> None:
    """Note that a way was told."""
    for alarm_id, what in lines:
        session.merge(AlarmNotice(channel=channel, alarm_id=alarm_id, what=what, at=at))


def _told(channel: str, what: str) -> Exists:
    return exists().where(
        AlarmNotice.channel == channel, AlarmNotice.alarm_id == Alarm.id, AlarmNotice.what == what
    )


def _change(alarm: Alarm) -> AlarmChange:
    return AlarmChange(
        code=alarm.code,
        subject=alarm.subject,
        raised_at=alarm.raised_at,
        cleared_at=alarm.cleared_at,
    )
