"""Tables of the state database (SQLAlchemy 2). Times are seconds since the epoch, UTC.

Changes go through Alembic (`workers/state/migrations`), never through `create_all` on a
database that exists.
"""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def printable(text: str) -> str:
    """Text without NUL, which PostgreSQL does not store."""
    return text.replace("\0", " ")


class JobState(enum.StrEnum):
    """Where a series' job stands (docs/architecture.md draws the arrows)."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    QUEUED = "queued"
    ANALYSING = "analysing"
    ANALYSED = "analysed"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    CONFIRMED = "confirmed"
    NOT_ELIGIBLE = "not_eligible"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class DeliveryState(enum.StrEnum):
    """Where one result's way to one destination stands.

    `withheld`: kept until the radiologist's report is signed. `shadow`: never leaves.
    """

    QUEUED = "queued"
    SENDING = "sending"
    DELIVERED = "delivered"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WITHHELD = "withheld"
    SHADOW = "shadow"


WITH_RESULT = frozenset(
    {JobState.ANALYSED, JobState.DELIVERING, JobState.DELIVERED, JobState.CONFIRMED}
)
BEFORE_ANALYSIS = frozenset({JobState.RECEIVING, JobState.COMPLETE, JobState.QUEUED})
ENDS = frozenset(
    {
        JobState.CONFIRMED,
        JobState.NOT_ELIGIBLE,
        JobState.QUARANTINED,
        JobState.CANCELLED,
        JobState.SUPERSEDED,
        JobState.FAILED,
    }
)


class Priority(enum.IntEnum):
    """Which job is taken first; the starvation guard overrules it (usecases/analyse.py)."""

    OFF_PEAK = -1
    NORMAL = 0
    URGENT = 1


PAUSES = {"analyse": "pause:analyse", "deliver": "pause:deliver"}
"""Queue -> name of the switch that holds it back."""


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {  # noqa: RUF012
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, str]]: JSON,
        float: Float,
    }


class Job(Base):
    """One revision of one series, from its first instance to its end.

    `priority` is one of `Priority`; `correction` names the attributes of patient or study that
    a later copy changed; `pacs_answer` is the PACS's number of instances of the series, and
    `pacs_agrees` whether it names the same patient since the correction; `patient_day` is a digest
    of patient and Study Date (workers/patient_key.py).
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("series_uid", "revision"),
        Index("job_choose", "state", "priority", "created_at", "id"),  # usecases/choose.py
        Index("job_hinted", "state", "hinted_at"),
        Index("job_study", "study_uid"),
        Index("job_patient_day", "patient_day", "modality"),
        Index("job_end", "end_considered", "state_since"),
        # for pages over very many jobs (usecases/list_queue.py, overview.py)
        Index("job_state_id", "state", "id"),
        Index("job_state_since", "state", "state_since"),
        Index("job_since", "state_since", "state"),
        Index("job_created", "created_at"),
        Index("job_code", "reason_code", "id"),
        Index("job_calling", "calling_ae", "id"),
        Index("job_modality", "modality", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_uid: Mapped[str] = mapped_column(String(64))
    series_uid: Mapped[str] = mapped_column(String(64))
    revision: Mapped[int] = mapped_column(default=1)
    state: Mapped[str] = mapped_column(String(16), default=JobState.RECEIVING)
    reason_code: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(Text)
    transient: Mapped[bool | None]
    warnings: Mapped[list[str]] = mapped_column(default=list)
    calling_ae: Mapped[str] = mapped_column(String(16), default="")
    modality: Mapped[str] = mapped_column(String(16), default="")
    instance_count: Mapped[int] = mapped_column(default=0)
    priority: Mapped[int] = mapped_column(default=0)
    forced: Mapped[bool] = mapped_column(default=False)
    correction: Mapped[str | None] = mapped_column(Text)
    pacs_asked_at: Mapped[float] = mapped_column(default=0.0)
    pacs_answer: Mapped[int | None]
    pacs_answers_alike: Mapped[int] = mapped_column(default=0)
    pacs_agrees: Mapped[bool | None]
    created_at: Mapped[float]
    last_instance_at: Mapped[float]
    state_since: Mapped[float]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[float] = mapped_column(default=0.0)
    hinted_at: Mapped[float] = mapped_column(default=0.0)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_expires_at: Mapped[float | None]
    fencing_token: Mapped[int] = mapped_column(default=0)
    end_considered: Mapped[bool] = mapped_column(default=False, server_default=true())
    patient_day: Mapped[str] = mapped_column(String(64), default="", server_default="")


class Notice(Base):
    """A job that analyses no series: its report says that nothing of a study could be analysed.

    `about` names the series, each with `series_uid`, `code` and `why`.
    """

    __tablename__ = "notice"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    about: Mapped[list[dict[str, str]]]


class Instance(Base):
    """One indexed instance.

    `path` is its key in the object store, where it stands when `stored`; before that it is
    still in the inbox under the same name. With `removed_at` its file was removed
    (usecases/prune.py) and the row keeps what was known of it.
    """

    __tablename__ = "instance"
    __table_args__ = (
        Index("instance_series", "series_uid"),
        Index("instance_study", "study_uid", "received_at"),
        Index("instance_received", "received_at", "size_bytes"),
    )

    sop_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_uid: Mapped[str] = mapped_column(String(64))
    series_uid: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    header_sha256: Mapped[str] = mapped_column(String(64))
    pixels_sha256: Mapped[str] = mapped_column(String(64))
    received_at: Mapped[float]
    times_received: Mapped[int] = mapped_column(default=1)
    stored: Mapped[bool] = mapped_column(default=False)
    removed_at: Mapped[float | None]
    header: Mapped[dict[str, Any]]


class KeptAside(Base):
    """A received file in the spool's quarantine, and why it is there."""

    __tablename__ = "kept_aside"
    __table_args__ = (Index("kept_aside_job", "job_id"),)

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    reason_code: Mapped[str] = mapped_column(String(64))
    at: Mapped[float]


class Event(Base):
    """One line of a job's history."""

    __tablename__ = "event"
    __table_args__ = (Index("event_job", "job_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    at: Mapped[float]
    state: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text)


class Result(Base):
    """What the first valid attempt at a job committed; never changed afterwards.

    `recorded` when its record stands in the object store as well (usecases/record.py),
    `has_facts` when it is counted (usecases/take_facts.py), `removed_at` when findings and
    objects are there no more (usecases/prune.py);
    `features_path` is `None` when no nodule was graded.
    `patient_key` is a digest of Patient ID and issuer (workers/patient_key.py), empty where
    there is none.
    """

    __tablename__ = "result"
    __table_args__ = (
        Index("result_patient", "patient_key", "study_date"),
        Index("result_committed", "committed_at", "nodule_count"),
        Index("result_has_facts", "has_facts"),
        Index("result_recorded", "recorded"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    fencing_token: Mapped[int]
    committed_at: Mapped[float]
    findings_path: Mapped[str] = mapped_column(Text)
    findings_sha256: Mapped[str] = mapped_column(String(64))
    features_path: Mapped[str | None] = mapped_column(Text)
    features_sha256: Mapped[str | None] = mapped_column(String(64))
    identity_sha256: Mapped[str] = mapped_column(String(64))
    nodule_count: Mapped[int]
    recorded: Mapped[bool] = mapped_column(default=False)
    has_facts: Mapped[bool] = mapped_column(default=False, server_default=false())
    patient_key: Mapped[str] = mapped_column(String(64), default="", server_default="")
    study_date: Mapped[str] = mapped_column(String(8), default="", server_default="")
    removed_at: Mapped[float | None]


class ResultObject(Base):
    """One final DICOM object of a result.

    Sent to the destinations that use one of `profiles`; where `destinations` are named, only to
    those (a rejection note, which says what that destination got before).
    """

    __tablename__ = "result_object"
    __table_args__ = (Index("result_object_job", "job_id"),)

    sop_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    kind: Mapped[str] = mapped_column(String(16))
    profiles: Mapped[list[str]]
    destinations: Mapped[list[str]] = mapped_column(default=list)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    series_uid: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class ReportedNodule(Base):
    """A nodule of a result, so that what others say of it finds its job."""

    __tablename__ = "reported_nodule"
    __table_args__ = (Index("reported_nodule_uid", "tracking_uid"),)

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    tracking_uid: Mapped[str] = mapped_column(String(64), primary_key=True)


class Delivery(Base):
    """One result's way to one destination, under the profile that it used at that time.

    `told` names the values that an HL7 message holds, or may hold by now, without the values
    (workers/outbound/oru.py): the next one corrects them when findings and objects are gone.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("job_id", "destination"),
        Index("delivery_hinted", "state", "hinted_at"),
        Index("delivery_awaits", "state", "awaits_commitment_until"),
        Index("delivery_destination", "destination", "state", "created_at"),
        Index("delivery_delivered", "destination", "delivered_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    destination: Mapped[str] = mapped_column(String(64))
    profile: Mapped[str] = mapped_column(String(32), default="default")
    state: Mapped[str] = mapped_column(String(16), default=DeliveryState.QUEUED)
    reason: Mapped[str | None] = mapped_column(Text)
    transient: Mapped[bool | None]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[float] = mapped_column(default=0.0)
    hinted_at: Mapped[float] = mapped_column(default=0.0)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_expires_at: Mapped[float | None]
    fencing_token: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[float]
    delivered_at: Mapped[float | None]
    confirmed_at: Mapped[float | None]
    awaits_commitment_until: Mapped[float | None]
    told: Mapped[dict[str, Any] | None]


class Commitment(Base):
    """One storage commitment transaction that we asked for."""

    __tablename__ = "commitment"

    transaction_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"))
    requested_at: Mapped[float]
    replied_at: Mapped[float | None]
    committed_count: Mapped[int] = mapped_column(default=0)
    failed: Mapped[list[str]] = mapped_column(default=list)


class SignedReport(Base):
    """A study whose report the radiologist signed: nothing of it is withheld any more."""

    __tablename__ = "signed_report"

    study_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[float]
    told_by: Mapped[str] = mapped_column(String(64))


class Alarm(Base):
    """Something that needs a person; open until `cleared_at` is set.

    No patient data: `subject` is a job's number, a destination's name, or a part of the
    system.
    """

    __tablename__ = "alarm"
    __table_args__ = (Index("alarm_open", "cleared_at", "code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    raised_at: Mapped[float]
    cleared_at: Mapped[float | None]


class Switch(Base):
    """A setting that an administrator turns while the system runs (a queue's pause)."""

    __tablename__ = "switch"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[float]


class SiteSettings(Base):
    """The settings that every process of the site goes by (usecases/share_settings.py)."""

    __tablename__ = "site_settings"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    content: Mapped[dict[str, Any]]
    changed_at: Mapped[float]
