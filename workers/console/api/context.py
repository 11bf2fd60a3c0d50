"""Clinical context sent to the console: FHIR or HL7, into the inbox that the MLLP port fills."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from workers.console.access import App, Operator
from workers.console.api.paths import PREFIX, REFUSALS
from workers.console.api.site_models import ContextAnswer
from workers.console.guards import BodyTooLarge
from workers.usecases.share_settings import with_site_settings
from workers.usecases.take_upload import take_upload

router = APIRouter(prefix=PREFIX, tags=["context"], responses=REFUSALS)
CONTEXT_PATH = f"{PREFIX}/context"
NAME = "the body"
MEDIA_TYPES = ("application/fhir+json", "application/json", "x-application/hl7-v2+er7")
_BYTES = {"schema": {"type": "string", "format": "binary"}}
BODY = {
    "requestBody": {
        "required": True,
        "description": "a FHIR R4 Bundle or resource (JSON), or HL7 v2 messages",
        "content": dict.fromkeys(MEDIA_TYPES, _BYTES),
    }
}


@router.post("/context", response_model=list[ContextAnswer], openapi_extra=BODY)
async def take(request: Request, app: App, caller: Operator) -> Any:
    """Take context of patients; one answer for each message, as the HL7 port gives it.

    The body is read after the caller is known, and no further than PULMONODE_HL7_MAXIMUM_BYTES.
    """
    limit = app.settings.hl7_maximum_bytes
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise BodyTooLarge(limit)
    answers = await run_in_threadpool(
        lambda: take_upload(with_site_settings(app), bytes(data), name=NAME, by=caller.actor)
    )
    return [asdict(item) for item in answers]
