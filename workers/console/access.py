"""Who asks, and whether they may: the dependency that every route declares.

::

    @router.get("/jobs")
    def jobs(request: Request, caller: Viewer, ...)     # any signed-in user, any token

A browser is known by its session's cookie, a program by ``Authorization: Bearer``. A request that
changes something under a cookie must carry the session's CSRF token, in the form's field
``csrf_token`` or in the header ``X-CSRF-Token``; `needs` checks that itself, so no route can
forget it. Routes without `Viewer`, `Operator`, `Admin` or `PUBLIC` fail a test.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from workers.access_errors import NotSignedIn, RoleTooLow
from workers.application import Application
from workers.state.access_tables import Role
from workers.usecases.api_tokens import find_token
from workers.usecases.audit import Actor, How
from workers.usecases.secrets import csrf_token, equal
from workers.usecases.sign_in import find_session

COOKIE = "pulmonode_session"
FILES_AT_MOST = 5000
"""In one upload; a long CT series has 2,000."""
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
QUIET_HEADER = "X-Pulmonode-Refresh"
"""A page that asks by itself says so, and does not keep its session from going idle."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUIRED_ROLE = "required_role"
"""Attribute of a dependency: the role it asks for, or "public"."""


class CsrfRefused(Exception):
    """A request that changes something came without the session's CSRF token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever sent a request.

    Attributes
    ----------
    session_id : int or None
        Of a browser; `None` for a program with a token.
    csrf : str
        What forms of this session must carry; empty for a program.
    """

    name: str
    role: Role
    how: How
    address: str
    session_id: int | None = None
    csrf: str = ""

    @property
    def actor(self) -> Actor:
        """Who acts, for use cases and the audit."""
        return Actor(name=self.name, role=self.role, how=self.how, address=self.address)

    def may(self, role: Role) -> bool:
        """Whether they may do what needs this role; for pages that leave buttons out."""
        return self.role.includes(role)


def application(request: Request) -> Application:
    """What the use cases work with."""
    return cast(Application, request.app.state.application)


App = Annotated[Application, Depends(application)]


def needs(role: Role) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """A dependency that answers the caller, or refuses.

    Raises (in the request)
    -----------------------
    NotSignedIn
        Pages lead to the sign-in page, the API answers 401.
    RoleTooLow
        403.
    CsrfRefused
        403.
    """

    async def caller_with_role(request: Request) -> Caller:
        caller = await _caller(request)
        request.state.caller = caller  # for the audit of refusals, and the templates
        if caller.session_id is not None and request.method not in SAFE_METHODS:
            await _check_csrf(request, caller)
        if not caller.role.includes(role):
            raise RoleTooLow(caller.role, role)
        return caller

    setattr(caller_with_role, REQUIRED_ROLE, role)
    return caller_with_role


def _public() -> None:
    """Nobody needs to be signed in."""


setattr(_public, REQUIRED_ROLE, "public")
PUBLIC = Depends(_public)
"""For a route's ``dependencies``: whoever asks gets it."""
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""Of a row, as somebody may ask for it; a database holds no larger ones."""
Viewer = Annotated[Caller, Depends(needs(Role.VIEWER))]
Operator = Annotated[Caller, Depends(needs(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(needs(Role.ADMIN))]


def address_of(request: Request) -> str:
    """Where a request came from; a reverse proxy's word counts where it is trusted."""
    return request.client.host if request.client else ""


def is_quiet(request: Request) -> bool:
    """Whether a page asked this by itself."""
    return QUIET_HEADER in request.headers


async def _caller(request: Request) -> Caller:
    app = application(request)
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind:
        if kind.lower() != "bearer" or not token:
            raise NotSignedIn("the header Authorization is not 'Bearer TOKEN'")
        known = await run_in_threadpool(find_token, app, token.strip())
        name, role = f"token {known.name}", known.role
        return Caller(name=name, role=role, how=How.API, address=address_of(request))
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        raise NotSignedIn("no session and no token came with the request")
    found = await run_in_threadpool(find_session, app, cookie, renew=not is_quiet(request))
    return Caller(
        name=found.user,
        role=found.role,
        how=How.BROWSER,
        address=address_of(request),
        session_id=found.session_id,
        csrf=csrf_token(cookie),
    )


async def _check_csrf(request: Request, caller: Caller) -> None:
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("Content-Type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        field = (await request.form(max_files=FILES_AT_MOST)).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    if given is None or not equal(given, caller.csrf):
        await request.close()  # what was uploaded is not looked at
        raise CsrfRefused


def set_session_cookie(request: Request, response: Response, token: str) -> None:
    """Hand a session's token to the browser; it ends with the browser, and on the server."""
    response.set_cookie(
        COOKIE, token, path=cookie_path(request), httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip


def drop_session_cookie(request: Request, response: Response) -> None:
    """Take the session's token away."""
    response.delete_cookie(
        COOKIE, path=cookie_path(request), httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip


def cookie_path(request: Request) -> str:
    """Paths that get our cookies: the console's own, where it shares a host."""
    return application(request).settings.console_root_path or "/"
