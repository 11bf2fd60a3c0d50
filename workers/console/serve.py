"""Running the console: uvicorn on its port, and the link for the first administrator."""

from __future__ import annotations

import logging
import signal
import socket
import sys

import structlog
import uvicorn

from dicom_node.tls import TlsFiles, acceptor_context
from workers.application import Application
from workers.console.app import create_app
from workers.settings import Settings
from workers.usecases.accounts import LINK_LASTS_S, first_link

log = structlog.get_logger()

STOP_WITHIN_S = 5
HEADER_LIMIT_BYTES = 16_384


def serve(application: Application) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises
    ------
    OSError
        If the address is not to be had.
    TlsUnusable
        If a certificate does not serve.
    """
    settings = application.settings
    # uvicorn names addresses of requests in its lines: ours (guards.py) stand in their place.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    certificate, key = settings.console_tls_certificate, settings.console_tls_key
    # Said before anything listens; the suites are those of the DICOM ports.
    tls = certificate and acceptor_context(TlsFiles(certificate=certificate, key=key))
    config = uvicorn.Config(
        create_app(application),
        access_log=False,
        log_config=None,
        proxy_headers=False,  # ProxyHeadersMiddleware, where a proxy is trusted
        server_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        h11_max_incomplete_event_size=HEADER_LIMIT_BYTES,
    )
    config.load()
    config.ssl = tls or None
    listening = _listen(settings)
    port = listening.getsockname()[1]
    _greet(application, port)
    log.info("console_started", port=port)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises it again when it has stopped
        signal.signal(number, lambda _number, _frame: None)
    uvicorn.Server(config).run(sockets=[listening])
    log.info("console_stopped")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.console_host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.console_host, settings.console_port))
    except OSError as error:
        listening.close()
        raise OSError(
            error.errno,
            f"console: {settings.console_host} port {settings.console_port}: {error.strerror}; set "
            "PULMONODE_CONSOLE_PORT to a free one, or 0",
        ) from error
    listening.set_inheritable(True)
    return listening


def _greet(application: Application, port: int) -> None:
    """Print the first administrator's link; it is a secret, so it never goes into the log."""
    token = first_link(application)
    if token is None:
        return
    where = application.settings.console_url(port)
    sys.stdout.write(
        f"\nNobody can sign in yet. Choose the administrator's password within "
        f"{LINK_LASTS_S / 3600:.0f} hours, once, at\n\n    {where}/link/{token}\n\n"
    )
    sys.stdout.flush()
