"""Decoded slices, the last ones kept in memory."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_node.read.series import decode_slice
from workers.state.store import ObjectStore

KEPT_BYTES = 256_000_000
"""Some 500 slices of 512 x 512."""


class SliceCache:
    """Slices by their key in the object store; the longest unused ones go first.

    Parameters
    ----------
    limit_bytes : int
        What all kept slices may take.
    """

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._slices: OrderedDict[str, NDArray[np.int16]] = OrderedDict()
        self._bytes = 0

    def hu(self, store: ObjectStore, key: str) -> NDArray[np.int16]:
        """A slice in HU, shape (H, W).

        Raises
        ------
        SeriesRejected, UnreadableInstance
            If it cannot be decoded.
        StoreUnavailable, ObjectMissing
            If it cannot be read.
        """
        with self._lock:
            known = self._slices.get(key)
            if known is not None:
                self._slices.move_to_end(key)
                return known
        with tempfile.TemporaryDirectory(prefix="pulmonode-slice-") as scratch:
            (path,) = store.local_files([key], Path(scratch))
            hu = decode_slice(path)
        hu.setflags(write=False)
        self._keep(key, hu)
        return hu

    def _keep(self, key: str, hu: NDArray[np.int16]) -> None:
        with self._lock:
            if key in self._slices:
                return
            self._slices[key] = hu
            self._bytes += hu.nbytes
            while self._bytes > self._limit_bytes and len(self._slices) > 1:
                _, oldest = self._slices.popitem(last=False)
                self._bytes -= oldest.nbytes

    @property
    def kept_bytes(self) -> int:
        """What the kept slices take."""
        return self._bytes
