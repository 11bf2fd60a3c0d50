"""Every cell of the fault matrix: what breaks, at which stage, and on which servers.

A cell breaks something while one series goes through the service, and mends it as an
administrator or time would. What must be true afterwards is the same for all of them
(`tests.faults.verdict`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dicom_node.barriers import Barrier
from dicom_node.mini_pacs import CommitmentReply
from tests.faults.strikes import (
    OUTAGE_S,
    SLOW_S,
    aborts,
    answered_late,
    broken_from,
    clock_jump,
    clock_put_right,
    doubled_messages,
    fill_disk,
    free_disk,
    freeze_store,
    locked,
    nothing,
    probes,
    read_only,
    refused_for_good,
    restored_after_result,
    restored_database,
    set_to,
    start_broker,
    start_database,
    start_pacs,
    statuses,
    statuses_were_answered,
    stop_broker,
    stop_database,
    stop_pacs,
    strike,
    thaw_store,
    throughout,
    tried_again,
    until_tried,
    warnings_were_noted,
    while_held,
    whole_worker,
    writable,
)
from tests.faults.system import EMBEDDED, SERVERS, SMALL_DISK, Sending, System
from workers.state.alarms import (
    BROKER_UNREACHABLE,
    DATABASE_UNREACHABLE,
    DESTINATION_SILENT,
    JOB_STOPPED,
    NOT_CONFIRMED,
    SPOOL_REFUSES,
    STORE_UNREACHABLE,
)

B = Barrier
Run = Callable[[System, list[Path]], Sending]
BOTH = (EMBEDDED, SERVERS)
FROZEN_S = 100.0
"""A store that does not answer is given up after 25 s, and looked at again for as long."""
LOCKED_S = 40.0


@dataclass(frozen=True)
class Cell:
    """One fault at one stage."""

    fault: str
    stage: str
    kind: str
    run: Run
    barrier: B | None = None
    alarm: str | None = None
    """Code that has to be raised: a person is needed."""
    proof: Callable[[System, dict[str, Any]], bool] | None = None
    """Tells from the PACS and from the job as shown whether the fault did something."""
    smoke: bool = False

    def __str__(self) -> str:
        return f"{self.kind}-{self.fault}-{self.stage}".replace(" ", "_")


# The matrix ------------------------------------------------------------------------------

STAGES = {
    B.SPOOL_FSYNC: "receive", B.SPOOL_DURABLE: "receive",
    B.INDEX_BEFORE_COMMIT: "index", B.INDEX_COMMITTED: "index", B.STORE_KEPT: "index",
    B.QUEUE_BEFORE_COMMIT: "assemble", B.HINT_BEFORE_SEND: "assemble",
    B.ANALYSE_TAKEN: "analyse", B.ANALYSE_COMPOSED: "analyse",
    B.ANALYSE_BEFORE_COMMIT: "analyse", B.ANALYSE_COMMITTED: "analyse",
    B.DELIVER_TAKEN: "deliver", B.DELIVER_BETWEEN_OBJECTS: "deliver",
    B.DELIVER_ACKNOWLEDGED: "deliver", B.COMMITMENT_REGISTERED: "deliver",
    B.DELIVER_BEFORE_COMMIT: "deliver", B.COMMITMENT_BEFORE_COMMIT: "confirm",
}  # fmt: skip
PROCESS = {"receive": "node", "index": "node", "assemble": "node", "analyse": "analysis",
           "deliver": "delivery", "confirm": "node"}  # fmt: skip
SMOKE_KILLS = {B.SPOOL_DURABLE, B.INDEX_COMMITTED, B.ANALYSE_BEFORE_COMMIT, B.DELIVER_ACKNOWLEDGED}


def _at(barrier: B) -> str:
    words = str(barrier).replace("_", " ")
    return f"{STAGES[barrier]}: {words}"


def kills() -> Iterator[Cell]:
    for barrier, stage in STAGES.items():
        for kind in BOTH:
            fault = f"kill -9 of the {PROCESS[stage]} process"
            run = partial(strike, barrier, "kill", "")
            smoke = kind == EMBEDDED and barrier in SMOKE_KILLS
            yield Cell(fault, _at(barrier), kind, run, barrier, smoke=smoke)
    for barrier in (B.ANALYSE_TAKEN, B.ANALYSE_COMPOSED, B.ANALYSE_BEFORE_COMMIT):
        run = partial(while_held, barrier, whole_worker)
        yield Cell("kill -9 of worker and analysis", _at(barrier), EMBEDDED, run, barrier)
    for barrier in (B.SPOOL_DURABLE, B.ANALYSE_COMPOSED, B.DELIVER_BETWEEN_OBJECTS):
        for kind in BOTH:
            run = partial(while_held, barrier, System.power_cut)
            smoke = kind == EMBEDDED and barrier is B.ANALYSE_COMPOSED
            yield Cell("power cut: kill -9 of everything", _at(barrier), kind, run, barrier,
                       smoke=smoke)  # fmt: skip
    run = partial(while_held, B.ANALYSE_TAKEN, System.kill_supervisor)
    yield Cell("kill -9 of pulmonode up", _at(B.ANALYSE_TAKEN), EMBEDDED, run, B.ANALYSE_TAKEN)


def brokers() -> Iterator[Cell]:
    for barrier in (B.INDEX_COMMITTED, B.HINT_BEFORE_SEND, B.ANALYSE_TAKEN, B.ANALYSE_COMMITTED,
                    B.DELIVER_TAKEN, B.DELIVER_ACKNOWLEDGED):  # fmt: skip
        for kind in BOTH:
            run = partial(while_held, barrier, System.kill_broker)
            smoke = kind == EMBEDDED and barrier is B.HINT_BEFORE_SEND
            yield Cell("broker killed and started again", _at(barrier), kind, run, barrier,
                       smoke=smoke)  # fmt: skip
    for barrier in (B.ANALYSE_TAKEN, B.ANALYSE_COMMITTED):
        run = partial(while_held, barrier, System.empty_broker)
        yield Cell("broker emptied", _at(barrier), SERVERS, run, barrier)
    for barrier in (B.HINT_BEFORE_SEND, B.ANALYSE_COMMITTED):
        run = partial(while_held, barrier, lambda s: s.slow_broker(OUTAGE_S))
        yield Cell("broker slow", _at(barrier), SERVERS, run, barrier)
    for barrier in (B.HINT_BEFORE_SEND, B.ANALYSE_COMMITTED):
        run = partial(broken_from, barrier, stop_broker, start_broker)
        yield Cell("broker gone", _at(barrier), SERVERS, run, barrier, BROKER_UNREACHABLE)
    for kind in BOTH:
        yield Cell("every message twice", "analyse, deliver", kind, doubled_messages)


def databases() -> Iterator[Cell]:
    for barrier in (B.INDEX_BEFORE_COMMIT, B.QUEUE_BEFORE_COMMIT, B.ANALYSE_BEFORE_COMMIT,
                    B.COMMITMENT_REGISTERED, B.DELIVER_BEFORE_COMMIT,
                    B.COMMITMENT_BEFORE_COMMIT):  # fmt: skip
        run = partial(while_held, barrier, System.kill_database)
        smoke = barrier is B.ANALYSE_BEFORE_COMMIT
        yield Cell("database killed and started again", _at(barrier), SERVERS, run, barrier,
                   smoke=smoke)  # fmt: skip
    for barrier in (B.SPOOL_DURABLE, B.ANALYSE_COMPOSED, B.DELIVER_ACKNOWLEDGED):
        run = partial(broken_from, barrier, stop_database, start_database)
        yield Cell("database gone", _at(barrier), SERVERS, run, barrier, DATABASE_UNREACHABLE)
    for barrier in (B.INDEX_COMMITTED, B.ANALYSE_BEFORE_COMMIT, B.DELIVER_BEFORE_COMMIT):
        for kind in BOTH:
            run = partial(locked, barrier)
            yield Cell("database locked", _at(barrier), kind, run, barrier)
    for kind in BOTH:  # longer than anybody waits for a lock
        run = partial(locked, B.DELIVER_ACKNOWLEDGED, for_s=LOCKED_S)
        yield Cell(f"database locked for {LOCKED_S:g} s", _at(B.DELIVER_ACKNOWLEDGED), kind, run,
                   B.DELIVER_ACKNOWLEDGED)  # fmt: skip
    for kind in BOTH:
        yield Cell("database restored from a backup, reindex", _at(B.ANALYSE_TAKEN), kind,
                   restored_database, B.ANALYSE_TAKEN)  # fmt: skip
        yield Cell("database restored from a backup, reindex", _at(B.COMMITMENT_REGISTERED),
                   kind, restored_after_result, B.COMMITMENT_REGISTERED)  # fmt: skip


def disks() -> Iterator[Cell]:
    for barrier, fault in ((B.SPOOL_FSYNC, "fsync error"),
                           (B.SPOOL_DURABLE, "I/O error before Success")):  # fmt: skip
        run = partial(strike, barrier, "error", "EIO")
        smoke = barrier is B.SPOOL_FSYNC
        yield Cell(fault, _at(barrier), EMBEDDED, run, barrier, smoke=smoke)
    for barrier in (B.SPOOL_DURABLE, B.INDEX_COMMITTED, B.ANALYSE_COMPOSED, B.DELIVER_TAKEN):
        run = partial(broken_from, barrier, fill_disk, free_disk)
        smoke = barrier is B.SPOOL_DURABLE
        yield Cell("disk full", _at(barrier), SMALL_DISK, run, barrier, SPOOL_REFUSES,
                   smoke=smoke)  # fmt: skip
        run = partial(broken_from, barrier, read_only, writable)
        yield Cell("disk read-only", _at(barrier), SMALL_DISK, run, barrier, SPOOL_REFUSES)
    for barrier in (B.INDEX_COMMITTED, B.ANALYSE_TAKEN, B.ANALYSE_COMPOSED, B.DELIVER_TAKEN):
        run = partial(broken_from, barrier, freeze_store, thaw_store, for_s=FROZEN_S)
        yield Cell("object store frozen", _at(barrier), SERVERS, run, barrier, STORE_UNREACHABLE)


def peers() -> Iterator[Cell]:
    gone = partial(until_tried, 2, stop_pacs, start_pacs)
    yield Cell("PACS gone", "deliver", EMBEDDED, gone, alarm=DESTINATION_SILENT,
               proof=tried_again, smoke=True)  # fmt: skip
    run = partial(broken_from, B.DELIVER_BETWEEN_OBJECTS, lambda s: s.wire.cut(),
                  lambda s: s.wire.mend())  # fmt: skip
    yield Cell("PACS gone", _at(B.DELIVER_BETWEEN_OBJECTS), SERVERS, run,
               B.DELIVER_BETWEEN_OBJECTS)  # fmt: skip
    run = partial(broken_from, B.DELIVER_BETWEEN_OBJECTS, lambda s: s.wire.freeze(),
                  lambda s: s.wire.mend(), for_s=12.0)  # fmt: skip
    yield Cell("half-open TCP", _at(B.DELIVER_BETWEEN_OBJECTS), EMBEDDED, run,
               B.DELIVER_BETWEEN_OBJECTS, smoke=True)  # fmt: skip
    run = partial(broken_from, B.COMMITMENT_REGISTERED, lambda s: s.wire.freeze(),
                  lambda s: s.wire.mend(), for_s=12.0)  # fmt: skip
    yield Cell("half-open TCP", _at(B.COMMITMENT_REGISTERED), EMBEDDED, run,
               B.COMMITMENT_REGISTERED)  # fmt: skip
    refuses = partial(until_tried, 2, set_to("refuse_associations", True),
                      set_to("refuse_associations", False))  # fmt: skip
    yield Cell("PACS rejects associations", "deliver", SERVERS, refuses,
               alarm=DESTINATION_SILENT, proof=tried_again)  # fmt: skip
    busy = partial(throughout, statuses(0xA700, 0x0000, 0xA700, 0xA700), nothing, for_s=0)
    yield Cell("PACS out of resources, half taken", "deliver", EMBEDDED, busy,
               proof=statuses_were_answered)  # fmt: skip
    yield Cell("PACS refuses for good, then restarted by hand", "deliver", EMBEDDED,
               refused_for_good, alarm=JOB_STOPPED)  # fmt: skip
    slow = partial(throughout, set_to("store_delay_s", SLOW_S), nothing, for_s=0)
    yield Cell("PACS slow", "deliver", EMBEDDED, slow, proof=answered_late)
    warns = partial(throughout, statuses(0xB000, 0xB007), nothing, for_s=0)
    yield Cell("PACS stores with warnings", "deliver", EMBEDDED, warns, proof=warnings_were_noted)
    for name, reply in (("never answers commitment", CommitmentReply.NEVER),
                        ("fails commitment", CommitmentReply.FAIL)):  # fmt: skip
        run = partial(until_tried, 3, set_to("commitment_reply", reply),
                      set_to("commitment_reply", CommitmentReply.NEW_ASSOCIATION))  # fmt: skip
        yield Cell(f"PACS {name}", "confirm", EMBEDDED, run, alarm=NOT_CONFIRMED,
                   proof=tried_again)  # fmt: skip
    same = partial(throughout, set_to("commitment_reply", CommitmentReply.SAME_ASSOCIATION),
                   nothing, for_s=0)  # fmt: skip
    yield Cell("PACS answers commitment on the same association", "confirm", SERVERS, same)


def others() -> Iterator[Cell]:
    for barrier in (B.INDEX_COMMITTED, B.ANALYSE_TAKEN, B.DELIVER_TAKEN):
        run = partial(clock_jump, barrier, 3600)
        smoke = barrier is B.ANALYSE_TAKEN
        yield Cell("clock jumps an hour ahead", _at(barrier), EMBEDDED, run, barrier, smoke=smoke)
        run = partial(clock_jump, barrier, -3600)
        yield Cell("clock jumps an hour back", _at(barrier), EMBEDDED, run, barrier)
    yield Cell("clock an hour ahead, put right", _at(B.INDEX_COMMITTED), EMBEDDED,
               clock_put_right, B.INDEX_COMMITTED)  # fmt: skip
    for kind in BOTH:
        yield Cell("1,000 TCP probes", "receive", kind, probes)
    yield Cell("associations aborted in the middle", "receive", EMBEDDED, aborts)


def all_cells() -> list[Cell]:
    return [*kills(), *brokers(), *databases(), *disks(), *peers(), *others()]
