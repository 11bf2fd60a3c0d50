"""What a compressed frame says of its own size, read from its first bytes.

A decoder makes room for the frame's own size, whatever Rows and Columns say: a frame of a hundred
bytes may ask for 16 GB. Knows JPEG (ITU-T T.81 section B.2.2), JPEG-LS (T.87 section C.2) and
JPEG 2000 with HTJ2K (T.800 section A.5.1). RLE frames (PS3.5 Annex G) have no size of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

JPEG_START = b"\xff\xd8"
JPEG_2000_START = b"\xff\x4f\xff\x51"
"""SOC, and SIZ, which always follows it."""
START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 but DHT, JPG and DAC; SOF55 is JPEG-LS."""
JPEG_LS_PARAMETERS, OVERSIZE = 0xF8, 4
"""LSE, and the kind that holds sizes which SOF55 has no room for."""
START_OF_SCAN, END_OF_IMAGE, FILL = 0xDA, 0xD9, 0xFF
SIZ_BYTES = 42
BOX_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSize:
    """Rows, columns and samples per pixel that a compressed frame says it has."""

    rows: int
    columns: int
    samples: int


def read_frame_size(frame: bytes) -> FrameSize | None:
    """The size by a frame's own header; `None` where it has none that is known here."""
    if frame.startswith(JPEG_START):
        return _jpeg(frame)
    start = _after_boxes(frame)
    if not frame.startswith(JPEG_2000_START, start) or len(frame) < start + SIZ_BYTES:
        return None
    siz = frame[start + 4 : start + SIZ_BYTES]
    right, bottom, left, top = (
        int.from_bytes(siz[offset : offset + 4], "big") for offset in (4, 8, 12, 16)
    )
    return FrameSize(
        rows=bottom - top, columns=right - left, samples=int.from_bytes(siz[36:38], "big")
    )


def _after_boxes(frame: bytes) -> int:
    """Where a JP2 file's codestream begins, after its boxes (T.800 section I.4); else 0.

    What a box before it holds may look like a codestream too, which no decoder reads.
    """
    at = 0
    while at + BOX_BYTES <= len(frame) and not frame.startswith(JPEG_2000_START, at):
        length, head = int.from_bytes(frame[at : at + 4], "big"), BOX_BYTES
        if length == 1:  # the length stands after the type
            length, head = int.from_bytes(frame[at + 8 : at + 16], "big"), 2 * BOX_BYTES
        if frame[at + 4 : at + 8] == b"jp2c":
            return at + head
        if length < head:
            return 0
        at += length
    return 0


def _jpeg(frame: bytes) -> FrameSize | None:
    """Walk the marker segments up to the frame header."""
    at = len(JPEG_START)
    oversize: tuple[int, int] | None = None
    while at + 4 <= len(frame) and frame[at] == FILL:
        marker = frame[at + 1]
        if marker == FILL:
            at += 1
            continue
        if marker in (START_OF_SCAN, END_OF_IMAGE):
            return None
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        body = frame[at + 4 : at + 2 + length]
        if marker == JPEG_LS_PARAMETERS and body[:1] == bytes([OVERSIZE]) and len(body) > 1:
            width = body[1]
            oversize = (
                int.from_bytes(body[2 : 2 + width], "big"),
                int.from_bytes(body[2 + width : 2 + 2 * width], "big"),
            )
        if marker in START_OF_FRAME and len(body) >= 6:
            rows, columns = (int.from_bytes(body[i : i + 2], "big") for i in (1, 3))
            if oversize is not None:
                rows, columns = max(rows, oversize[0]), max(columns, oversize[1])
            return FrameSize(rows=rows, columns=columns, samples=body[5])
        at += 2 + length
    return None
