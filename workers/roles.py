"""The processes: node, worker, and all of them in one (`pulmonode up`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from dicom_node.errors import NobodyAllowed
from workers.application import open_application
from workers.broker import EmbeddedBroker
from workers.celery_app import ANALYSE, DELIVER, MAINTAIN, Hinter, run_celery_worker
from workers.errors import NoBroker
from workers.node import Node
from workers.settings import Settings

log = structlog.get_logger()

LOOK_S = 1.0
STOP_GRACE_S = 20.0
RESTART_PAUSE_S = 2.0


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
    """Run the node until SIGTERM or SIGINT."""
    hinter = Hinter(broker_url(settings))
    node = Node(open_application(settings), hinter)
    stop = _stop_on_signal()
    node.start()
    try:
        while not stop.wait(LOOK_S):
            if not node.is_alive():
                raise RuntimeError("a loop of the node died: see the log above")
    finally:
        node.stop()


def run_worker(settings: Settings, queues: tuple[str, ...], concurrency: int) -> None:
    """Run a worker for some queues until SIGTERM or SIGINT."""
    open_application(settings).database.close()
    run_celery_worker(
        broker_url(settings),
        queues,
        concurrency=concurrency,
        analyse_limit_s=settings.analyse_limit_s,
    )


@dataclass(slots=True)
class _Child:
    name: str
    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    not_before: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)

    def keep_running(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None:
            log.error("process_died", process=self.name, outcome=str(self.process.returncode))
            self.process = None
            self.restarts += 1
            self.not_before = time.monotonic() + min(60.0, RESTART_PAUSE_S * self.restarts)
        if time.monotonic() >= self.not_before:
            command = [sys.executable, "-m", "workers.cli.main", *self.arguments]
            self.process = subprocess.Popen(command, env={**os.environ, **self.environment})


def run_all(
    settings: Settings, *, analysers: int = 1, ready: Callable[[], None] | None = None
) -> None:
    """Run broker, node and workers on this machine until SIGTERM or SIGINT.

    A process that dies is started again; jobs that it held come back by their leases.
    """
    if not settings.calling_ae_titles:
        raise NobodyAllowed
    open_application(settings, migrate=True).database.close()
    stop = _stop_on_signal()
    broker = None if settings.broker_url else EmbeddedBroker(settings.data_dir / "broker")
    if broker is not None:
        broker.start()
    url = broker.url if broker is not None else settings.broker_url or ""
    environment = {
        "PULMONODE_BROKER_URL": url,
        "PULMONODE_DATA_DIR": str(settings.data_dir),
    }
    children = [
        _Child("node", ("node",), environment=environment),
        _Child(
            "analyse",
            ("worker", "--queues", ANALYSE, "--concurrency", str(analysers)),
            environment=environment,
        ),
        _Child(
            "deliver",
            ("worker", "--queues", f"{DELIVER},{MAINTAIN}", "--concurrency", "4"),
            environment=environment,
        ),
    ]
    try:
        for child in children:
            child.keep_running()
        if ready is not None:
            ready()
        while not stop.wait(LOOK_S):
            if broker is not None and not broker.is_running():
                log.error("process_died", process="broker")
                broker.restart()
            for child in children:
                child.keep_running()
    finally:
        _stop_children(children)
        if broker is not None:
            broker.stop()


def _stop_children(children: list[_Child]) -> None:
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_GRACE_S
    for process in running:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
