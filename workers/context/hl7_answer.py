"""Acknowledgements: what the sender hears (original mode, HL7 v2.9 section 2.9.2).

Nothing that a message says of its patient is repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from workers.context.hl7_message import MessageHeader
from workers.context.hl7_text import CHARSETS, escape
from workers.errors import Hl7Refused

US = "PULMONODE"
PLAIN_MARKS = "|^~\\&"
ECHO_LIMIT = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One acknowledgement, as it is written."""

    code: str
    """AA, AE or AR."""
    text: str
    charset: str
    """Key of `CHARSETS`, that of the message."""


def acknowledge(
    header: MessageHeader | None, refusal: Hl7Refused | None, *, number: str, at: float
) -> Answer:
    """Compose an acknowledgement.

    Parameters
    ----------
    header : MessageHeader or None
        Of the message; `None` where it could not be read.
    refusal : Hl7Refused or None
        Why it was not accepted; `None` when it was.
    number : str
        Our own control ID, MSH-10.
    at : float
        Seconds since the epoch.
    """
    code = "AA" if refusal is None else refusal.code
    moment = datetime.fromtimestamp(at, tz=UTC).strftime("%Y%m%d%H%M%S+0000")
    trigger = header.trigger if header else ""
    msh = [
        "MSH", "^~\\&", US, "", _echo(header.sending_application if header else ""),
        _echo(header.sending_facility if header else ""), moment, "",
        f"ACK^{trigger}^ACK" if trigger else "ACK", number,
        header.processing_id[:1] if header and header.processing_id else "P",
        _echo(header.version if header else "") or "2.5.1",
    ]  # fmt: skip
    charset = header.charset.upper() if header and header.charset.upper() in CHARSETS else ""
    if charset:
        msh += ["", "", "", "", "", charset]
    why = "" if refusal is None else escape(refusal.why)
    segments = ["|".join(msh), f"MSA|{code}|{_echo(header.control_id if header else '')}|{why}"]
    if refusal is not None:
        segments.append(
            f"ERR||{refusal.location}|{refusal.error_code}^{ERROR_NAMES[refusal.error_code]}"
            f"^HL70357|E|||{why}|{why}"
        )
    return Answer(code=code, text="\r".join(segments) + "\r", charset=charset or "UNICODE UTF-8")


ERROR_NAMES = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing id",
    203: "Unsupported version id",
    204: "Unknown key identifier",
    206: "Application record locked",
    207: "Application internal error",
}
"""HL7 table 0357."""


def wrap_batch(answers: list[Answer], *, at: float) -> str:
    """Several acknowledgements as one batch (section 2.10.3)."""
    moment = datetime.fromtimestamp(at, tz=UTC).strftime("%Y%m%d%H%M%S+0000")
    body = "".join(item.text for item in answers)
    return f"BHS|^~\\&|{US}||||{moment}\r{body}BTS|{len(answers)}\r"


def _echo(text: str) -> str:
    """A value of the sender's, written so that it stands in one field."""
    return escape(re.sub(r"[\x00-\x1f\x7f]", "", text))[:ECHO_LIMIT]
