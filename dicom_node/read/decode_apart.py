"""Pixel Data of the JPEG processes that GDCM decodes: in a process of their own.

On some broken frames GDCM ends its process. Here that is a process that does nothing else, and
the instance is one that cannot be decoded; the next one gets a new process.
"""

from __future__ import annotations

import atexit
import io
import json
import math
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from dicom_node.read import decoder_process
from dicom_node.read.decoder_process import LENGTH

LIMIT_S = 60.0
"""For one instance; a CT slice takes some milliseconds."""
NEEDED = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelData",
)  # fmt: skip
"""Image Pixel attributes (PS3.3 C.7.6.3): all that decoding asks for, nothing of the patient."""


class DecoderEnded(ValueError):
    """The decoder's process ended, or was ended, over an instance."""


class _Decoder:
    """One process, asked by one thread at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", decoder_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.owner = os.getpid()

    def ask(self, file: bytes) -> bytes:
        """Send an instance; the answer.

        Raises
        ------
        DecoderEnded
            If none came within `LIMIT_S`.
        """
        asked, told = self.process.stdin, self.process.stdout
        if asked is None or told is None:
            raise DecoderEnded("the decoder's process has no pipes")
        limit = threading.Timer(LIMIT_S, self.process.kill)
        limit.start()
        try:
            asked.write(LENGTH.pack(len(file)) + file)
            asked.flush()
            head = told.read(LENGTH.size)
            answer = told.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
        except BrokenPipeError:
            answer = b""
        finally:
            limit.cancel()
        if not answer:
            raise DecoderEnded("the decoder's process ended over it: its frames are broken")
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


_held: list[_Decoder] = []
_lock = threading.Lock()


def decode_apart(ds: FileDataset) -> NDArray[Any]:
    """The stored values of an instance, as pydicom's `pixel_array` gives them.

    Raises
    ------
    DecoderEnded
        If the decoder did not survive it.
    ValueError
        If it cannot be decoded, with the decoder's words.
    OSError
        If the process cannot be started, which says nothing of the instance.
    """
    file = _pixels_alone(ds)
    with _lock:
        if _held and _held[0].owner != os.getpid():  # a fork: the pipes are the parent's
            _held.clear()
        if not _held:
            _held.append(_Decoder())
        try:
            answer = _held[0].ask(file)
        except DecoderEnded:
            _held.pop().close()
            raise
    head, _, values = answer.partition(b"\n")
    about = json.loads(head)
    if "error" in about:
        raise ValueError(about["error"])
    shape, dtype = tuple(about["shape"]), np.dtype(about["dtype"])
    if len(values) != math.prod(shape) * dtype.itemsize:
        raise ValueError("the decoder's answer is incomplete")
    return np.frombuffer(values, dtype=dtype).reshape(shape)


def _pixels_alone(ds: FileDataset) -> bytes:
    """The instance as a file, without anything but its pixels."""
    alone = Dataset()
    for name in NEEDED:
        if name in ds:
            alone[name] = ds[name]
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = ds.file_meta.TransferSyntaxUID
    held = io.BytesIO()
    alone.save_as(held)
    return held.getvalue()


@atexit.register
def close() -> None:
    """End the process that is held."""
    with _lock:
        if _held and _held[0].owner == os.getpid():
            _held.pop().close()
