"""Settings as they count, secrets hidden; they are changed where they stand, never here."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from workers.console.access import Admin, App
from workers.console.rendering import render
from workers.usecases.show_settings import show_settings

router = APIRouter(include_in_schema=False)


@router.get("/settings")
def settings(request: Request, app: App, caller: Admin) -> Response:
    """Every setting."""
    return render(request, "settings.html", caller, rows=show_settings(app))
