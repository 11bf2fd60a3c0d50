"""The processes: node, worker, console, HL7 port, and all of them in one (`pulmonode up`)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import structlog

from dicom_node.errors import NobodyAllowed
from workers.application import open_application
from workers.audit_trail.process import audited
from workers.broker import EmbeddedBroker
from workers.celery_app import ANALYSE, DELIVER, MAINTAIN, Hinter, run_celery_worker
from workers.compute import threads_for
from workers.context.hl7_receive import Receiver
from workers.context.inbox import MessageInbox
from workers.context.mllp import MllpLimits, MllpListener, tls_context
from workers.errors import NoBroker
from workers.hl7_settings import HL7_PORT
from workers.log import guard_service
from workers.metrics import observe
from workers.metrics.endpoint import metrics_port, serve_metrics
from workers.metrics.registry import OwnFigures
from workers.metrics.worker import WorkerFigures
from workers.node import Node
from workers.settings import Settings
from workers.state.database import DATABASE_AWAY, Database
from workers.supervisor import (
    COMMAND,
    SUPERVISOR_PID,
    Child,
    end_with_supervisor,
    hold_folder,
    stop_children,
)
from workers.usecases.heartbeat import Heartbeat
from workers.usecases.reindex import knows_no_job, warn_of_loss
from workers.usecases.share_settings import with_site_settings
from workers.usecases.take_upload import accept_policy

log = structlog.get_logger()

LOOK_S = 1.0


def broker_url(settings: Settings) -> str:
    """The broker's URL.

    Raises
    ------
    NoBroker
        If none is set.
    """
    if settings.broker_url is None:
        raise NoBroker
    return settings.broker_url


def run_node(settings: Settings) -> None:
    """Run the node until SIGTERM or SIGINT.

    Raises
    ------
    FolderInUse
        If another process holds its data folder.
    NoBroker
        If no broker is set.
    """
    guard_service()
    end_with_supervisor()
    if SUPERVISOR_PID not in os.environ:  # else `pulmonode up` holds it
        hold_folder(settings.data_dir)
    hinter = Hinter(broker_url(settings))
    # The database may be away: instances are received and durable without it.
    app = open_application(settings, check=False)
    node = Node(app, hinter)
    stop = _stop_on_signal()
    empty = knows_no_job(app)  # before the node indexes anything
    with audited(settings):
        node.start()
        try:
            if empty:
                warn_of_loss(app)  # the node receives meanwhile
            while not stop.wait(LOOK_S):
                if not node.is_alive():
                    raise RuntimeError("a loop of the node died: see the log above")
        finally:
            node.stop()


def run_worker(settings: Settings, queues: tuple[str, ...], concurrency: int) -> None:
    """Run a worker for some queues until SIGTERM or SIGINT."""
    guard_service()
    end_with_supervisor()
    app = with_site_settings(open_application(settings))
    app.database.close()
    tell_share_of_cores(settings, processes=concurrency)
    figures = WorkerFigures(settings, queues)  # before the fork: its children count as well
    heartbeat = Heartbeat(
        partial(open_application, settings, check=False), queues, concurrency, figures.expect_site
    )
    heartbeat.start()
    try:
        with audited(app.settings):
            run_celery_worker(
                broker_url(settings),
                queues,
                concurrency=concurrency,
                analyse_limit_s=app.settings.analyse_limit_s,
            )
    finally:
        heartbeat.stop()


def run_console(settings: Settings) -> None:
    """Run the console until SIGTERM or SIGINT.

    Raises
    ------
    OSError
        If its address is not to be had, or a certificate cannot be read.
    """
    from workers.console.serve import serve  # here: node and workers do without its packages

    guard_service()
    end_with_supervisor()
    app = open_application(settings)
    figures = OwnFigures("console")
    if serve_metrics(settings, figures.registry, metrics_port(settings, "console")) is not None:
        observe.listen(figures.apply)
    try:
        with audited(settings):
            serve(app)
    finally:
        app.database.close()


def run_hl7(settings: Settings) -> None:
    """Run the HL7 port until SIGTERM or SIGINT; beside the node, in its data folder.

    It needs no database: what it acknowledged waits in the inbox until the node reads it.

    Raises
    ------
    OSError
        If its address is not to be had, or a certificate cannot be read.
    """
    end_with_supervisor()
    listener = open_hl7(settings)
    stop = _stop_on_signal()
    listener.start()
    try:
        while not stop.wait(LOOK_S):
            if not listener.is_alive():
                raise RuntimeError("the HL7 port does not listen any more: see the log above")
    finally:
        listener.stop()
        log.info("hl7_stopped")


def open_hl7(settings: Settings) -> MllpListener:
    """The HL7 port as the settings say, not started yet."""
    inbox = MessageInbox(settings.context_dir, reserve_bytes=settings.disk_reserve_bytes // 2)
    inbox.discard_partial()
    certificate = settings.hl7_tls_certificate
    return MllpListener(
        Receiver(
            inbox=inbox,
            policy=accept_policy(settings),
        ),
        host=settings.hl7_host,
        port=HL7_PORT if settings.hl7_port is None else settings.hl7_port,
        limits=MllpLimits(
            maximum_bytes=settings.hl7_maximum_bytes,
            maximum_connections=settings.hl7_maximum_connections,
            idle_timeout_s=settings.hl7_idle_timeout_s,
            message_timeout_s=settings.hl7_message_timeout_s,
            messages_per_s=settings.hl7_messages_per_s,
        ),
        tls=(
            tls_context(certificate, settings.hl7_tls_key, settings.hl7_tls_client_ca)
            if certificate
            else None
        ),
    )


def console_is_installed() -> bool:
    """Whether what the console needs is there (extra ``console``)."""
    return all(find_spec(name) is not None for name in ("fastapi", "uvicorn", "jinja2", "argon2"))


def tell_share_of_cores(settings: Settings, *, processes: int) -> None:
    """Leave word for a pool's processes, which read their settings anew after the fork."""
    os.environ["PULMONODE_THREADS"] = str(threads_for(settings, processes=processes))


