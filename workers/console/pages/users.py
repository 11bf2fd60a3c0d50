"""Users and API tokens; whoever gives access sees a link or token once, and never again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from workers.access_errors import AccessRefused, NoSuchUser
from workers.application import Application
from workers.console.access import Admin, App
from workers.console.rendering import render
from workers.state.access_tables import Role
from workers.usecases import accounts, api_tokens
from workers.usecases.accounts import LINK_LASTS_S

router = APIRouter(include_in_schema=False)

Name = Annotated[str, Form(max_length=64)]


@router.get("/users")
def users(request: Request, app: App, caller: Admin) -> Response:
    """Who may use the console, and which programs."""
    return render(request, "users.html", caller, **_shown(app))


@router.post("/users")
def add_user(
    request: Request, app: App, caller: Admin, name: Name, role: Annotated[Role, Form()]
) -> Response:
    """Add a user and show the link by which they choose a password."""
    try:
        token = accounts.add_user(app, caller.actor, name.strip(), role)
    except AccessRefused as error:
        return _refused(request, app, caller, error)
    return _with_link(request, app, caller, name.strip(), token)


@router.post("/users/{name}/link")
def new_link(request: Request, app: App, caller: Admin, name: str) -> Response:
    """Make a new link, for a password that was forgotten."""
    return _with_link(request, app, caller, name, accounts.make_link(app, caller.actor, name))


@router.post("/users/{name}/change")
def change(
    request: Request,
    app: App,
    caller: Admin,
    name: str,
    role: Annotated[Role | None, Form()] = None,
    disabled: Annotated[bool | None, Form()] = None,
) -> Response:
    """Give another role, or lock out and let in again."""
    try:
        if role is not None:
            accounts.set_role(app, caller.actor, name, role)
        if disabled is not None:
            accounts.set_disabled(app, caller.actor, name, disabled=disabled)
    except AccessRefused as error:
        return _refused(request, app, caller, error)
    return RedirectResponse(f"{app.settings.console_root_path}/users?done=user", status_code=303)


@router.post("/tokens")
def add_token(
    request: Request,
    app: App,
    caller: Admin,
    name: Name,
    role: Annotated[Role, Form()],
    days: Annotated[float, Form()],
) -> Response:
    """Make a token and show it once."""
    try:
        token = api_tokens.add_token(app, caller.actor, name.strip(), role, days=days)
    except AccessRefused as error:
        return _refused(request, app, caller, error)
    return render(
        request, "users.html", caller, **_shown(app, token=token, token_name=name.strip())
    )


@router.post("/tokens/{name}/revoke")
def revoke_token(app: App, caller: Admin, name: str) -> Response:
    """End a token at once."""
    api_tokens.revoke_token(app, caller.actor, name)
    return RedirectResponse(f"{app.settings.console_root_path}/users?done=token", status_code=303)


def _with_link(
    request: Request, app: Application, caller: Admin, name: str, token: str
) -> Response:
    root = app.settings.console_root_path
    link = f"{request.url.scheme}://{request.url.netloc}{root}/link/{token}"
    return render(request, "users.html", caller, **_shown(app, link=link, link_name=name))


def _refused(
    request: Request, app: Application, caller: Admin, error: AccessRefused | NoSuchUser
) -> Response:
    return render(request, "users.html", caller, status=422, **_shown(app, problem=str(error)))


def _shown(app: Application, **more: str) -> dict[str, Any]:
    with app.database.read() as session:
        return {
            "users": accounts.list_users(session),
            "tokens": api_tokens.list_tokens(session),
            "roles": list(Role),
            "now": app.now(),
            "link": "",
            "link_name": "",
            "link_lasts_s": LINK_LASTS_S,
            "token": "",
            "token_name": "",
            "problem": "",
            **more,
        }
