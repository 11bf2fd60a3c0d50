"""Jobs as the API tells them: the same values as `pulmonode jobs ... --json`, typed."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from workers.state.schema import DeliveryState, JobState
from workers.usecases.act import JobAction

At = Annotated[float, Field(description="seconds since the epoch, UTC")]


class JobRow(BaseModel):
    """A job in a list."""

    id: int
    state: JobState
    reason_code: str | None
    reason: str | None
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    correction: Annotated[
        str | None, Field(description="attributes of patient or study that a later copy changed")
    ]
    priority: str
    modality: str
    instances: int
    calling_ae: str
    attempts: int
    transient: bool | None
    next_attempt_at: At | None
    warnings: list[str]
    created_at: At
    state_since: At


class JobPage(BaseModel):
    """Some jobs, and where the next page begins."""

    items: list[JobRow]
    next: Annotated[str | None, Field(description="cursor of the next page; null on the last")] = (
        None
    )
    counts: Annotated[dict[str, int], Field(description="jobs by state, over all of them")] = {}


class ResultObjectRow(BaseModel):
    """A DICOM object of a result."""

    kind: str
    profiles: list[str]
    destinations: list[str]
    sop_instance_uid: str
    series_instance_uid: str
    size_bytes: int
    sha256: str
    path: str


class CommitmentRow(BaseModel):
    """A storage commitment that was asked for."""

    transaction_uid: str
    requested_at: At
    replied_at: At | None
    committed: int
    failed: list[str]


class DeliveryRow(BaseModel):
    """A result's way to one destination."""

    id: int
    destination: str
    profile: str
    state: DeliveryState
    reason: str | None
    attempts: int
    delivered_at: At | None
    confirmed_at: At | None
    commitments: list[CommitmentRow]


class KeptAsideRow(BaseModel):
    """A received file that could not be used."""

    file: str
    reason_code: str
    at: At


class RevisionRow(BaseModel):
    """A revision of the same series."""

    id: int
    revision: int
    state: JobState


class HistoryLine(BaseModel):
    """One line of a job's timeline."""

    at: At
    state: JobState
    message: str


class JobDetail(JobRow):
    """Everything about a job."""

    nodules: int | None
    not_analysed: list[dict[str, str]]
    result_removed_at: Annotated[At | None, Field(description="by the retention policy")]
    instances_removed: int
    findings_path: str | None
    features_path: str | None
    answers: list[dict[str, Any]]
    objects: list[ResultObjectRow]
    deliveries: list[DeliveryRow]
    kept_aside: list[KeptAsideRow]
    revisions: list[RevisionRow]
    history: list[HistoryLine]


class Wanted(BaseModel):
    """Which job."""

    wanted: Annotated[
        str, Field(min_length=1, max_length=64, description="job number or Series Instance UID")
    ]


class JobNumber(BaseModel):
    """A job's number, by which paths name it."""

    job: int


class Bulk(BaseModel):
    """One action on several jobs."""

    action: JobAction
    jobs: Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]], Field(max_length=1000)]


class DeadLetters(BaseModel):
    """Which dead letters to start again; all of them when nothing is named."""

    code: Annotated[str | None, Field(max_length=64, description="reason code")] = None
    destination: Annotated[
        str | None, Field(max_length=64, description="that did not take them")
    ] = None


class ActionDone(BaseModel):
    """What became of an action on a job."""

    job: int
    state: Annotated[str, Field(description="of the job afterwards; empty when refused")]
    released: Annotated[int, Field(description="deliveries that a release let go")] = 0
    why: Annotated[str, Field(description="why it was refused; empty when done")] = ""
