"""What all groups of paths share: the prefix, and the errors that any of them may answer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from workers.console.problems import MEDIA_TYPE, Problem

PREFIX = "/api/v1"
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[0-9]{1,18}$", description="next of the page before, or nothing"),
]
_SCHEMA = {"schema": {"$ref": "#/components/schemas/Problem"}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text, "content": {MEDIA_TYPE: _SCHEMA}}
    for status, text in {
        400: "the body cannot be read as what it says it is",
        401: "not signed in, or the token does not count",
        403: "the role does not suffice, or the session's CSRF token is missing",
        404: "there is no such thing",
        409: "the state of what is asked for does not allow it",
        422: "the request is not as it must be",
        503: "the database, broker or object store does not answer",
    }.items()
}
