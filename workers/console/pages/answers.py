"""What radiologists said of our nodules, and reports that were not understood."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from workers.console.access import App, Viewer
from workers.console.rendering import render
from workers.state.answer_tables import Verdict
from workers.usecases.describe_answers import list_answers, list_unclear

router = APIRouter(include_in_schema=False)

SHOWN = 100


@router.get("/answers")
def answers(
    request: Request,
    app: App,
    caller: Viewer,
    verdict: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """The newest answers."""
    wanted = verdict if verdict in set(Verdict) else None
    with app.database.read() as session:
        rows = list_answers(session, verdict=wanted, limit=SHOWN)
        unclear = list_unclear(session, limit=SHOWN)
    return render(
        request, "answers.html", caller, rows=rows, unclear=unclear, verdict=wanted,
        verdicts=list(Verdict),
    )  # fmt: skip
