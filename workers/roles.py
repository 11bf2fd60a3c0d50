"""The processes: node, worker, console, HL7 port; `workers.up` runs all of them."""

from __future__ import annotations

import os
from functools import partial

import structlog

from workers.application import open_application
from workers.audit_trail.process import audited
from workers.broker import ANALYSE
from workers.celery_app import Hinter, run_celery_worker
from workers.compute import threads_for
from workers.context.hl7_receive import Receiver
from workers.context.inbox import MessageInbox
from workers.context.mllp import MllpLimits, MllpListener, tls_context
from workers.errors import NoBroker
from workers.heaps import share_heaps
from workers.hl7_settings import HL7_PORT
from workers.log import guard_service
from workers.metrics import observe
from workers.metrics.endpoint import metrics_port, serve_metrics
from workers.metrics.registry import OwnFigures
from workers.metrics.worker import WorkerFigures
from workers.node import Node
from workers.settings import Settings
from workers.supervisor import (
    LOOK_S,
    SUPERVISOR_PID,
    end_with_supervisor,
    hold_folder,
    stop_on_signal,
)
from workers.usecases.heartbeat import Heartbeat
from workers.usecases.reindex import knows_no_job, warn_of_loss
from workers.usecases.share_settings import with_site_settings
from workers.usecases.take_upload import accept_policy

log = structlog.get_logger()


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
    share_heaps()
    end_with_supervisor()
    if SUPERVISOR_PID not in os.environ:  # else `pulmonode up` holds it
        hold_folder(settings.data_dir)
    hinter = Hinter(broker_url(settings))
    # The database may be away: instances are received and durable without it.
    app = open_application(settings, check=False)
    node = Node(app, hinter)
    stop = stop_on_signal()
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
    if ANALYSE not in queues:  # numerical libraries keep to their own
        share_heaps()
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
    share_heaps()
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
    guard_service()
    share_heaps()
    end_with_supervisor()
    listener = open_hl7(settings)
    stop = stop_on_signal()
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


def tell_share_of_cores(settings: Settings, *, processes: int) -> None:
    """Leave word for a pool's processes, which read their settings anew after the fork."""
    os.environ["PULMONODE_THREADS"] = str(threads_for(settings, processes=processes))
