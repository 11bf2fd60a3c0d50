"""The Celery application: hints over the broker, nothing else.

A message says that there may be work; the state database says whether there is. Losing,
doubling or delaying a message therefore changes nothing but the time of the answer.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.transport import redis as transport
from redis.exceptions import RedisError

from workers.broker import ANALYSE, DELIVER, MAINTAIN
from workers.errors import BrokerUnavailable
from workers.usecases.recover import Hints

VISIBILITY_MARGIN_S = 600
KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}


class CreditKeepingQoS(transport.QoS):
    """Counts a message that could not be acknowledged as done all the same.

    kombu takes the next message only while fewer than the prefetch count are open, and never
    closes one whose acknowledgement failed on a dead connection: after one cut wire at the
    wrong moment a worker with one process would take nothing again, for ever, and look well.
    The broker gives such a message out once more, which is harmless.
    """

    def ack(self, delivery_tag: Any) -> None:
        """Acknowledge, and have room for another message whatever came of it."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        finally:
            self._quick_ack(delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Reject, and have room for another message whatever came of it."""
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        finally:
            self._quick_ack(delivery_tag)


def make_celery(broker_url: str, *, analyse_limit_s: int = 1800) -> Celery:
    """Configure Celery.

    Parameters
    ----------
    broker_url : str
        Redis or Valkey URL.
    analyse_limit_s : int
        Hard limit of one task; the broker may redeliver an unacknowledged message only well
        after it, else a long analysis would be hinted at twice.
    """
    transport.Channel.QoS = CreditKeepingQoS  # there is no setting for it
    app = Celery("pulmonode", broker=broker_url, include=["workers.tasks"])
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=False,  # the lease brings the job back, with its count
        worker_prefetch_multiplier=1,
        # Each with an exchange and key of its own: by default all three would share one.
        task_queues=[
            Queue(name, Exchange(name), routing_key=name) for name in (ANALYSE, DELIVER, MAINTAIN)
        ],
        task_default_queue=MAINTAIN,
        task_routes={
            "workers.tasks.analyse": {"queue": ANALYSE},
            "workers.tasks.deliver": {"queue": DELIVER},
            "workers.tasks.maintain": {"queue": MAINTAIN},
        },
        task_time_limit=analyse_limit_s,
        broker_transport_options={
            "visibility_timeout": analyse_limit_s + VISIBILITY_MARGIN_S,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            # A broker behind a cut wire is given up instead of being listened to for ever.
            "socket_keepalive": True,
            "socket_keepalive_options": KEEPALIVE,
            "health_check_interval": 10,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=True,
        task_publish_retry=False,
    )
    return app


class Hinter:
    """Sends hints; what the broker does not take is simply given again."""

    def __init__(self, broker_url: str) -> None:
        self._celery = make_celery(broker_url)

    def __call__(self, hints: Hints) -> None:
        """Wake workers for the due work.

        Raises
        ------
        BrokerUnavailable
            If not every hint was taken.
        """
        try:
            for _ in hints.job_ids:
                self._celery.send_task("workers.tasks.analyse")
            for delivery_id in hints.delivery_ids:
                self._celery.send_task("workers.tasks.deliver", args=[delivery_id])
            if hints.maintain:
                self._celery.send_task("workers.tasks.maintain")
        except (OperationalError, OSError, RedisError) as error:
            raise BrokerUnavailable(type(error).__name__) from error


def run_celery_worker(
    broker_url: str, queues: tuple[str, ...], *, concurrency: int, analyse_limit_s: int
) -> None:
    """Run a Celery worker until SIGTERM or SIGINT.

    Analyses get a process of their own each (memory goes back, the hard limit can be kept);
    deliveries wait for the network most of the time and share threads.
    """
    pool = "threads"
    if ANALYSE in queues:
        pool = "prefork"
        import workers.usecases.analyse  # noqa: F401 - before the fork, once for all processes
    setup_logging.connect(_leave_logging, weak=False)
    make_celery(broker_url, analyse_limit_s=analyse_limit_s).worker_main(
        [
            "--quiet",  # no banner between the log's lines
            "worker",
            f"--queues={','.join(queues)}",
            f"--pool={pool}",
            f"--concurrency={concurrency}",
            "--loglevel=WARNING",
            f"--hostname={'-'.join(queues)}-{os.getpid()}@%h",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _leave_logging(**_: Any) -> None:
    """Keep Celery from setting up logging: what it says goes through workers/log.py."""


def broker_answers(broker_url: str) -> str | None:
    """Try the broker; returns what is wrong, or `None`."""
    try:
        with make_celery(broker_url).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
    except (OperationalError, OSError) as error:
        return str(error)
    return None
