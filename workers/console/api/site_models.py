"""Queues, destinations, workers, storage and settings as the API tells them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from workers.console.api.job_models import At


class Queues(BaseModel):
    """Which queues are held back, and jobs by state."""

    paused: dict[str, bool]
    jobs: dict[str, int]


class QueueState(BaseModel):
    """One queue."""

    queue: str
    paused: bool


class AlarmRow(BaseModel):
    """Something that needs a person now."""

    code: str
    subject: str
    message: str
    raised_at: At


class DestinationRow(BaseModel):
    """A PACS or RIS that results go to, and what waits for it."""

    name: str
    configured: bool
    kind: Annotated[str, Field(description="dicom or hl7; empty when not configured any more")]
    ae_title: Annotated[str, Field(description="of HL7 the receiving application")]
    host: str
    port: int
    profile: str
    mode: str
    counts: Annotated[dict[str, int], Field(description="deliveries by state")]
    waiting: int
    failed: int
    oldest_s: float | None
    last_success_at: At | None
    last_reason: str


class EchoDone(BaseModel):
    """What a destination answered to C-ECHO."""

    destination: str
    ok: bool
    found: str
    duration_s: float


class ContextAnswer(BaseModel):
    """What became of one HL7 message or FHIR resource."""

    message_id: Annotated[str, Field(description="MSH-10, or the resource's ID")]
    answer: Annotated[str, Field(description="AA, AE or AR (HL7 table 0008)")]
    error: Annotated[int | None, Field(description="HL7 table 0357")]
    why: str
    outcome: Annotated[
        str, Field(description="of what was accepted: taken, repeated, held, or waits for the node")
    ]


class StatisticsRow(BaseModel):
    """Results of one destination in one state."""

    destination: str
    mode: str
    state: str
    results: int
    with_nodules: int
    nodules: int
    objects: int
    bytes: int


class DiskRow(BaseModel):
    """A file system that something of ours lies on."""

    holds: str
    path: str
    total: int
    free: int


class StorageState(BaseModel):
    """What is kept, and where; bytes."""

    disks: list[DiskRow]
    reserve_bytes: int
    store: str
    database: str
    database_bytes: int | None
    inbox: int
    kept_aside: int
    instances: int
    received_bytes_per_day: float
    days_left: float | None


class WorkerRow(BaseModel):
    """A worker that was heard of lately; GPU columns are null where there is none."""

    name: str
    host: str
    queues: list[str]
    processes: int
    version: str
    started_at: At
    seen_at: At
    device: str
    gpu_name: str
    gpu_memory_bytes: int | None
    gpu_used_bytes: int | None


class WorkRow(BaseModel):
    """What is being worked on, by its lease."""

    owner: str
    job_id: int
    what: str
    since: At | None
    lease_s: float


class Workers(BaseModel):
    """Who is there, and what is being worked on."""

    workers: list[WorkerRow]
    work: list[WorkRow]


class CheckRow(BaseModel):
    """One line of `pulmonode doctor`; `ok` is null where there is nothing to judge."""

    what: str
    ok: bool | None
    found: str


class SettingRow(BaseModel):
    """A setting as it counts; secrets are hidden."""

    name: str
    value: Any
    changed: Annotated[bool, Field(description="whether it is another than the default")]
    scope: Annotated[
        Literal["site", "process"], Field(description="the site's, or this console's own")
    ]
    meaning: str


class RuleCheckRow(BaseModel):
    """What one rule found."""

    rule_id: str
    passed: bool
    text: str


class JudgedSeriesRow(BaseModel):
    """What the eligibility rules say of one series."""

    series_instance_uid: str
    instances: int
    eligible: bool
    code: str | None
    reason: str | None
    warnings: list[str]
    checks: list[RuleCheckRow]
