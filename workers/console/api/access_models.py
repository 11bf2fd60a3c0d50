"""Users, tokens and the audit as the API tells them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from workers.console.api.job_models import At
from workers.state.access_tables import Role
from workers.usecases.api_tokens import LONGEST_DAYS

Name = Annotated[str, Field(min_length=1, max_length=63)]


class Me(BaseModel):
    """Who asks."""

    name: str
    role: Role
    version: Annotated[str, Field(description="of this console")]


class UserRow(BaseModel):
    """A user."""

    name: str
    role: Role
    disabled: bool
    has_password: bool
    created_at: At
    last_sign_in_at: At | None


class NewUser(BaseModel):
    """A user to add."""

    name: Name
    role: Role = Role.VIEWER


class Change(BaseModel):
    """What to change of a user; what is left out stays."""

    role: Role | None = None
    disabled: bool | None = None


class Link(BaseModel):
    """A one-time link, shown once; its path is to be put behind the console's address."""

    name: str
    path: str


class TokenRow(BaseModel):
    """A token, without itself."""

    name: str
    role: Role
    created_by: str
    created_at: At
    expires_at: At
    used_at: At | None
    revoked_at: At | None


class NewToken(BaseModel):
    """A token to make."""

    name: Name
    role: Role = Role.VIEWER
    days: Annotated[float, Field(gt=0, le=LONGEST_DAYS)] = 90


class Token(BaseModel):
    """A new token, shown once."""

    name: str
    token: str


class AuditRow(BaseModel):
    """One action of somebody."""

    id: int
    at: At
    who: str
    role: str
    how: str
    address: str
    action: str
    job: int | None
    subject: str
    outcome: str


class AuditPage(BaseModel):
    """Some records, newest first, and where the next page begins."""

    items: list[AuditRow]
    next: str | None = None
