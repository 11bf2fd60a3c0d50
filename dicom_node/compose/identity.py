"""Who a result is: UIDs that follow from what it is the result of, never from chance.

The same revision of the same series' result has the same UIDs in every attempt, so neither a
retry nor a second worker can make a second report. The loop guard, by which our own objects
are known when a PACS routes them back to us, stands here too.
"""

from __future__ import annotations

import hashlib
import uuid

from pydicom.dataset import Dataset

from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME


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


def result_series_uid(ct_series_uid: str, kind: str, variant: str = "") -> str:
    """Our series of one kind (``sr``, ``seg``) beside a CT series; all revisions share it.

    `variant` tells number and description apart (`Profile.series_variant`).
    """
    return derive_uid("series", ct_series_uid, kind, *([variant] if variant else ()))


def result_instance_uid(ct_series_uid: str, revision: int, kind: str, variant: str) -> str:
    """One object of one revision; `variant` is all that shapes it beside what was found."""
    return derive_uid("instance", ct_series_uid, str(revision), kind, variant)


def notice_uid(study_uid: str) -> str:
    """What stands for a series in the report that nothing of a study could be analysed."""
    return derive_uid("notice", study_uid)


def tracking_uid(ct_series_uid: str, *seed: str) -> str:
    """Tracking UID (0062,0021) of a nodule first seen in a series, told apart by `seed`."""
    return derive_uid("tracking", ct_series_uid, *seed)


def device_uid(*parts: str) -> str:
    """Device UID (0018,1002): another one for another algorithm, version or set of weights."""
    return derive_uid("device", *parts)


def is_own_object(ds: Dataset) -> bool:
    """Whether an instance was made by this product, of whatever kind and version (loop guard).

    General Equipment (PS3.3 C.7.5.1) alone decides: PACS change UIDs, patients and
    descriptions of what they route, but not who made it. Simulated CT names another model.
    """
    return (
        str(ds.get("Manufacturer") or "").strip() == MANUFACTURER
        and str(ds.get("ManufacturerModelName") or "").strip() == MANUFACTURER_MODEL_NAME
    )
