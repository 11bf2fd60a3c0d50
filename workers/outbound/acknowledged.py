"""What a receiver's acknowledgement means for a message that we sent.

AA and CA say that it is taken (original and enhanced mode); the others say whether the message, or
the receiver, is at fault. A receiver's free text is not repeated: it may name the patient.

References
----------
HL7 v2.9 sections 2.9.2 and 2.9.3, tables 0008 and 0357.
"""

from __future__ import annotations

from workers.context.hl7_answer import ERROR_NAMES
from workers.context.hl7_message import Hl7Message
from workers.context.hl7_text import decode, safe, split_messages
from workers.errors import Hl7Refused, ResultNotTold

TAKEN = ("AA", "CA")
LATER = ("AR", "CE")
"""Rejected for reasons that are not the message's (AR), or that it could not be kept (CE)."""
NEVER = ("AE", "CR")
"""The message is wrong for the receiver: somebody has to look."""
RECEIVERS_OWN = ("206", "207")
"""Table 0357: record locked, internal error. The receiver's, whatever MSA-1 says."""
CODES = (*TAKEN, *LATER, *NEVER)


def check_acknowledged(answer: bytes, control_id: str) -> None:
    """Return when a message was taken.

    Parameters
    ----------
    answer : bytes
        Without MLLP's block characters.
    control_id : str
        MSH-10 of the message.

    Raises
    ------
    ResultNotTold
        If it was not; transient where the same message may be taken later.
    """
    try:
        message = Hl7Message(split_messages(_decoded(answer))[0])
    except Hl7Refused as error:
        raise ResultNotTold(f"the answer is no HL7: {error.why}", transient=True) from None
    msa = message.first("MSA")
    if msa is None:
        raise ResultNotTold("the answer has no MSA segment", transient=True)
    code, about = msa.text(1).upper(), msa.text(2)
    if about != control_id:
        raise ResultNotTold("the answer is to another message (MSA-2)", transient=True)
    if code in TAKEN:
        return
    said = f"the receiver answered {code if code in CODES else safe(code)}"
    numbers = [item.text(3) for item in message.all("ERR") if item.text(3)]
    known = [
        f"{number} {ERROR_NAMES[int(number)]}"
        for number in dict.fromkeys(numbers)
        if number.isdigit() and int(number) in ERROR_NAMES
    ]
    if known:
        said += f" ({', '.join(known)})"
    later = code not in NEVER or any(number in RECEIVERS_OWN for number in numbers)
    remedy = "" if later else "; its own log says why: mend it there or here, then retry"
    raise ResultNotTold(f"{said}{remedy}", transient=later)


def _decoded(answer: bytes) -> str:
    """Text of an answer; only codes of it are read, which are the same in every character set."""
    try:
        return decode(answer, "UNICODE UTF-8")
    except Hl7Refused:
        return answer.decode("latin-1")
