"""The node process: SCP, indexing, assembly, questions to the PACS, and hints.

Each has a loop of its own, so that a dead broker, a slow PACS or a store that does not answer
delays nothing but itself. Receiving needs none of them. No torch is loaded here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import structlog

from dicom_node.barriers import Barrier, reach
from dicom_node.errors import SpoolError
from dicom_node.read.eligibility import RuleSet, load_rules
from dicom_node.receive.arriving_file import StoredInstance
from dicom_node.receive.commitment import CommitmentReport
from dicom_node.receive.scp import ANY_CALLING_AE, ScpSettings, StorageScp
from workers.application import Application
from workers.audit_trail.follow import follow
from workers.audit_trail.trail import tell_refused
from workers.errors import BrokerUnavailable, StoreUnavailable
from workers.metrics.node import NodeFigures
from workers.notify.notifier import Notifier
from workers.peer_settings import DestinationSettings
from workers.profiles import profiles_in_use
from workers.settings import Settings
from workers.state.alarms import (
    BROKER_UNREACHABLE,
    DATABASE_UNREACHABLE,
    NODE_LOOP_FAILS,
    STORE_UNREACHABLE,
)
from workers.state.database import DATABASE_AWAY, SchemaMismatch
from workers.usecases.ask import ask_due
from workers.usecases.assemble import assemble_due, queue_due
from workers.usecases.begin_deliveries import release_by_mode
from workers.usecases.confirm import expire_commitments, record_commitment
from workers.usecases.index import index_inbox, newest_arrival_ns
from workers.usecases.notice import give_notice_due
from workers.usecases.prune import prune
from workers.usecases.prune_context import prune_context
from workers.usecases.recover import Hints, due_hints, expire_leases, forget_hints
from workers.usecases.revise_for_context import revise_for_context
from workers.usecases.share_settings import publish_settings
from workers.usecases.take_answers import take_answers
from workers.usecases.take_messages import take_messages
from workers.usecases.waiting import Waiting
from workers.usecases.watch_destinations import watch_destinations
from workers.usecases.watch_workers import watch_workers
from workers.watch import Watch

log = structlog.get_logger()

MAINTAIN_EVERY_S = 30.0
WATCH_EVERY_TICKS = 5
LOOK_AT_SCHEMA_EVERY_S = 30.0
PRUNE_EVERY_TICKS = 300
LOG_DELAY_AGAIN_S = 30.0


def scp_settings(settings: Settings) -> ScpSettings:
    """How the SCP listens; destinations may call us too, with their commitment results."""
    allowed = settings.calling_ae_titles
    if allowed and ANY_CALLING_AE not in allowed:
        reporting = tuple(
            item.ae_title for item in settings.destinations if isinstance(item, DestinationSettings)
        )
        allowed = tuple(dict.fromkeys((*allowed, *reporting)))
    elif ANY_CALLING_AE in allowed:
        allowed = (ANY_CALLING_AE,)
    return ScpSettings(
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.dicom_port,
        calling_ae_titles=allowed,
        network_timeout_s=settings.network_timeout_s,
        limits=settings.receive_limits(settings.maximum_associations),
        tls=settings.tls_listening(),
        plain=settings.dicom_plain,
    )


class Node:
    """The running node.

    Parameters
    ----------
    app : Application
        What it works with.
    give_hints : callable
        Tells the workers that there is work; raises `BrokerUnavailable` when it cannot.
    """

    def __init__(self, app: Application, give_hints: Callable[[Hints], None]) -> None:
        self._app = app
        self._give_hints = give_hints
        self._rules: RuleSet = load_rules(app.settings.rules_file)
        profiles_in_use(app.settings)  # a wrong one is said now, not by the first result
        self._watch = Watch(app)
        self._notifier = Notifier(app, self._watch.unwritten)
        self._waiting = Waiting()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._schema_known = False
        self._look_at_schema_at = 0.0
        self._quiet_until: dict[str, float] = {}
        self._threads: list[threading.Thread] = []
        self._maintain_at = 0.0
        self._figures: NodeFigures | None = None
        self.scp = StorageScp(
            scp_settings(app.settings),
            app.spool,
            on_stored=self._stored,
            on_commitment=self._commitment,
            on_rejected=self._rejected,
        )

    def start(self) -> None:
        """Listen, and begin with what an earlier run left in the inbox.

        Raises
        ------
        SchemaMismatch
            If the database answers and is at another version. One that does not answer is
            waited for: instances are received and durable without it.
        """
        self._app.spool.discard_partial()
        try:
            self._app.database.check_version()
        except DATABASE_AWAY as error:
            log.error("database_unreachable", error=type(error).__name__)
        self.scp.start()
        self._figures = NodeFigures(self._app, self.scp)
        for name, loop in (
            ("index", self._index),
            ("tick", self.tick),
            ("ask", lambda: ask_due(self._app)),
            ("context", self._context),
            ("hint", self._hint),
            ("audit", lambda: follow(self._app)),
        ):
            self._run(name, self._loop, partial(self._when_ready, loop))
        prune_due = partial(self._when_ready, self._prune)
        self._run("prune", self._loop, prune_due, PRUNE_EVERY_TICKS)
        self._run("watch", self._loop, self._look, WATCH_EVERY_TICKS)
        self._run("notify", self._loop, self._notify, WATCH_EVERY_TICKS)
        log.info("node_started", port=self.scp.port)

    def _run(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, name=name, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Stop listening and finish what is being written."""
        self.scp.stop()
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=30)
        if self._figures is not None:
            self._figures.stop()
        log.info("node_stopped")

    def is_alive(self) -> bool:
        """Tell whether every loop runs."""
        return all(thread.is_alive() for thread in self._threads)

    def _stored(self, _instance: StoredInstance) -> None:
        self._wake.set()

    def _rejected(self, calling_ae_title: str, address: str) -> None:
        tell_refused(self._app.settings, calling_ae_title, address, "AE title is not allowed")

    def _commitment(self, report: CommitmentReport) -> None:
        record_commitment(self._app, report)

    def _loop(self, work: Callable[[], object], every_ticks: int = 1) -> None:
        """Do something again and again; what fails is logged, watched and tried again."""
        while not self._stop.wait(self._app.settings.tick_s * every_ticks):
            try:
                work()
            except DATABASE_AWAY as error:
                self._watch.failed(DATABASE_UNREACHABLE, error)
                self._log_delay(error)
            except StoreUnavailable as error:
                self._watch.failed(STORE_UNREACHABLE, error)
                self._log_delay(error)
            except (SpoolError, OSError) as error:
                self._watch.failed(NODE_LOOP_FAILS, error)
                self._log_delay(error)
            # Whatever nobody foresaw in one loop's work must not end the loop, and with it the
            # port at which instances are received: it is told, as an alarm when it lasts.
            except Exception as error:
                self._watch.failed(NODE_LOOP_FAILS, error)
                if self._may_log():
                    log.exception("node_loop_fails", subject=threading.current_thread().name)

    def _when_ready(self, work: Callable[[], object]) -> None:
        if self._ready():
            work()
            self._passed()

    def _passed(self) -> None:
        """Say that this loop's work was done: what failed in it before is over."""
        for code in (DATABASE_UNREACHABLE, STORE_UNREACHABLE, NODE_LOOP_FAILS):
            self._watch.worked(code)

    def _may_log(self) -> bool:
        """Whether this loop's last complaint is some time ago."""
        loop = threading.current_thread().name
        if time.monotonic() < self._quiet_until.get(loop, 0.0):
            return False
        self._quiet_until[loop] = time.monotonic() + LOG_DELAY_AGAIN_S
        return True

    def _log_delay(self, error: BaseException) -> None:
        """Say, now and then, that work stays where it is: nothing is lost, only late."""
        if self._may_log():
            log.error(
                f"{threading.current_thread().name}_delayed",
                error=type(error).__name__,
                reason=str(error).partition("\n")[0][:200],
            )

    def _ready(self) -> bool:
        """Whether the database has this release's schema; asked until it has, and now and then."""
        if self._schema_known and time.monotonic() >= self._look_at_schema_at:
            self._look_at_schema_at = time.monotonic() + LOOK_AT_SCHEMA_EVERY_S
            try:
                self._app.database.check_number()
            except SchemaMismatch as error:  # another machine upgraded it
                log.error("schema_mismatch", reason=str(error))
                self._schema_known = False
        if not self._schema_known:
            try:
                self._app.database.check_version()
            except SchemaMismatch as error:
                log.error("schema_mismatch", reason=str(error))
                return False
            publish_settings(self._app)
            self._app.spool.begin_after(newest_arrival_ns(self._app))
            self._schema_known = True
        return True

    def _index(self) -> None:
        self._wake.clear()
        index_inbox(self._app)
        while self._wake.wait(timeout=self._app.settings.tick_s) and not self._stop.is_set():
            self._passed()
            self._wake.clear()
            index_inbox(self._app)

    def _prune(self) -> None:
        prune(self._app)
        prune_context(self._app)

    def tick(self) -> None:
        """Look around once: complete series, queue them, take back what dead workers hold."""
        now = self._app.now()
        assemble_due(self._app, self._rules, now=now, waiting=self._waiting)
        queue_due(self._app, now=now)
        give_notice_due(self._app, self._rules, now=now)
        expire_leases(self._app, now=now)
        expire_commitments(self._app, now=now)
        take_answers(self._app)
        release_by_mode(self._app, now=now)
        watch_destinations(self._app, now=now)
        watch_workers(self._app, now=now)

    def _context(self) -> None:
        """What HL7 and FHIR said becomes known; results that lack it are looked for."""
        while take_messages(self._app) and not self._stop.is_set():
            pass
        revise_for_context(self._app, now=self._app.now())

    def _hint(self) -> None:
        now = self._app.now()
        maintain = not self._maintain_at <= now < self._maintain_at + MAINTAIN_EVERY_S
        hints = due_hints(self._app, now=now, maintain=maintain)
        if not hints:
            return
        reach(Barrier.HINT_BEFORE_SEND)
        try:
            self._give_hints(hints)
        except BrokerUnavailable as error:
            self._watch.failed(BROKER_UNREACHABLE, error)
            log.error("broker_unreachable", error=error.why)
            forget_hints(self._app, hints)
            return
        self._watch.worked(BROKER_UNREACHABLE)
        if maintain:
            self._maintain_at = now

    def _notify(self) -> None:
        self._notifier.look()
        self._watch.worked(NODE_LOOP_FAILS)

    def _look(self) -> None:
        self._watch.look()
        self._watch.worked(NODE_LOOP_FAILS)
