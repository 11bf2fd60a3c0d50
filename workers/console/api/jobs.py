"""Jobs: listed, shown, acted on, taken away. Paths name jobs by number alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path as Folder
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from workers.console.access import App, Operator, Viewer
from workers.console.api.job_models import (
    ActionDone,
    Bulk,
    DeadLetters,
    JobDetail,
    JobNumber,
    JobPage,
    JobRow,
    Wanted,
)
from workers.console.api.paths import PREFIX, REFUSALS, Cursor
from workers.errors import NoResult
from workers.state.schema import JobState
from workers.usecases import administer, describe
from workers.usecases.act import JobAction, act, act_on_many, number_of
from workers.usecases.audit import record_alone
from workers.usecases.export import export_result
from workers.usecases.list_queue import QueueFilter, list_queue
from workers.usecases.share_settings import with_site_settings
from workers.usecases.tell_fhir import tell_fhir

router = APIRouter(prefix=PREFIX, tags=["jobs"], responses=REFUSALS)
JobId = Annotated[int, Path(ge=1, le=2**31 - 1, description="job number")]


@router.get("/jobs", response_model=JobPage)
def jobs(
    app: App,
    _caller: Viewer,
    state: Annotated[list[JobState], Query(description="only these states")] = [],  # noqa: B006 - FastAPI copies it
    destination: Annotated[str, Query(max_length=64, description="has not taken them")] = "",
    reason: Annotated[str, Query(max_length=64, description="reason code")] = "",
    calling_ae: Annotated[str, Query(max_length=16, description="who sent them")] = "",
    modality: Annotated[str, Query(max_length=16)] = "",
    text: Annotated[
        str, Query(max_length=64, description="job number, or a piece of a study's or series' UID")
    ] = "",
    since: Annotated[float | None, Query(description="received from then on, seconds UTC")] = None,
    until: Annotated[float | None, Query(description="received before, seconds UTC")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Cursor = None,
) -> Any:
    """Jobs, newest first."""
    wanted = QueueFilter(
        states=tuple(state),
        destination=destination,
        code=reason,
        calling_ae=calling_ae,
        modality=modality,
        text=text,
        since=since,
        until=until,
    )
    with app.database.read() as session:
        page = list_queue(
            session, wanted, after=None if cursor is None else int(cursor), limit=limit
        )
        counts = describe.count_jobs(session)
    after = None if page.next_after is None else str(page.next_after)
    return {"items": page.jobs, "next": after, "counts": counts}


@router.get("/dead-letters", response_model=list[JobRow])
def dead_letters(app: App, _caller: Viewer) -> Any:
    """What stopped and needs a person, oldest first."""
    with app.database.read() as session:
        return describe.list_dead_letters(session)


@router.post("/dead-letters/retry", response_model=dict[int, str])
def retry_dead_letters(app: App, caller: Operator, which: DeadLetters) -> Any:
    """Start dead letters again: job number to its new state, or to why it was refused."""
    return administer.retry_all(
        app, code=which.code, destination=which.destination, by=caller.actor
    )


@router.post("/jobs/find", response_model=JobNumber)
def find(app: App, _caller: Viewer, which: Wanted) -> Any:
    """Number of the job with this number or, the newest, of this Series Instance UID."""
    with app.database.read() as session:
        return {"job": number_of(session, which.wanted)}


@router.post("/jobs/actions", response_model=list[ActionDone])
def bulk(app: App, caller: Operator, wanted: Bulk) -> Any:
    """One action on several jobs; what is refused says why, and the others go on."""
    done = act_on_many(app, wanted.action, wanted.jobs, by=caller.actor)
    return [asdict(item) for item in done]


@router.get("/jobs/{job}", response_model=JobDetail)
def job(app: App, _caller: Viewer, job: JobId) -> Any:
    """One job with its timeline, objects and deliveries."""
    with app.database.read() as session:
        return describe.show_job(session, str(job), app.store)


@router.get("/jobs/{job}/findings.json", responses={404: {"description": "no result yet"}})
def findings(app: App, _caller: Viewer, job: JobId) -> Response:
    """The job's findings, as they were kept."""
    return Response(
        app.store.get_bytes(_with_result(app, job)["findings_path"]), media_type="application/json"
    )


@router.get("/jobs/{job}/export.zip")
def export(app: App, caller: Operator, job: JobId) -> FileResponse:
    """The job's result as files (findings, features, DICOM objects), zipped."""
    shown = _with_result(app, job)
    folder = Folder(tempfile.mkdtemp(prefix="pulmonode-export-"))
    try:
        export_result(app.store, shown, folder / "result")
        packed = shutil.make_archive(str(folder / "result"), "zip", folder / "result")
    except BaseException:
        shutil.rmtree(folder)
        raise
    record_alone(app, caller.actor, "job.export", job_id=job)
    return FileResponse(
        packed,
        media_type="application/zip",
        filename=f"job-{job}.zip",
        background=BackgroundTask(shutil.rmtree, folder),
    )


@router.get("/jobs/{job}/fhir", responses={404: {"description": "no result yet"}})
def fhir(app: App, caller: Operator, job: JobId) -> Response:
    """The job's result as a FHIR R4 Bundle: DiagnosticReport, and an Observation per nodule."""
    bundle = tell_fhir(with_site_settings(app), str(job), by=caller.actor)
    return Response(json.dumps(bundle), media_type="application/fhir+json")


@router.post("/jobs/{job}/{action}", response_model=ActionDone)
def act_on_job(app: App, caller: Operator, job: JobId, action: JobAction) -> Any:
    """Do something to a job."""
    return asdict(act(app, action, job, by=caller.actor))


def _with_result(app: App, job: int) -> dict[str, Any]:
    with app.database.read() as session:
        shown = describe.show_job(session, str(job))
    if shown["findings_path"] is None or shown["result_removed_at"] is not None:
        raise NoResult(job, shown["state"])
    return shown
