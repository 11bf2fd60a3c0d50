"""The Celery tasks: each wakes one use case and handles nothing but the queue."""

from __future__ import annotations

from functools import cache

import structlog
from celery import shared_task

from workers.application import Application, open_application
from workers.settings import Settings
from workers.usecases.confirm import expire_commitments
from workers.usecases.deliver import deliver_one
from workers.usecases.record import record_due
from workers.usecases.share_settings import with_site_settings
from workers.usecases.take_facts import take_facts

log = structlog.get_logger()


@cache
def _opened() -> Application:
    """The process's application, opened at the first task (after any fork)."""
    return open_application(Settings(), check=False)  # the worker looked when it started


def _application() -> Application:
    """The same, under the site's settings of this moment.

    Raises
    ------
    SchemaMismatch
        If the database was upgraded under this worker: it must not write by an older schema.
    """
    opened = _opened()
    opened.database.check_number()
    return with_site_settings(opened)


@shared_task(name="workers.tasks.analyse")
def analyse() -> None:
    """Analyse the most urgent due job; pass the hint on while there may be more."""
    from workers.usecases.analyse import analyse_next  # here: other queues need no images

    try:
        job_id = analyse_next(_application())
    except Exception:
        log.exception("analyse_task_failed")  # the lease runs out and the job is taken again
        raise
    if job_id is not None:
        analyse.delay()


@shared_task(name="workers.tasks.deliver")
def deliver(delivery_id: int) -> None:
    """Attempt one delivery."""
    try:
        deliver_one(_application(), delivery_id)
    except Exception:
        log.exception("deliver_task_failed", delivery_id=delivery_id)
        raise


@shared_task(name="workers.tasks.maintain")
def maintain() -> None:
    """Send again what no destination confirmed in time; keep records, and count results."""
    app = _application()
    expire_commitments(app, now=app.now())
    record_due(app)
    take_facts(app)
