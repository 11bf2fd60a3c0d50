"""The audit: who did what, newest first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from workers.audit_trail.trail import tell_audit_read
from workers.console.access import Admin, App, Number
from workers.console.rendering import render
from workers.usecases.audit import list_audit

router = APIRouter(include_in_schema=False)

PAGE = 100
Word = Annotated[str, Query(max_length=100)]


@router.get("/audit")
def audit(
    request: Request,
    app: App,
    caller: Admin,
    who: Word = "",
    action: Word = "",
    job: Number | None = None,
    before: Number | None = None,
) -> Response:
    """One page of it."""
    if before is None:  # once, not for each page
        tell_audit_read(app.settings, caller.actor.name, caller.actor.address)
    with app.database.read() as session:
        rows = list_audit(
            session,
            before=before,
            limit=PAGE + 1,
            job_id=job,
            who=who or None,
            action=action or None,
        )
    return render(
        request,
        "audit.html",
        caller,
        rows=rows[:PAGE],
        more=rows[PAGE - 1]["id"] if len(rows) > PAGE else None,
        who=who,
        action=action,
        job=job,
        before=before,
    )
