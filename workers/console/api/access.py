"""Users, tokens, the audit, and who asks. An operator sees none of it, a token least of all."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from workers.audit_trail.trail import tell_audit_read
from workers.console.access import Admin, App, Viewer
from workers.console.api.access_models import (
    AuditPage,
    Change,
    Link,
    Me,
    NewToken,
    NewUser,
    Token,
    TokenRow,
    UserRow,
)
from workers.console.api.paths import PREFIX, REFUSALS, Cursor
from workers.usecases import accounts, api_tokens
from workers.usecases.audit import list_audit

router = APIRouter(prefix=PREFIX, tags=["access"], responses=REFUSALS)
Name = Annotated[str, Path(max_length=63)]


@router.get("/me", response_model=Me)
def me(caller: Viewer) -> Any:
    """Who asks, in which role; also a way to see whether a token counts."""
    return {"name": caller.name, "role": caller.role, "version": version("pulmonode")}


@router.get("/users", response_model=list[UserRow])
def users(app: App, _caller: Admin) -> Any:
    """All users."""
    with app.database.read() as session:
        return accounts.list_users(session)


@router.post("/users", response_model=Link, status_code=201)
def add_user(app: App, caller: Admin, wanted: NewUser) -> Any:
    """Add a user; the answer holds the link by which they choose a password."""
    token = accounts.add_user(app, caller.actor, wanted.name, wanted.role)
    return {"name": wanted.name, "path": f"/link/{token}"}


@router.patch("/users/{name}", response_model=UserRow)
def change_user(app: App, caller: Admin, name: Name, change: Change) -> Any:
    """Give a user another role, shut them out, or let them in again."""
    if change.role is not None:
        accounts.set_role(app, caller.actor, name, change.role)
    if change.disabled is not None:
        accounts.set_disabled(app, caller.actor, name, disabled=change.disabled)
    with app.database.read() as session:
        accounts.find_user(session, name)
        return next(row for row in accounts.list_users(session) if row["name"] == name)


@router.post("/users/{name}/link", response_model=Link)
def link(app: App, caller: Admin, name: Name) -> Any:
    """A new link by which a user chooses a password."""
    return {"name": name, "path": f"/link/{accounts.make_link(app, caller.actor, name)}"}


@router.get("/tokens", response_model=list[TokenRow])
def tokens(app: App, _caller: Admin) -> Any:
    """All tokens, without themselves."""
    with app.database.read() as session:
        return api_tokens.list_tokens(session)


@router.post("/tokens", response_model=Token, status_code=201)
def add_token(app: App, caller: Admin, wanted: NewToken) -> Any:
    """Make a token; this answer is the only time it can be seen."""
    token = api_tokens.add_token(app, caller.actor, wanted.name, wanted.role, days=wanted.days)
    return {"name": wanted.name, "token": token}


@router.delete("/tokens/{name}", status_code=204, response_class=Response)
def revoke_token(app: App, caller: Admin, name: Name) -> None:
    """End a token at once."""
    api_tokens.revoke_token(app, caller.actor, name)


@router.get("/audit", response_model=AuditPage)
def audit(
    app: App,
    caller: Admin,
    job: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="done to this job")] = None,
    who: Annotated[str | None, Query(max_length=64)] = None,
    action: Annotated[str | None, Query(max_length=64, description="such as job.retry")] = None,
    since: Annotated[float | None, Query(description="from then on, seconds UTC")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Cursor = None,
) -> Any:
    """Who did what, newest first."""
    if cursor is None:  # once, not for each page
        tell_audit_read(app.settings, caller.actor.name, caller.actor.address)
    with app.database.read() as session:
        rows = list_audit(
            session,
            before=None if cursor is None else int(cursor),
            limit=limit + 1,
            job_id=job,
            who=who,
            action=action,
            since=since,
        )
    shown = rows[:limit]
    return {"items": shown, "next": str(shown[-1]["id"]) if len(rows) > limit else None}
