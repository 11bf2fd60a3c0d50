"""Signing in and out, and the one-time link by which a user chooses a password."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from workers.access_errors import AccessRefused, NotSignedIn, TooManyAttempts
from workers.console.access import (
    PUBLIC,
    App,
    Viewer,
    address_of,
    cookie_path,
    drop_session_cookie,
    set_session_cookie,
)
from workers.console.rendering import render
from workers.usecases import sign_in as use_case
from workers.usecases.secrets import equal, new_token

router = APIRouter(include_in_schema=False)

BEFORE_COOKIE = "pulmonode_before"
"""Proves that the form of the sign-in page was ours (nobody can be signed in as another)."""
STALE = "This page was open for too long: try again."
Text = Annotated[str, Form(max_length=300)]


@router.get("/sign-in", dependencies=[PUBLIC])
def form(request: Request, then: str = "/") -> Response:
    """The sign-in page."""
    return _form(request, then)


@router.post("/sign-in", dependencies=[PUBLIC])
def sign_in(
    request: Request, app: App, name: Text, password: Text, proof: Text, then: Text = "/"
) -> Response:
    """Check the password and begin a session."""
    if not _is_ours(request, proof):
        return _form(request, then, error=STALE, status=403)
    try:
        token = use_case.sign_in(app, name.strip(), password, address_of(request))
    except NotSignedIn:
        return _form(request, then, error="User name or password is wrong.", status=401)
    except TooManyAttempts as error:
        response = _form(request, then, error=f"{str(error).capitalize()}.", status=429)
        response.headers["Retry-After"] = f"{error.wait_s:.0f}"
        return response
    return _signed_in(request, app.settings.console_root_path + _own_path(then), token)


@router.post("/sign-out")
def sign_out(request: Request, app: App, caller: Viewer) -> Response:
    """End this session."""
    if caller.session_id is not None:
        use_case.sign_out(app, caller.actor, caller.session_id)
    response = RedirectResponse(f"{app.settings.console_root_path}/sign-in", status_code=303)
    drop_session_cookie(request, response)
    return response


@router.get("/link/{token}", dependencies=[PUBLIC])
def link(request: Request, app: App, token: str) -> Response:
    """Where a one-time link leads: choosing a password. Looking does not use the link up."""
    try:
        name = use_case.link_user(app, token)
    except AccessRefused as error:
        return _link_refused(request, error)
    return _link_form(request, token, name)


@router.post("/link/{token}", dependencies=[PUBLIC])
def use_link(
    request: Request, app: App, token: str, password: Text, again: Text, proof: Text
) -> Response:
    """Set the password and sign in."""
    try:
        name = use_case.link_user(app, token)
    except AccessRefused as error:
        return _link_refused(request, error)
    if not _is_ours(request, proof):
        return _link_form(request, token, name, error=STALE, status=403)
    if password != again:
        return _link_form(request, token, name, error="The two are not the same.", status=422)
    try:
        session_token = use_case.sign_in_by_link(app, token, password, address_of(request))
    except AccessRefused as error:
        return _link_form(request, token, name, error=f"{str(error).capitalize()}.", status=422)
    return _signed_in(request, f"{app.settings.console_root_path}/", session_token)


def _own_path(then: str) -> str:
    """Where to go after signing in: only within the console."""
    own = then.startswith("/") and not then.startswith("//") and "\\" not in then
    return then if own and then.isprintable() else "/"


def _form(request: Request, then: str, *, error: str = "", status: int = 200) -> Response:
    return _with_proof(request, "sign_in.html", status, then=_own_path(then), error=error)


def _link_form(
    request: Request, token: str, name: str, *, error: str = "", status: int = 200
) -> Response:
    return _with_proof(request, "link.html", status, token=token, name=name, error=error)


def _link_refused(request: Request, error: AccessRefused) -> Response:
    return render(request, "link_refused.html", status=410, error=error)


def _with_proof(request: Request, template: str, status: int, **context: Any) -> Response:
    proof = request.cookies.get(BEFORE_COOKIE) or new_token()
    response = render(request, template, status=status, proof=proof, **context)
    response.set_cookie(
        BEFORE_COOKIE, proof, path=cookie_path(request), httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response


def _is_ours(request: Request, proof: str) -> bool:
    kept = request.cookies.get(BEFORE_COOKIE, "")
    return bool(kept) and equal(kept, proof)


def _signed_in(request: Request, where: str, token: str) -> Response:
    response = RedirectResponse(where, status_code=303)
    set_session_cookie(request, response, token)
    response.delete_cookie(
        BEFORE_COOKIE, path=cookie_path(request), httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response
