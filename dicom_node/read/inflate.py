"""Deflated data sets, inflated piece by piece and only so far (PS3.5 section A.5).

A megabyte can inflate to a gigabyte, and pydicom would hold whatever comes in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

INFLATED_AT_MOST_BYTES = 256 << 20
"""Of one data set; a multi-frame CT of 300 slices has 150 MB."""
PIECE_BYTES = 1 << 20


class InflatesTooFar(ValueError):
    """A deflated data set is longer than what is taken."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"the deflated data set inflates to more than {limit_bytes} bytes, the most that is "
            "taken: send it uncompressed"
        )


def inflate(stream: BinaryIO, *, limit_bytes: int = INFLATED_AT_MOST_BYTES) -> Iterator[bytes]:
    """What a raw deflate stream holds, from where `stream` stands; what follows its end is left.

    Parameters
    ----------
    stream : binary file
        Standing where the deflated data set begins.
    limit_bytes : int
        The most that is yielded, in all.

    Raises
    ------
    InflatesTooFar
        If there is more.
    zlib.error
        If it is no such stream, or is cut short.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    while not inflater.eof:
        packed = inflater.unconsumed_tail or stream.read(PIECE_BYTES)
        piece = inflater.decompress(packed, PIECE_BYTES)
        if not packed and not piece:
            raise zlib.error("the deflated data set is cut short")
        total += len(piece)
        if total > limit_bytes:
            raise InflatesTooFar(limit_bytes)
        yield piece
