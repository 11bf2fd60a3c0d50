"""Gathers alarms and sends them, one message for many, never faster than is set.

A receiver that does not answer delays its own messages alone: what is to be told stands in the
database and is told when the receiver is back. While the database itself is away, what the node
watches is told from memory.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from workers.application import Application
from workers.errors import NotificationFailed
from workers.metrics import observe
from workers.notify.channels import Channel, channels_of
from workers.notify.ledger import Untold, begin, tell, untold
from workers.notify.message import AlarmChange, AlarmMessage
from workers.state.database import DATABASE_AWAY
from workers.state.jobs import back_off_s

log = structlog.get_logger()

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0


@dataclass(slots=True, kw_only=True)
class _Way:
    """One way out, and when it may be used again; times are monotonic."""

    channel: Channel
    begun: bool = False
    waiting_since: float | None = None
    not_before: float = float("-inf")
    failures: int = 0
    message_id: str = ""
    told_unwritten: set[tuple[str, str]] = field(default_factory=set)


class Notifier:
    """Tells others of alarms; `look` is called again and again.

    Parameters
    ----------
    app : Application
        Whose alarms.
    unwritten : callable
        Alarms that the database could not take yet.
    """

    def __init__(
        self, app: Application, unwritten: Callable[[], Sequence[AlarmChange]] = lambda: ()
    ) -> None:
        self._app = app
        self._unwritten = unwritten
        self._ways = [_Way(channel=channel) for channel in channels_of(app.settings)]

    def look(self) -> None:
        """Send what is due on each way."""
        for way in self._ways:
            self._serve(way)

    def _serve(self, way: _Way) -> None:
        due = self._due(way)
        now = time.monotonic()
        if not due:
            way.waiting_since = None
            return
        if way.waiting_since is None:
            way.waiting_since = now
            way.message_id = uuid.uuid4().hex
        settings = self._app.settings
        if now < max(way.waiting_since + settings.notify_group_s, way.not_before):
            return
        message = AlarmMessage(
            id=way.message_id,
            site=settings.ae_title,
            sent_at=time.time(),
            raised=due.raised,
            cleared=due.cleared,
        )
        name = way.channel.name
        try:
            way.channel.send(message)
        except NotificationFailed as error:
            way.failures += 1
            pause_s = back_off_s(way.failures, base_s=FIRST_PAUSE_S, cap_s=LONGEST_PAUSE_S)
            way.not_before = time.monotonic() + pause_s
            observe.note("pulmonode_notifications_total", channel=name, outcome="failed")
            log.warning("notification_failed", channel=name, reason=error.why)
            return
        observe.note("pulmonode_notifications_total", channel=name, outcome="sent")
        log.info(
            "notification_sent", channel=name, raised=len(due.raised), cleared=len(due.cleared)
        )
        way.failures = 0
        way.waiting_since = None
        way.not_before = time.monotonic() + settings.notify_interval_s
        self._remember(way, due)

    def _due(self, way: _Way) -> Untold:
        """What the way was not told yet; from memory while the database is away."""
        try:
            now = self._app.now()
            if not way.begun:
                with self._app.database.write() as session:
                    begin(session, way.channel.name, at=now)
                way.begun = True
            with self._app.database.read() as session:
                due = untold(session, way.channel.name, now=now)
        except DATABASE_AWAY:
            raised = tuple(
                item
                for item in self._unwritten()
                if (item.code, item.subject) not in way.told_unwritten
            )
            return Untold(raised=raised)
        if not way.told_unwritten:
            return due
        # Told from memory meanwhile, and in the table by now: not told again.
        known = way.told_unwritten
        return Untold(
            raised=tuple(item for item in due.raised if (item.code, item.subject) not in known),
            cleared=due.cleared,
            lines=due.lines,
        )

    def _remember(self, way: _Way, due: Untold) -> None:
        """Write down what was told; what cannot be written is kept in mind."""
        if not due.lines:
            way.told_unwritten.update((item.code, item.subject) for item in due.raised)
            return
        try:
            with self._app.database.write() as session:
                tell(session, way.channel.name, due.lines, at=self._app.now())
        except DATABASE_AWAY as error:  # told again when it is back
            log.warning("notification_not_noted", error=type(error).__name__)
        else:
            way.told_unwritten -= {(item.code, item.subject) for item in due.cleared}


def send_test(app: Application) -> list[tuple[str, str | None]]:
    """Send a test message on each way; the way's name and what went wrong, or `None`."""
    message = AlarmMessage(
        id=uuid.uuid4().hex, site=app.settings.ae_title, sent_at=time.time(), test=True
    )
    found: list[tuple[str, str | None]] = []
    for channel in channels_of(app.settings):
        try:
            channel.send(message)
        except NotificationFailed as error:
            found.append((channel.name, error.why))
        else:
            found.append((channel.name, None))
    return found
