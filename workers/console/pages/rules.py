"""Trying the rules on DICOM files: what would happen to each series, and why."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from workers.access_errors import RequestRefused
from workers.console.access import App, Operator
from workers.console.api.rules import judge_upload
from workers.console.rendering import render

router = APIRouter(include_in_schema=False)


@router.get("/rules/test")
def form(request: Request, caller: Operator) -> Response:
    """Where files are chosen."""
    return render(request, "rules.html", caller, found=None, problem="")


@router.post("/rules/test")
async def judge(request: Request, app: App, caller: Operator) -> Response:
    """Judge what was uploaded; nothing of it is kept."""
    try:
        found = await judge_upload(request, app)
    except RequestRefused as error:
        return render(request, "rules.html", caller, status=422, found=None, problem=str(error))
    return render(request, "rules.html", caller, found=found, problem="")
