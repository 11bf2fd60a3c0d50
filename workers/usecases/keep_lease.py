"""A lease that is renewed in the background for as long as the work takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from workers.application import Application
from workers.errors import LeaseLost
from workers.state.database import DATABASE_AWAY
from workers.state.jobs import Lease, renew
from workers.state.schema import Delivery, Job

log = structlog.get_logger()


@contextmanager
def keep_lease(app: Application, table: type[Job] | type[Delivery], lease: Lease) -> Iterator[None]:
    """Renew a lease in the background for the length of a ``with`` block.

    A lease that is lost is noticed when the outcome is written, never here.
    """
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(app.settings.lease_s / 4):
            try:
                until = app.now() + app.settings.lease_s
                with app.database.write() as session:
                    renew(session, table, lease, until=until)
            except LeaseLost:
                return
            except DATABASE_AWAY as error:
                # A busy database: three more beats come before the lease runs out.
                log.warning("lease_not_renewed", error=type(error).__name__)

    thread = threading.Thread(target=beat, name=f"lease-{lease.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
