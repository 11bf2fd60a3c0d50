"""What every request passes before any route, and what every response carries (plain ASGI).

Host names are checked against DNS rebinding; bodies have a limit that counts what really comes;
one log line tells each request, by the route's pattern and never by its address or query.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.console.problems import Problem
from workers.console_settings import LOOPBACK_NAMES
from workers.settings import Settings

log = structlog.get_logger()

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
HTTPS_LASTS = "max-age=31536000"
STATIC = "/static/"
STATIC_CACHE = "private, max-age=3600"


class BodyTooLarge(HTTPException):
    """A request's body is larger than its limit (FastAPI passes its own exceptions on)."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(413)


class Guards:
    """Host check, body limit, headers and the log line around an application.

    Parameters
    ----------
    upload_paths : sequence of str
        Paths (without the root path) whose bodies have the larger limit.
    """

    def __init__(self, app: ASGIApp, settings: Settings, upload_paths: Sequence[str] = ()) -> None:
        self.app = app
        self.settings = settings
        self.upload_paths = frozenset(upload_paths)
        self.hosts = frozenset(
            name.lower()
            for name in (*LOOPBACK_NAMES, settings.console_host, *settings.console_allowed_hosts)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0
        scope = self._under_root(scope)
        path = _own_path(scope)  # now: a mount changes the scope
        static = path.startswith(STATIC)

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                _add_headers(headers, scope["scheme"], static=static)
                headers["Server-Timing"] = f"app;dur={1000 * (time.perf_counter() - began):.1f}"
            await send(message)

        try:
            await self._serve(scope, path, receive, send_guarded)
        finally:
            (log.debug if static else log.info)(
                "http_request",
                method=scope["method"],
                route="static" if static else getattr(scope.get("route"), "path", "unknown"),
                status=status,
                duration_s=round(time.perf_counter() - began, 4),
                address=scope["client"][0] if scope.get("client") else "",
            )

    def _under_root(self, scope: Scope) -> Scope:
        """The scope with the root path in its path, as ASGI wants it, whether or not the proxy
        took it away.
        """
        root = self.settings.console_root_path
        path: str = scope["path"]
        within = path == root or path.startswith(f"{root}/")
        return {**scope, "root_path": root, "path": path if within else root + path}

    async def _serve(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if _host_name(headers.get("host", "")) not in self.hosts:
            problem = Problem(
                status=421,
                code="unknown_host",
                title="This console is not known under that name",
                detail="the header Host names none of the console's own names",
                remedy="ask for it by a name that PULMONODE_CONSOLE_ALLOWED_HOSTS lists",
            )
            await problem.response()(scope, receive, send)
            return
        upload = path in self.upload_paths
        limit = (
            self.settings.console_upload_limit_bytes
            if upload
            else self.settings.console_body_limit_bytes
        )
        announced = headers.get("content-length", "0")
        if not announced.isdigit() or int(announced) > limit:
            await too_large(limit).response()(scope, receive, send)
            return
        came = 0

        async def receive_limited() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > limit:
                raise BodyTooLarge(limit)
            return message

        await self.app(scope, receive_limited, send)


def _add_headers(headers: MutableHeaders, scheme: str, *, static: bool) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    if scheme == "https":
        headers["Strict-Transport-Security"] = HTTPS_LASTS
    headers["Cache-Control"] = STATIC_CACHE if static else "no-store"


def too_large(limit_bytes: int) -> Problem:
    """What is said of a body over its limit."""
    return Problem(
        status=413,
        code="too_large",
        title="The request is too large",
        detail=f"at most {limit_bytes / 1e6:g} MB are taken",
        remedy="send less at once, or raise PULMONODE_CONSOLE_BODY_LIMIT_BYTES or, for files to "
        "try rules on, PULMONODE_CONSOLE_UPLOAD_LIMIT_BYTES",
    )


def _own_path(scope: Scope) -> str:
    """The path without the root path under which a reverse proxy offers the console."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _host_name(header: str) -> str:
    """The name in a Host header, without port and brackets; empty when it is none."""
    name = header.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
        try:
            return str(ipaddress.IPv6Address(name))
        except ValueError:
            return ""
    return name.partition(":")[0]
