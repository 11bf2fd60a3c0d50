"""Workers say that they live, and what they compute on; whoever fell silent is not counted.

The state database is asked, not the broker: a worker that cannot reach the database cannot work.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.state.database import DATABASE_AWAY
from workers.state.worker_tables import Worker
from workers.usecases.share_settings import with_site_settings

log = structlog.get_logger()

SERVED = ("analyse", "deliver", "maintain")
"""The queues."""
SILENT_BEATS = 3
"""So many heartbeats (PULMONODE_HEARTBEAT_S) of silence, and a worker counts as gone."""
FORGET_S = 86_400.0


def worker_name(pid: int) -> str:
    """Name of this host's worker with this process number."""
    return f"{socket.gethostname()}:{pid}"


def tell_alive(
    app: Application, pid: int, queues: Sequence[str], processes: int, *, stopped: bool = False
) -> None:
    """Write down that the worker lives, or that it stops in good order."""
    now = app.now()
    with app.database.write() as session:
        session.execute(delete(Worker).where(Worker.seen_at < now - FORGET_S))
        row = session.get(Worker, worker_name(pid))
        if row is None:
            row = Worker(
                name=worker_name(pid),
                host=socket.gethostname()[:100],
                pid=pid,
                version=version("pulmonode"),
                started_at=now,
            )
            session.add(row)
        row.queues = list(queues)
        row.processes = processes
        row.seen_at = now
        row.stopped_at = now if stopped else None


def tell_device(app: Application, pid: int, device: str) -> None:
    """Write down what the worker's last analysis ran on, and the memory of its GPU.

    Left out while the database is away: the analysis has ended by now, and must not fail by this.
    """
    gpu = _gpu_memory(device)
    try:
        with app.database.write() as session:
            row = session.get(Worker, worker_name(pid))
            if row is None:
                return
            row.device = device[:32]
            if gpu is not None:
                row.gpu_name, row.gpu_used_bytes, row.gpu_memory_bytes = gpu
    except DATABASE_AWAY as error:
        log.warning("device_not_told", error=type(error).__name__)


def _gpu_memory(device: str) -> tuple[str, int, int] | None:
    """(Name, bytes used by anybody, bytes in all) of a CUDA device that this process uses."""
    if not device.startswith("cuda"):
        return None
    import torch  # here, because deliveries run without it

    free, total = torch.cuda.mem_get_info(device)
    return torch.cuda.get_device_name(device)[:64], total - free, total


def workers_alive(session: Session, *, now: float, heartbeat_s: float) -> Sequence[Worker]:
    """Workers that were heard of lately and have not said good-bye."""
    return session.scalars(
        select(Worker)
        .where(Worker.seen_at >= now - SILENT_BEATS * heartbeat_s, Worker.stopped_at.is_(None))
        .order_by(Worker.name)
    ).all()


class Heartbeat:
    """Tells in the background that this worker lives, until it stops.

    Connections are closed after each beat: the worker forks, and a child must inherit none.

    Parameters
    ----------
    open_app : callable
        Opens what the beats go through.
    after : callable
        Called after each beat, with the application under the site's settings.
    """

    def __init__(
        self,
        open_app: Callable[[], Application],
        queues: Sequence[str],
        processes: int,
        after: Callable[[Application], None] = lambda _app: None,
    ) -> None:
        self._open_app = open_app
        self._queues = tuple(queues)
        self._processes = processes
        self._after = after
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin, with one beat at once."""
        self._thread.start()

    def stop(self) -> None:
        """Say good-bye."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        app = self._open_app()
        pause_s = app.settings.heartbeat_s
        last = False
        while not last:
            last = self._stop.is_set()
            try:
                tell_alive(app, os.getpid(), self._queues, self._processes, stopped=last)
                site = with_site_settings(app)
                pause_s = site.settings.heartbeat_s
                self._after(site)
            except DATABASE_AWAY as error:
                log.warning("heartbeat_missed", error=type(error).__name__)
            finally:
                app.database.close()
            if not last:
                self._stop.wait(pause_s)
