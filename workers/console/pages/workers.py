"""Workers: who is at work on what, how fast devices are, and the queues' switches."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from workers.application import Application
from workers.console.access import App, Operator, Viewer
from workers.console.rendering import render
from workers.usecases import administer
from workers.usecases.at_work import list_work, speed_by_device
from workers.usecases.heartbeat import workers_alive
from workers.usecases.overview import look_over
from workers.usecases.share_settings import with_site_settings

router = APIRouter(include_in_schema=False)


@router.get("/workers")
def workers(request: Request, app: App, caller: Viewer) -> Response:
    """All of it."""
    return render(request, "workers.html", caller, **_shown(app))


@router.get("/fragments/workers")
def now(request: Request, app: App, caller: Viewer) -> Response:
    """The part that changes by the second."""
    return render(request, "workers_now.html", caller, **_shown(app))


@router.post("/queues/{queue}")
def switch(
    app: App,
    caller: Operator,
    queue: Literal["analyse", "deliver"],
    paused: Annotated[bool, Form()],
    back: Annotated[str, Form(max_length=200)] = "/workers",
) -> Response:
    """Hold a queue back, or let it go on."""
    administer.set_pause(app, queue, paused=paused, by=caller.actor)
    back = back if back.startswith("/") and not back.startswith("//") else "/workers"
    done = "paused" if paused else "resumed"
    return RedirectResponse(f"{app.settings.console_root_path}{back}?done={done}", status_code=303)


def _shown(app: Application) -> dict[str, Any]:
    now = app.now()
    settings = with_site_settings(app).settings
    with app.database.read() as session:
        seen = look_over(session, now=now)
        return {
            "alive": workers_alive(session, now=now, heartbeat_s=settings.heartbeat_s),
            "work": list_work(session, now=now),
            "devices": speed_by_device(session, now=now),
            "paused": administer.paused_queues(session),
            "waiting": {str(item.state): item for item in seen.open},
            "now": now,
        }
