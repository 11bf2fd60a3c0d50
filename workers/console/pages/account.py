"""One's own account: the password, and where one is signed in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from workers.access_errors import AccessRefused, NotSignedIn, TooManyAttempts
from workers.console.access import App, Caller, Viewer, set_session_cookie
from workers.console.rendering import render
from workers.usecases import sign_in

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=300)]


@router.get("/account")
def account(request: Request, app: App, caller: Viewer) -> Response:
    """Change the password; see where one is signed in."""
    return _page(request, app, caller)


@router.post("/account/password")
def change_password(
    request: Request, app: App, caller: Viewer, old: Text, password: Text, again: Text
) -> Response:
    """Change the password; every other session of the user ends."""
    if password != again:
        return _page(request, app, caller, error="The two are not the same.", status=422)
    try:
        token = sign_in.change_own_password(app, caller.actor, old, password)
    except NotSignedIn:
        return _page(request, app, caller, error="The old password is wrong.", status=422)
    except AccessRefused as error:
        return _page(request, app, caller, error=f"{str(error).capitalize()}.", status=422)
    except TooManyAttempts as error:
        return _page(request, app, caller, error=f"{str(error).capitalize()}.", status=429)
    response = _back(app, "password")
    set_session_cookie(request, response, token)
    return response


@router.post("/account/sign-out-elsewhere")
def sign_out_elsewhere(app: App, caller: Viewer) -> Response:
    """End every other session of the user."""
    if caller.session_id is not None:
        sign_in.sign_out_elsewhere(app, caller.actor, caller.session_id)
    return _back(app, "elsewhere")


def _back(app: App, done: str) -> Response:
    where = f"{app.settings.console_root_path}/account?done={done}"
    return RedirectResponse(where, status_code=303)


def _page(
    request: Request, app: App, caller: Caller, *, status: int = 200, **more: Any
) -> Response:
    with app.database.read() as session:
        sessions = sign_in.list_sessions(session, caller.name, now=app.now())
    context = {"sessions": sessions, "session_id": caller.session_id, "error": "", **more}
    return render(request, "account.html", caller, status=status, **context)