def run_all(
    settings: Settings,
    *,
    analysers: int = 1,
    ready: Callable[[], None] | None = None,
    analysing: str = COMMAND,
) -> None:
    """Run broker, node, workers, console and HL7 port on this machine until SIGTERM or SIGINT.

    A process that dies is started again; jobs that it held come back by their leases. While
    the database is away, the node already receives.

    Parameters
    ----------
    analysers : int
        Analyses at the same time.
    ready : callable, optional
        Called once, when all were started.
    analysing : str
        Module that is run as the worker that analyses.
    """
    if not settings.calling_ae_titles:
        raise NobodyAllowed
    guard_service()
    hold_folder(settings.data_dir)
    migrated = _migrate(settings)
    stop = _stop_on_signal()
    broker = None if settings.broker_url else EmbeddedBroker(settings.data_dir / "broker")
    if broker is not None:
        broker.start()
    url = broker.url if broker else settings.broker_url or ""
    children = _children(settings, url, analysers, analysing)
    try:
        for child in children:
            child.keep_running()
        if ready is not None:
            ready()
        while not stop.wait(LOOK_S):
            migrated = migrated or _migrate(settings)
            if broker is not None:
                broker.keep_running()
            for child in children:
                child.keep_running()
    finally:
        stop_children(children)
        if broker is not None:
            broker.stop()


def _migrate(settings: Settings) -> bool:
    """Bring the database to this release's schema; False while it is away."""
    database = Database(settings.database_url)
    try:
        database.migrate()
    except DATABASE_AWAY as error:
        log.error("database_unreachable", error=type(error).__name__)
        return False
    finally:
        database.close()
    return True


def _children(
    settings: Settings, url: str, analysers: int, analysing: str = COMMAND
) -> list[Child]:
    environment = {
        "PULMONODE_BROKER_URL": url,
        "PULMONODE_DATA_DIR": str(settings.data_dir),
    }
    commands: dict[str, tuple[str, ...]] = {
        "node": ("node",),
        ANALYSE: ("worker", "--queues", ANALYSE, "--concurrency", str(analysers)),
        "deliver": ("worker", "--queues", f"{DELIVER},{MAINTAIN}", "--concurrency", "8"),
    }
    if settings.hl7_port is not None:
        commands["hl7"] = ("hl7",)
    if settings.console_enabled:
        if console_is_installed():
            commands["console"] = ("console",)
        else:
            log.warning("console_not_installed", process="console")
    return [
        Child(
            name=name,
            arguments=arguments,
            module=analysing if name == ANALYSE else COMMAND,
            environment=environment,
        )
        for name, arguments in commands.items()
    ]


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
