"""Destinations: what waits for each, what it took last, and C-ECHO."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from workers.advice import UNREACHABLE, advise_delivery
from workers.application import Application
from workers.console.access import App, Operator, Viewer
from workers.console.rendering import render
from workers.usecases import administer
from workers.usecases.backlog import list_backlogs
from workers.usecases.echo import Echo, echo_destination
from workers.usecases.share_settings import with_site_settings

router = APIRouter(include_in_schema=False)


@router.get("/destinations")
def destinations(request: Request, app: App, caller: Viewer) -> Response:
    """All of them."""
    return render(request, "destinations.html", caller, **_shown(app))


@router.get("/fragments/destinations")
def rows(request: Request, app: App, caller: Viewer) -> Response:
    """The same without what stands around it."""
    return render(request, "destinations_rows.html", caller, **_shown(app))


@router.post("/destinations/{name}/echo")
def echo(request: Request, app: App, caller: Operator, name: str) -> Response:
    """Ask one with C-ECHO and show what it answers."""
    answer = echo_destination(app, name, by=caller.actor)
    return render(request, "destinations.html", caller, **_shown(app, {name: answer}))


def _shown(app: Application, echoes: dict[str, Echo] | None = None) -> dict[str, Any]:
    settings = with_site_settings(app).settings
    now = app.now()
    with app.database.read() as session:
        found = list_backlogs(session, settings, now=now)
        paused = administer.paused_queues(session)
    return {
        "backlogs": found,
        "advice": {item.name: advise_delivery("queued", item.last_reason) for item in found},
        "echoes": echoes or {},
        "unreachable": UNREACHABLE,
        "paused": paused,
        "settings": settings,
    }
