"""HL7 v2 as text: character sets, batches, escape sequences (HL7 v2.9 chapter 2).

Bytes are decoded before anything is split, since a second byte of GB 18030 may look like a
separator. Escape sequences are resolved here and not by the parser library, whose own routine
logs the field (patient data) and stops at sequences that it does not know.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from workers.errors import Hl7Refused

CHARSETS = {
    "ASCII": "ascii",
    "UTF-8": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "GB 18030-2000": "gb18030",
    "GB18030": "gb18030",
    "GB 18030": "gb18030",
    "BIG-5": "big5",
    **{f"8859/{part}": f"iso8859_{part}" for part in (1, 2, 3, 4, 5, 7, 9, 15)},
    "ISO IR6": "ascii",
    "ISO IR100": "iso8859_1",
    "ISO_IR 100": "iso8859_1",
    "ISO IR192": "utf-8",
    "ISO_IR 192": "utf-8",
}
"""MSH-18 (HL7 table 0211, and names of DICOM that senders write) -> Python's codec."""
MSH_CHARSET = 18
BATCH_SEGMENTS = ("FHS", "BHS", "BTS", "FTS")
LINE_ENDS = re.compile(r"\r\n|\r|\n")
TEXT_FORMATS = {".br": "\n", ".sp": "\n", ".ce": "\n", ".sk": " ", ".in": " ", ".ti": " "}
HEX_LIMIT = 400
"""Digits of one hexadecimal escape; longer ones are dropped."""


def decode(frame: bytes, default_charset: str) -> str:
    """Text of a frame, by the MSH-18 of its first message.

    Parameters
    ----------
    frame : bytes
        Without the MLLP block characters.
    default_charset : str
        Key of `CHARSETS` that counts where MSH-18 is empty.

    Raises
    ------
    Hl7Refused
        If the character set is not known, or the bytes are not of it.
    """
    frame = frame.removeprefix(codecs.BOM_UTF8)
    declared = _declared(frame.decode("latin-1"))
    if declared and declared not in CHARSETS:
        # In GB 18030 a header may hold bytes that look like separators: try the default.
        declared = _declared(_decoded(frame, CHARSETS[default_charset]))
        if declared not in CHARSETS:
            raise Hl7Refused("AE", 102, f"character set {safe(declared)} is not known", "MSH^1^18")
    return _decoded(frame, CHARSETS[declared or default_charset])


def _declared(text: str) -> str:
    """MSH-18, first repetition, of the first MSH."""
    at = text.find("MSH")
    if at < 0 or len(text) < at + 4:
        return ""
    fields = LINE_ENDS.split(text[at:], maxsplit=1)[0].split(text[at + 3])
    # The first separator is itself MSH-1: MSH-18 is the element at 17.
    return re.split(r"[~\\]", fields[17])[0].strip().upper() if len(fields) > 17 else ""


def _decoded(frame: bytes, codec: str) -> str:
    try:
        return frame.decode(codec)
    except UnicodeDecodeError as error:
        raise Hl7Refused(
            "AE", 102, f"byte {error.start + 1} of the message is not {codec}", "MSH^1^18"
        ) from None


def split_messages(text: str) -> list[str]:
    """The messages of a frame, segments ending in carriage returns; a batch has several.

    Raises
    ------
    Hl7Refused
        If it does not begin with MSH, or with FHS or BHS.
    """
    messages: list[list[str]] = []
    for line in LINE_ENDS.split(text):
        if not line.strip():
            continue
        if line.startswith("MSH"):
            messages.append([line])
        elif line.startswith(BATCH_SEGMENTS):
            continue
        elif messages:
            messages[-1].append(line)
        else:
            raise Hl7Refused("AR", 100, "it does not begin with MSH, FHS or BHS", "")
    if not messages:
        raise Hl7Refused("AR", 100, "there is no MSH segment", "")
    return ["\r".join(lines) + "\r" for lines in messages]


def is_batch(text: str) -> bool:
    """Whether a frame is a batch, which is answered by a batch."""
    return text.lstrip().startswith(("FHS", "BHS"))


def unescape(text: str, separators: Sequence[str], escape: str, codec: str = "utf-8") -> str:
    r"""Resolve escape sequences (section 2.7).

    Parameters
    ----------
    text : str
        Of one subcomponent.
    separators : sequence of str
        Field, component, subcomponent and repetition separator.
    escape : str
        Escape character, mostly ``\``.
    codec : str
        Of the message, for ``\Xdd..\``.
    """
    if not escape or escape not in text:
        return text
    field, component, subcomponent, repetition = separators
    known = {
        "F": field, "S": component, "T": subcomponent, "R": repetition, "E": escape,
        "H": "", "N": "", "P": "", ".fi": "", ".nf": "",
    }  # fmt: skip

    def resolve(match: re.Match[str]) -> str:
        code = match[1]
        if code in known:
            return known[code]
        if code[:3] in TEXT_FORMATS:
            return TEXT_FORMATS[code[:3]]
        if code[:1] == "X" and len(code) <= HEX_LIMIT:
            return _from_hex(code[1:], codec)
        return ""  # local (Z) and character set escapes (C, M): nothing readable

    mark = re.escape(escape)
    return re.sub(f"{mark}([^{mark}]*){mark}", resolve, text)


def escape(text: str) -> str:
    r"""A value as it stands in one field under the separators ``|^~\&``; line ends as ``\.br\``."""
    names = dict(zip("\\|^~&", "EFSRT", strict=True))
    plain = re.sub(r"[\\|^~&]", lambda match: f"\\{names[match[0]]}\\", text)
    return re.sub(r"[\x00-\x1f\x7f]", "", LINE_ENDS.sub(r"\\.br\\", plain))


def _from_hex(digits: str, codec: str) -> str:
    try:
        return bytes.fromhex(digits).decode(codec)
    except ValueError:  # also UnicodeDecodeError
        return ""


def safe(text: str, limit: int = 20) -> str:
    """A short code as a message may repeat it: nothing that could break a segment or a log."""
    return re.sub(r"[^A-Za-z0-9 ./_-]", "?", text[:limit]) or "(empty)"
