"""Storage: how full, how fast it fills, what lies aside."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from workers.console.access import App, Viewer
from workers.console.rendering import render
from workers.usecases.storage import look_at_storage

router = APIRouter(include_in_schema=False)


@router.get("/storage")
def storage(request: Request, app: App, caller: Viewer) -> Response:
    """Everything that takes room."""
    return render(request, "storage.html", caller, found=look_at_storage(app, now=app.now()))
