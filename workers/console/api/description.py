"""The API's own description (OpenAPI), for whoever is signed in; nothing loads from elsewhere."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi

from workers.console.access import Viewer
from workers.console.api.paths import PREFIX

router = APIRouter(prefix=PREFIX, include_in_schema=False)
SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "a token of 'pulmonode tokens add'",
    }
}


@router.get("/openapi.json")
def openapi(request: Request, _caller: Viewer) -> dict[str, Any]:
    """The description of this API."""
    return describe_api(request.app)


def describe_api(app: FastAPI) -> dict[str, Any]:
    """OpenAPI of an application: paths of the API alone, with how to sign in."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description="The service's jobs, queues and destinations: docs/console.md.",
            routes=app.routes,
        )
        made["components"]["securitySchemes"] = SECURITY
        made["security"] = [{"token": []}]
        app.openapi_schema = made
    return app.openapi_schema
