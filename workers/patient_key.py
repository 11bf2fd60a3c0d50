"""By what a patient's results, and the studies of one day, are found again.

Digests, so that the columns tell nobody an ID at a glance; who knows the IDs can find theirs.
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


def patient_day(identity: Identity) -> str:
    """Equal for studies of one Patient ID and issuer on one Study Date; empty without any."""
    key = patient_key([identity])
    if not key or len(identity.study_date) != DATE_LENGTH:
        return ""
    return hashlib.sha256(f"{key} {identity.study_date}".encode()).hexdigest()


def whose(headers: Sequence[InstanceHeader]) -> dict[str, str]:
    """What a result's row says of patient and day, so that later studies find it."""
    identities = [header.identity for header in headers]
    dates = {item.study_date for item in identities if len(item.study_date) == DATE_LENGTH}
    return {
        "patient_key": patient_key(identities),
        "study_date": min(dates, default=""),
    }
