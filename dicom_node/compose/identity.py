"""Who a result is: UIDs that follow from what it is the result of, never from chance.

The same revision of the same series' result has the same UIDs in every attempt, so neither a
retry nor a second worker can make a second report.
"""

from __future__ import annotations

import hashlib
import uuid


def derive_uid(*parts: str) -> str:
    """A UID under 2.25 (PS3.5 annex B.2) from SHA-256 over the parts.

    The hash is cut to 128 bits and stamped as a version 8 UUID (RFC 9562), so that the UID is
    a valid one of its kind.
    """
    digest = hashlib.sha256("\0".join(("pulmonode", *parts)).encode()).digest()
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | (8 << 76)  # version 8
    number = number & ~(0x3 << 62) | (2 << 62)  # RFC variant
    return f"2.25.{uuid.UUID(int=number).int}"


def result_series_uid(ct_series_uid: str, kind: str) -> str:
    """Our series of one kind (``sr``, ``seg``) beside a CT series; all revisions share it."""
    return derive_uid("series", ct_series_uid, kind)


def result_instance_uid(ct_series_uid: str, revision: int, kind: str, profile: str) -> str:
    """One object of one revision for one kind of destination."""
    return derive_uid("instance", ct_series_uid, str(revision), kind, profile)


def device_uid(*parts: str) -> str:
    """Device UID (0018,1002): another one for another algorithm, version or set of weights."""
    return derive_uid("device", *parts)
