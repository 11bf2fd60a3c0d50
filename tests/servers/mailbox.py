"""What a real SMTP server (aiosmtpd) takes."""

from __future__ import annotations

from typing import Any

from aiosmtpd.smtp import Envelope, Session


class Mailbox:
    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.secure: list[bool] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, session: Session, envelope: Envelope
    ) -> str:
        self.taken.append(envelope)
        self.secure.append(session.ssl is not None)
        return "250 taken"
