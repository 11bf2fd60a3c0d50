"""Whose a series is, for people who look for it; never for logs, titles, addresses, the API."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.read.header import InstanceHeader
from workers.state.schema import Instance


def describe_patient(session: Session, series_uid: str) -> dict[str, str] | None:
    """Name, ID and issuer as the newest instance has them; `None` where nothing is left of it."""
    header = session.scalars(
        select(Instance.header)
        .where(Instance.series_uid == series_uid)
        .order_by(Instance.received_at.desc())
        .limit(1)
    ).first()
    if header is None:
        return None
    identity = InstanceHeader.from_json(header).identity
    return {
        "name": identity.patient_name.replace("^", " ").strip() or "no name",
        "id": identity.patient_id or "none",
        "issuer": identity.issuer_of_patient_id,
    }
