"""One job: where it stands and why, its way through time, objects, destinations, history."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from workers.advice import advise, advise_delivery
from workers.application import Application
from workers.console.access import App, Caller, Viewer
from workers.console.rendering import render
from workers.state.access_tables import Role
from workers.state.jobs import ARROWS
from workers.state.schema import BEFORE_ANALYSIS, DeliveryState, JobState
from workers.usecases.administer import RESTARTABLE
from workers.usecases.audit import list_audit
from workers.usecases.describe import show_job
from workers.usecases.describe_patient import describe_patient
from workers.usecases.timeline import RESTS, timeline

router = APIRouter(include_in_schema=False)

AUDITED = 20
FORCIBLE = BEFORE_ANALYSIS | RESTARTABLE
STOPPED = {DeliveryState.FAILED, DeliveryState.CANCELLED}


@router.get("/jobs/{wanted}")
def job(request: Request, app: App, caller: Viewer, wanted: str) -> Response:
    """All of it."""
    return render(request, "job.html", caller, **_shown(app, caller, wanted))


@router.get("/fragments/jobs/{wanted}")
def now(request: Request, app: App, caller: Viewer, wanted: str) -> Response:
    """The part that changes while it runs."""
    return render(request, "job_now.html", caller, **_shown(app, caller, wanted))


def _shown(app: Application, caller: Caller, wanted: str) -> dict[str, Any]:
    now = app.now()
    with app.database.read() as session:
        found = show_job(session, wanted)
        patient = (
            describe_patient(session, found["series_instance_uid"])
            if app.settings.console_show_patient
            else None
        )
        audited = (
            list_audit(session, job_id=found["id"], limit=AUDITED) if caller.may(Role.ADMIN) else []
        )
    stretches = timeline(
        found["history"], state=found["state"], created_at=found["created_at"], now=now
    )
    state = JobState(found["state"])
    return {
        "job": found,
        "patient": patient,
        "now": now,
        "advice": advise(found["state"], found["reason_code"]),
        "stretches": stretches,
        "longest_s": max((item.lasted_s or 0.0 for item in stretches), default=0.0),
        "deliveries": [
            {**item, "advice": advise_delivery(item["state"], item["reason"])}
            for item in found["deliveries"]
        ],
        "audited": audited,
        "at_rest": state in RESTS,
        "can": {
            "retry": _may_retry(found, state),
            "force": state in FORCIBLE and found["findings_path"] is None,
            "cancel": JobState.CANCELLED in ARROWS[state],
            "release": any(item["state"] == DeliveryState.WITHHELD for item in found["deliveries"]),
            "priority": state in BEFORE_ANALYSIS,
        },
    }


def _may_retry(found: dict[str, Any], state: JobState) -> bool:
    """As `workers.usecases.administer.retry` would take it."""
    if found["revisions"] and found["revisions"][-1]["id"] != found["id"]:
        return False
    if found["findings_path"] is None:
        return state in RESTARTABLE
    return state not in {JobState.SUPERSEDED} and (
        not found["deliveries"] or any(item["state"] in STOPPED for item in found["deliveries"])
    )
