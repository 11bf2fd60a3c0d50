"""Decodes Pixel Data that are sent to it, one instance after the other; run by `decode_apart`.

Messages both ways are a length of 8 bytes, little endian, then so many bytes. What comes is a DICOM
file without preamble; what goes is a line of JSON (``shape`` and ``dtype``, or ``error``), then the
array's bytes.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
import warnings
from typing import BinaryIO

import numpy as np
from pydicom import dcmread

from dicom_node.read.stored_file import MALFORMED

LENGTH = struct.Struct("<Q")
MEMORY_AT_MOST_BYTES = 2 << 30
"""Addresses, not pages: libraries take 0.4 GB of them before anything is decoded."""


def serve(asked: BinaryIO, told: BinaryIO) -> None:
    """Answer until there is no more to read."""
    warnings.simplefilter("ignore")
    while len(head := asked.read(LENGTH.size)) == LENGTH.size:
        answer = decode(asked.read(LENGTH.unpack(head)[0]))
        told.write(LENGTH.pack(len(answer)) + answer)
        told.flush()


def decode(file: bytes) -> bytes:
    """The answer to one instance; whatever is wrong with it is a sentence."""
    try:
        stored = np.ascontiguousarray(dcmread(io.BytesIO(file), force=True).pixel_array)
    except (*MALFORMED, MemoryError) as error:  # anything else ends the process, which says enough
        return json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n"
    about = {"shape": stored.shape, "dtype": stored.dtype.str}
    return json.dumps(about).encode() + b"\n" + stored.tobytes()


def main() -> None:
    """Serve standard input and output; what decoders print goes nowhere."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_AT_MOST_BYTES, most))
    told = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    serve(sys.stdin.buffer, told)


if __name__ == "__main__":
    main()
