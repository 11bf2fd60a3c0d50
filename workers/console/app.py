"""The console as an ASGI application.

::

    request -> proxy's headers -> Guards (host, body, headers, log) -> needs(role) -> route
            -> use case

Routes hold no SQL and no rule: they call use cases and show what comes back.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from workers.access_errors import NotSignedIn, RequestRefused, RoleTooLow, TooManyAttempts
from workers.application import Application
from workers.console.access import SAFE_METHODS, CsrfRefused, is_quiet
from workers.console.api import access, context, description, jobs, rules, site
from workers.console.error_answers import database_away, problem_of
from workers.console.guards import HEADERS, Guards
from workers.console.pages.every import PAGES
from workers.console.problems import Problem
from workers.console.rendering import error_page
from workers.errors import WorkersError
from workers.state.database import DATABASE_AWAY, VALUE_REFUSED
from workers.usecases.audit import Outcome, record_alone

log = structlog.get_logger()

STATIC = Path(__file__).parent / "static"
API = "/api/"
API_VERSION = "1"
"""Of the HTTP API; paths carry it."""
BAD_VALUE = RequestRefused(
    "a value fits nothing that is kept", "leave out characters that cannot be printed"
)
UPLOAD_PATHS = ("/api/v1/rules/test", "/rules/test", context.CONTEXT_PATH)
"""Where files are uploaded: the larger limit of a body, which some keep below by themselves."""
PATHS = (
    jobs.router, site.router, access.router, rules.router, context.router, description.router
)  # fmt: skip


def create_app(application: Application) -> FastAPI:
    """The console over an opened application, whose database and store it uses.

    The caller closes the application's database afterwards.
    """
    settings = application.settings
    app = FastAPI(
        title="Pulmonode",
        version=API_VERSION,
        openapi_url=None,  # served by the API itself, to whoever signed in
        docs_url=None,  # they load from a CDN
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.application = application
    for router in (*PAGES, *PATHS):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _answer_errors(app)
    app.add_middleware(Guards, settings=settings, upload_paths=UPLOAD_PATHS)
    if settings.console_trusted_proxies:
        app.add_middleware(
            ProxyHeadersMiddleware, trusted_hosts=list(settings.console_trusted_proxies)
        )
    return app


def _answer_errors(app: FastAPI) -> None:
    for kind in (WorkersError, CsrfRefused, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _known)
    for away in DATABASE_AWAY:
        app.add_exception_handler(away, _database_away)
    for refused in VALUE_REFUSED:
        app.add_exception_handler(refused, _value_refused)
    app.add_exception_handler(Exception, _fault)


def _known(request: Request, error: Exception) -> Response:
    """What is raised on purpose; refusals of actions are audited."""
    if isinstance(error, NotSignedIn) and not _is_for_programs(request):
        return _to_sign_in(request)
    _audit_refusal(request, error)
    problem = problem_of(error)
    headers = dict(getattr(error, "headers", None) or {})
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyAttempts):
        headers["Retry-After"] = f"{error.wait_s:.0f}"
    return _answer(request, problem, headers)


def _database_away(request: Request, error: Exception) -> Response:
    log.error("database_unreachable", error=type(error).__name__)
    return _answer(request, database_away(), {"Retry-After": "10"})


def _value_refused(request: Request, error: Exception) -> Response:
    log.warning("value_refused", error=type(error).__name__)
    return _answer(request, problem_of(BAD_VALUE), {})


def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours: Starlette sends this outside of the guards, so it brings their headers."""
    log.error("http_failed", error=type(error).__name__, exc_info=error)
    return _answer(request, problem_of(error), {**HEADERS, "Cache-Control": "no-store"})


def _answer(request: Request, problem: Problem, headers: dict[str, str]) -> Response:
    if _is_for_programs(request):
        return problem.response(headers)
    page = error_page(request, problem)
    page.headers.update(headers)
    return page


def _to_sign_in(request: Request) -> Response:
    root = request.app.state.application.settings.console_root_path
    wanted = request.url.path.removeprefix(root)
    query = f"?then={wanted}" if request.method == "GET" and wanted != "/" else ""
    return RedirectResponse(f"{root}/sign-in{query}", status_code=303)


def _is_for_programs(request: Request) -> bool:
    root = request.app.state.application.settings.console_root_path
    return request.url.path.removeprefix(root).startswith(API) or is_quiet(request)


def _audit_refusal(request: Request, error: Exception) -> None:
    caller = getattr(request.state, "caller", None)
    refused = isinstance(error, RoleTooLow | CsrfRefused)
    if caller is None or not refused or request.method in SAFE_METHODS:
        return
    route = getattr(request.scope.get("route"), "path", "unknown")
    record_alone(
        request.app.state.application,
        caller.actor,
        f"{request.method} {route}"[:64],
        outcome=Outcome.REFUSED,
    )
