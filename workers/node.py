"""The node process: SCP, indexing, assembly and hints. No torch is loaded here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog
from sqlalchemy.exc import OperationalError

from dicom_node.errors import SpoolError
from dicom_node.read.eligibility import RuleSet, load_rules
from dicom_node.receive.commitment import CommitmentReport
from dicom_node.receive.scp import ANY_CALLING_AE, ScpSettings, StorageScp
from dicom_node.receive.spool import StoredInstance
from workers import clock
from workers.application import Application
from workers.settings import Settings
from workers.usecases.assemble import assemble_due, queue_due
from workers.usecases.confirm import record_commitment
from workers.usecases.index import index_inbox
from workers.usecases.recover import Hints, due_hints, expire_leases

log = structlog.get_logger()

MAINTAIN_EVERY_S = 30.0


def scp_settings(settings: Settings) -> ScpSettings:
    """How the SCP listens; destinations may call us too, with their commitment results."""
    allowed = settings.calling_ae_titles
    if allowed and ANY_CALLING_AE not in allowed:
        reporting = tuple(item.ae_title for item in settings.destinations)
        allowed = tuple(dict.fromkeys((*allowed, *reporting)))
    elif ANY_CALLING_AE in allowed:
        allowed = (ANY_CALLING_AE,)
    return ScpSettings(
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.dicom_port,
        calling_ae_titles=allowed,
        maximum_associations=settings.maximum_associations,
        network_timeout_s=settings.network_timeout_s,
    )


class Node:
    """The running node.

    Parameters
    ----------
    app : Application
        What it works with.
    give_hints : callable
        Tells the workers that there is work; a failure is repeated later.
    """

    def __init__(self, app: Application, give_hints: Callable[[Hints], None]) -> None:
        self._app = app
        self._give_hints = give_hints
        self._rules: RuleSet = load_rules(app.settings.rules_file)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._maintain_at = 0.0
        self.scp = StorageScp(
            scp_settings(app.settings),
            app.spool,
            on_stored=self._stored,
            on_commitment=self._commitment,
        )

    def start(self) -> None:
        """Index what an earlier run left, then listen."""
        self._app.spool.discard_partial()
        index_inbox(self._app)
        self.scp.start()
        for name, loop in (("index", self._index_loop), ("tick", self._tick_loop)):
            thread = threading.Thread(target=loop, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        log.info("node_started", port=self.scp.port)

    def stop(self) -> None:
        """Stop listening and finish what is being written."""
        self.scp.stop()
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=30)
        log.info("node_stopped")

    def is_alive(self) -> bool:
        """Tell whether every loop runs."""
        return all(thread.is_alive() for thread in self._threads)

    def _stored(self, _instance: StoredInstance) -> None:
        self._wake.set()

    def _commitment(self, report: CommitmentReport) -> None:
        record_commitment(self._app, report)

    def _index_loop(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(timeout=self._app.settings.tick_s)
            self._wake.clear()
            try:
                index_inbox(self._app)
            except (OperationalError, SpoolError, OSError) as error:
                # The files stay in the inbox: nothing is lost, only late.
                log.error("index_delayed", error=type(error).__name__, reason=str(error)[:200])
                self._stop.wait(self._app.settings.tick_s)

    def _tick_loop(self) -> None:
        while not self._stop.wait(self._app.settings.tick_s):
            try:
                self.tick()
            except (OperationalError, OSError) as error:
                log.error("tick_delayed", error=type(error).__name__, reason=str(error)[:200])

    def tick(self) -> None:
        """Look around once: complete series, queue them, take back, and hint."""
        now = clock.now()
        assemble_due(self._app, self._rules, now=now)
        queue_due(self._app, now=now)
        expire_leases(self._app, now=now)
        hints = due_hints(self._app, now=now)
        maintain = now >= self._maintain_at
        if maintain:
            self._maintain_at = now + MAINTAIN_EVERY_S
        if hints.analyses or hints.delivery_ids or maintain:
            self._give_hints(replace(hints, maintain=maintain))
