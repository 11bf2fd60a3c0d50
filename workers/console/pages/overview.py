"""The first page: what waits, runs and failed, and what needs a person."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from workers.console.access import App, Viewer
from workers.console.rendering import render
from workers.usecases import administer, describe

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request, app: App, caller: Viewer) -> Response:
    """What waits, runs and failed, and open alarms."""
    with app.database.read() as session:
        return render(
            request,
            "overview.html",
            caller,
            counts=describe.count_jobs(session),
            paused=administer.paused_queues(session),
            alarms=describe.list_alarms(session),
        )
