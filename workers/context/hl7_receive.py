"""One frame in, one answer out: judge, make durable, acknowledge."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from workers import clock
from workers.context.hl7_accept import AcceptPolicy, check_message, read_frame
from workers.context.hl7_answer import Answer, acknowledge, wrap_batch
from workers.context.hl7_message import Hl7Message, MessageHeader
from workers.context.hl7_text import CHARSETS, is_batch
from workers.context.inbox import MessageInbox
from workers.errors import Hl7Refused, MessageNotKept

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one message: where it was kept, or why it was not."""

    header: MessageHeader | None
    """`None` where it could not be read."""
    kept: Path | None = None
    refusal: Hl7Refused | None = None


@dataclass(slots=True, kw_only=True)
class Receiver:
    """Answers frames; safe to use from many threads."""

    inbox: MessageInbox
    policy: AcceptPolicy
    _count: itertools.count[int] = field(default_factory=itertools.count)

    def receive(self, frame: bytes, peer: str) -> bytes:
        """The answer to a frame; what is accepted in it is durable when this returns.

        Parameters
        ----------
        frame : bytes
            Without MLLP's block characters.
        peer : str
            Address, for the log.
        """
        started = time.monotonic()
        try:
            text, messages = read_frame(frame, self.policy)
        except Hl7Refused as refusal:
            answers = [self._answer(None, refusal)]
            batch = False
        else:
            answers = [self._receive_one(message) for message in messages]
            batch = is_batch(text)
        log.info(
            "hl7_received",
            peer=peer,
            size_bytes=len(frame),
            instances=len(answers),
            outcome=" ".join(sorted({item.code for item in answers})),
            refused=sum(item.code != "AA" for item in answers),
            duration_s=round(time.monotonic() - started, 3),
        )
        written = wrap_batch(answers, at=clock.now()) if batch else answers[0].text
        if not batch and len(answers) > 1:  # several messages in one frame without a BHS
            written = "".join(item.text for item in answers)
        return written.encode(CHARSETS[answers[0].charset], errors="replace")

    def too_large(self, limit_bytes: int) -> bytes:
        """The answer to a frame that is not read to its end."""
        refusal = Hl7Refused("AR", 207, f"the message has over {limit_bytes} bytes", "")
        return self._answer(None, refusal).text.encode()

    def take(self, text: str) -> Taken:
        """Judge one message, and make it durable where it is accepted.

        Parameters
        ----------
        text : str
            Decoded, segments ending in carriage returns.
        """
        header: MessageHeader | None = None
        try:
            message = Hl7Message(text)
            header = message.header
            check_message(message, self.policy)
            # Kept as UTF-8 under the name of its own character set: what was decoded to judge
            # the message is what will be read, whatever the settings are then.
            kept = self.inbox.accept(text.encode(), ".hl7")
        except Hl7Refused as error:
            refusal = error
        except MessageNotKept as error:
            refusal = Hl7Refused("AE", 207, f"{error.why}: send it again", "")
        else:
            return Taken(header=header, kept=kept)
        log.warning("hl7_refused", reason=refusal.why, reason_code=str(refusal.error_code))
        return Taken(header=header, refusal=refusal)

    def _receive_one(self, text: str) -> Answer:
        taken = self.take(text)
        return self._answer(taken.header, taken.refusal)

    def _answer(self, header: MessageHeader | None, refusal: Hl7Refused | None) -> Answer:
        number = f"{os.getpid()}.{next(self._count)}.{time.time_ns():x}"[:20]
        return acknowledge(header, refusal, number=number, at=clock.now())
