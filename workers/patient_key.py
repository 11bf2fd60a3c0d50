"""By what a result is found again for the same patient's later studies.

A digest, so that the column tells nobody an ID at a glance; who knows the IDs can find theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from dicom_node.read.header import Identity, InstanceHeader

DATE_LENGTH = len("YYYYMMDD")


def patient_key(identities: Sequence[Identity]) -> str:
    """Equal for what has one Patient ID and issuer; empty where an ID is missing or differs."""
    keys = {(item.patient_id, item.issuer_of_patient_id) for item in identities}
    if len(keys) != 1:
        return ""
    patient_id, issuer = keys.pop()
    if not patient_id:
        return ""
    return hashlib.sha256(f"pulmonode prior {patient_id}\0{issuer}".encode()).hexdigest()


def whose(headers: Sequence[InstanceHeader]) -> dict[str, str]:
    """What a result's row says of patient and day, so that later studies find it."""
    identities = [header.identity for header in headers]
    dates = {item.study_date for item in identities if len(item.study_date) == len("YYYYMMDD")}
    return {
        "patient_key": patient_key(identities),
        "study_date": min(dates, default=""),
    }
