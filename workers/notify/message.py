"""One message about alarms: raised and over since the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workers.notify.words import UNKNOWN, WORDS

VERSION = 1
LISTED_AT_MOST = 50
"""Of each kind; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmChange:
    """An alarm that was raised, or is over.

    Attributes
    ----------
    subject : str
        A job's number, a destination's name or a part of the system.
    raised_at, cleared_at : float
        Seconds since the epoch.
    """

    code: str
    subject: str
    raised_at: float
    cleared_at: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        what, action = WORDS.get(self.code, UNKNOWN)
        return {
            "code": self.code,
            "subject": self.subject,
            "what": what,
            "action": action,
            "raised_at": _iso(self.raised_at),
            "cleared_at": None if self.cleared_at is None else _iso(self.cleared_at),
        }

    def to_line(self) -> str:
        """As one line for people."""
        what, _ = WORDS.get(self.code, UNKNOWN)
        until = "" if self.cleared_at is None else f", over at {_iso(self.cleared_at)}"
        return f"{self.code} {self.subject}: {what} (since {_iso(self.raised_at)}{until})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmMessage:
    """What one message says; `id` is the same in every attempt to send it."""

    id: str
    site: str
    """Our AE title."""
    sent_at: float
    raised: Sequence[AlarmChange] = ()
    cleared: Sequence[AlarmChange] = ()
    test: bool = False

    def to_json(self) -> dict[str, Any]:
        """The webhook's body."""
        return {
            "version": VERSION,
            "id": self.id,
            "site": self.site,
            "sent_at": _iso(self.sent_at),
            "test": self.test,
            "raised_count": len(self.raised),
            "cleared_count": len(self.cleared),
            "raised": [item.to_json() for item in self.raised[:LISTED_AT_MOST]],
            "cleared": [item.to_json() for item in self.cleared[:LISTED_AT_MOST]],
        }

    @property
    def subject(self) -> str:
        """The e-mail's subject."""
        if self.test:
            return f"Pulmonode {self.site}: test message"
        said = [
            f"{len(items)} {words}"
            for items, words in ((self.raised, "raised"), (self.cleared, "over"))
            if items
        ]
        return f"Pulmonode {self.site}: alarms {', '.join(said)}"

    def to_text(self) -> str:
        """The e-mail's text."""
        if self.test:
            return "This is a test: messages about alarms arrive here.\n"
        parts = []
        for title, items in (("Raised", self.raised), ("Over", self.cleared)):
            if items:
                lines = [f"- {item.to_line()}" for item in items[:LISTED_AT_MOST]]
                if len(items) > LISTED_AT_MOST:
                    lines.append(f"- and {len(items) - LISTED_AT_MOST} more")
                parts.append("\n".join((f"{title}:", *lines)))
        actions = {
            item.code: WORDS.get(item.code, UNKNOWN)[1] for item in self.raised[:LISTED_AT_MOST]
        }
        if actions:
            lines = [f"- {code}: {action}" for code, action in sorted(actions.items())]
            parts.append("\n".join(("What to do:", *lines)))
        return "\n\n".join(parts) + "\n"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="seconds")
