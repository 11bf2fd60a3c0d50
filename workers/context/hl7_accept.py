"""May a message be accepted? Judged before it is made durable and answered.

Only what the sender can mend is refused here: what is no HL7, what nobody asked for, what says
of no patient. What a message means, and whether its patient is one of ours, is found out
afterwards, when it can no longer be lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.context.hl7_message import Hl7Message, pick
from workers.context.hl7_text import decode, safe, split_messages
from workers.errors import Hl7Refused

ACCEPTED = {
    "ORU": ("R01", "R30", "R31", "R32", ""),
    "ADT": (
        "A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A28", "A31", "A40", "",
    ),
    "ORM": ("O01", ""),
    "OMI": ("O23", ""),
    "OMG": ("O19", ""),
}  # fmt: skip
"""Message code -> trigger events; older senders leave the event out."""
CONTROL_ID_LENGTH = 199
"""MSH-10 (HL7 v2.9)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptPolicy:
    """What the site lets in."""

    default_charset: str = "UNICODE UTF-8"
    senders: tuple[str, ...] = ()
    """``APPLICATION|FACILITY``; all where empty."""
    processing_ids: tuple[str, ...] = ("P",)


def read_frame(frame: bytes, policy: AcceptPolicy) -> tuple[str, list[str]]:
    """Decode a frame and part its messages.

    Returns
    -------
    (str, list of str)
        The whole text, and each message.

    Raises
    ------
    Hl7Refused
        If nothing in it can be read.
    """
    text = decode(frame, policy.default_charset)
    return text, split_messages(text)


def check_message(message: Hl7Message, policy: AcceptPolicy) -> None:
    """Let a message pass.

    Raises
    ------
    Hl7Refused
        With the acknowledgement code, HL7 table 0357's code and the reason.
    """
    header = message.header
    if not header.control_id or len(header.control_id) > CONTROL_ID_LENGTH:
        raise Hl7Refused(
            "AE", 101, "MSH-10 (message control ID) is missing or too long", "MSH^1^10"
        )
    if header.code not in ACCEPTED:
        raise Hl7Refused("AR", 200, f"message type {safe(header.code)} is not taken", "MSH^1^9^1^1")
    if header.trigger not in ACCEPTED[header.code]:
        raise Hl7Refused(
            "AR", 201, f"trigger event {safe(header.trigger)} is not taken", "MSH^1^9^1^2"
        )
    if header.processing_id not in policy.processing_ids:
        raise Hl7Refused(
            "AR", 202, f"processing ID {safe(header.processing_id)} is not taken", "MSH^1^11"
        )
    if header.version and not header.version.startswith("2"):
        raise Hl7Refused("AR", 203, f"version {safe(header.version)} is not 2.x", "MSH^1^12")
    if policy.senders and header.sender not in policy.senders:
        raise Hl7Refused("AR", 207, "MSH-3 and MSH-4 name no sender of the settings", "MSH^1^3")
    _check_patient(message)


def _check_patient(message: Hl7Message) -> None:
    pids = message.all("PID")
    if not pids:
        raise Hl7Refused("AE", 100, "there is no PID segment", "PID^1")
    for number, pid in enumerate(pids, start=1):
        if not any(pick(item, 1) for item in pid.repetitions(3)):
            raise Hl7Refused("AE", 101, "PID-3 (patient identifier) is missing", f"PID^{number}^3")
    if message.header.trigger == "A40":
        merges = message.all("MRG")
        if not merges or not any(pick(item, 1) for item in merges[0].repetitions(1)):
            raise Hl7Refused("AE", 101, "MRG-1 (prior identifier) is missing", "MRG^1^1")
