"""Storage: how full, how fast it fills, what lies aside, how long things are kept."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from workers.console.access import App, Viewer
from workers.console.rendering import render
from workers.usecases.describe_storage import policy
from workers.usecases.storage import look_at_storage

router = APIRouter(include_in_schema=False)

KEPT = {
    "keep_received_days": "instances of confirmed series",
    "keep_ended_days": "instances of series that ended otherwise",
    "keep_results_days": "results",
    "keep_history_days": "lines of history",
    "keep_context_days": "clinical context of patients",
}


@router.get("/storage")
def storage(request: Request, app: App, caller: Viewer) -> Response:
    """Everything that takes room."""
    return render(
        request,
        "storage.html",
        caller,
        found=look_at_storage(app, now=app.now()),
        kept=[(KEPT[name], days) for name, days in policy(app.settings).items()],
    )
