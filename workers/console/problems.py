"""Errors as the API tells them (RFC 9457, application/problem+json) and as pages show them.

Each says what is wrong, where, and what to do; none repeats what came with the request.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """One error."""

    type: str = Field(
        default="about:blank", description="always about:blank; code tells them apart"
    )
    status: Annotated[int, Field(ge=400, le=599, description="as in the response's first line")]
    code: Annotated[str, Field(description="constant for programs")]
    title: Annotated[str, Field(description="what is wrong, in a few words")]
    detail: Annotated[str, Field(description="what is wrong, and where")] = ""
    remedy: Annotated[str, Field(description="what to do")] = ""

    def response(self, headers: dict[str, str] | None = None) -> JSONResponse:
        """As an HTTP response."""
        return JSONResponse(
            self.model_dump(), status_code=self.status, media_type=MEDIA_TYPE, headers=headers
        )


def of_status(status: int, detail: str = "") -> Problem:
    """A problem that HTTP itself names (404, 405 ...)."""
    phrase = HTTPStatus(status).phrase
    return Problem(
        status=status, code=phrase.lower().replace(" ", "_"), title=phrase, detail=detail
    )
