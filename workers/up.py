"""`pulmonode up`: broker, node, workers, console and HL7 port on this machine, kept running.

Each is a process of its own (`workers.roles`); this one loads nothing that they need.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import structlog

from dicom_node.errors import NobodyAllowed
from workers.broker import ANALYSE, DELIVER, MAINTAIN, EmbeddedBroker
from workers.log import guard_service
from workers.settings import Settings
from workers.state.database import DATABASE_AWAY, Database
from workers.supervisor import (
    COMMAND,
    LOOK_S,
    Child,
    hold_folder,
    stop_children,
    stop_on_signal,
)

log = structlog.get_logger()


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
    stop = stop_on_signal()
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


def console_is_installed() -> bool:
    """Whether what the console needs is there (extra ``console``)."""
    return all(find_spec(name) is not None for name in ("fastapi", "uvicorn", "jinja2", "argon2"))
