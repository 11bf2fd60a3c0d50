"""Every cell of the fault matrix: what breaks, at which stage, and on which servers.

A cell breaks something while one series goes through the service, and mends it as an
administrator or time would. What must be true afterwards is the same for all of them
(`tests.faults.verdict`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dicom_node.barriers import Barrier
from dicom_node.mini_pacs import CommitmentReply
from tests.faults.system import EMBEDDED, SERVERS, SMALL_DISK, Sending, System
from tests.integration.service import wait_for
from tests.servers.wire import tcp_probes
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
OUTAGE_S = 6.0
"""Longer than `outage_alarm_s` and `delivery_alarm_s` of the tested service."""


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
    smoke: bool = False

    def __str__(self) -> str:
        return f"{self.kind}-{self.fault}-{self.stage}".replace(" ", "_")


# How a fault strikes ---------------------------------------------------------------------


def strike(barrier: B, action: str, error: str, system: System, paths: list[Path]) -> Sending:
    """Let the process that reaches the barrier die, or fail, there."""
    after = 3 if barrier in {B.SPOOL_FSYNC, B.SPOOL_DURABLE} else 0
    system.plan.arm(barrier, action, after=after, error=error)
    sending = system.send(paths)
    system.plan.wait_for_hit(barrier)
    return sending


def while_held(
    barrier: B, do: Callable[[System], object], system: System, paths: list[Path]
) -> Sending:
    """Break something else while a process waits at the barrier, then let it go on."""
    system.plan.arm(barrier, "hold")
    sending = system.send(paths)
    system.plan.wait_for_hit(barrier)
    do(system)
    system.plan.let_go(barrier)
    return sending


def broken_from(
    barrier: B,
    breaks: Callable[[System], object],
    mends: Callable[[System], object],
    system: System,
    paths: list[Path],
    *,
    for_s: float = OUTAGE_S,
) -> Sending:
    """Break something while a process waits, let it run into that, and mend it later."""
    system.plan.arm(barrier, "hold")
    sending = system.send(paths)
    system.plan.wait_for_hit(barrier)
    breaks(system)
    try:
        system.plan.let_go(barrier)
        time.sleep(for_s)
    finally:
        mends(system)
    return sending


def throughout(
    breaks: Callable[[System], object],
    mends: Callable[[System], object],
    system: System,
    paths: list[Path],
    *,
    for_s: float = OUTAGE_S,
) -> Sending:
    """Break something before anything is sent, and mend it later."""
    breaks(system)
    try:
        sending = system.send(paths)
        time.sleep(for_s)
    finally:
        mends(system)
    return sending


def locked(barrier: B, system: System, paths: list[Path]) -> Sending:
    system.plan.arm(barrier, "hold")
    sending = system.send(paths)
    system.plan.wait_for_hit(barrier)
    with system.locked_database():
        system.plan.let_go(barrier)
        time.sleep(OUTAGE_S)
    return sending


# The faults ------------------------------------------------------------------------------


def _set(name: str, value: object) -> Callable[[System], None]:
    return lambda system: setattr(system.recorder, name, value)


def _statuses(*values: int) -> Callable[[System], None]:
    return lambda system: system.recorder.store_statuses.extend(values)


def _nothing(_system: System) -> None:
    pass


def _fill_disk(system: System) -> None:
    assert system.disk is not None
    system.disk.fill()


def _free_disk(system: System) -> None:
    assert system.disk is not None
    system.disk.free()


def _read_only(system: System) -> None:
    assert system.disk is not None
    system.disk.read_only()


def _writable(system: System) -> None:
    assert system.disk is not None
    system.disk.writable()


def _stop_database(system: System) -> None:
    assert system.database is not None
    system.database.kill()


def _start_database(system: System) -> None:
    assert system.database is not None
    system.database.start()


def _freeze_store(system: System) -> None:
    assert system.store is not None
    system.store.freeze()


def _thaw_store(system: System) -> None:
    assert system.store is not None
    system.store.thaw()


def _stop_broker(system: System) -> None:
    assert system.broker is not None
    system.broker.kill()


def _start_broker(system: System) -> None:
    assert system.broker is not None
    system.broker.start()


def _stop_pacs(system: System) -> None:
    system.recorder.stop()


def _start_pacs(system: System) -> None:
    system.recorder.start()


def _whole_worker(system: System) -> None:
    assert system.kill("worker", "analyse") >= 2


def refused_for_good(system: System, paths: list[Path]) -> Sending:
    """The PACS will not have the result; somebody mends the PACS and restarts dead letters."""
    system.recorder.store_statuses.extend([0xC000])
    sending = system.send(paths)
    wait_for(lambda: system.cli_json("jobs", "dead"), limit_s=90, message="a dead letter is shown")
    done = system.service.cli("jobs", "retry", "--destination", "recorder")
    assert done.returncode == 0, done.stderr
    return sending


def doubled_messages(system: System, paths: list[Path]) -> Sending:
    system.plan.double_messages()
    sending = system.send(paths)
    wait_for(
        lambda: {"analyse", "deliver"} <= set(system.plan.doubled()),
        limit_s=90,
        message="messages of both queues were doubled",
    )
    return sending


def clock_jump(barrier: B, seconds: float, system: System, paths: list[Path]) -> Sending:
    """The clock jumps while a process waits, and jumps back when the series is through."""
    return while_held(barrier, lambda s: s.plan.shift_clock(seconds), system, paths)


def clock_put_right(system: System, paths: list[Path]) -> Sending:
    """An hour ahead while the series comes in, put right before it is complete."""
    system.plan.shift_clock(3600)
    return while_held(B.INDEX_COMMITTED, lambda s: s.plan.shift_clock(0), system, paths)


def probes(system: System, paths: list[Path]) -> Sending:
    sending = system.send(paths)
    tcp_probes("127.0.0.1", system.service.port, 1000)
    return sending


def aborts(system: System, paths: list[Path]) -> Sending:
    """Ten senders that abort in the middle, then the whole series."""
    for count in range(10):
        system.service.send(paths[:6], abort_after=1 + count % 5)
    return system.send(paths)


def restored_database(system: System, paths: list[Path]) -> Sending:
    """The database of before the series came is put back; the files tell the rest."""
    return _restored(system, paths, B.ANALYSE_TAKEN)


def restored_after_result(system: System, paths: list[Path]) -> Sending:
    return _restored(system, paths, B.COMMITMENT_REGISTERED)


def _restored(system: System, paths: list[Path], barrier: B) -> Sending:
    system.service.stop()
    restore = system.back_up_database()
    system.service.start()
    system.plan.arm(barrier, "hold")
    sending = system.send(paths)
    system.plan.wait_for_hit(barrier)
    system.service.kill()
    restore()
    done = system.service.cli("reindex")
    assert done.returncode == 0, done.stderr
    system.service.start()
    return sending


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
        run = partial(while_held, barrier, _whole_worker)
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
        run = partial(broken_from, barrier, _stop_broker, _start_broker)
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
        run = partial(broken_from, barrier, _stop_database, _start_database)
        yield Cell("database gone", _at(barrier), SERVERS, run, barrier, DATABASE_UNREACHABLE)
    for barrier in (B.INDEX_COMMITTED, B.ANALYSE_BEFORE_COMMIT, B.DELIVER_BEFORE_COMMIT):
        for kind in BOTH:
            run = partial(locked, barrier)
            yield Cell("database locked", _at(barrier), kind, run, barrier)
    for kind in BOTH:
        yield Cell("database restored from a backup, reindex", _at(B.ANALYSE_TAKEN), kind,
                   restored_database, B.ANALYSE_TAKEN)  # fmt: skip
        yield Cell("database restored from a backup, reindex", _at(B.COMMITMENT_REGISTERED),
                   kind, restored_after_result, B.COMMITMENT_REGISTERED)  # fmt: skip


def disks() -> Iterator[Cell]:
    for barrier in (B.SPOOL_FSYNC, B.SPOOL_DURABLE):
        run = partial(strike, barrier, "error", "EIO")
        smoke = barrier is B.SPOOL_FSYNC
        yield Cell("fsync error", _at(barrier), EMBEDDED, run, barrier, smoke=smoke)
    for barrier in (B.SPOOL_DURABLE, B.INDEX_COMMITTED, B.ANALYSE_COMPOSED, B.DELIVER_TAKEN):
        run = partial(broken_from, barrier, _fill_disk, _free_disk)
        smoke = barrier is B.SPOOL_DURABLE
        yield Cell("disk full", _at(barrier), SMALL_DISK, run, barrier, SPOOL_REFUSES,
                   smoke=smoke)  # fmt: skip
        run = partial(broken_from, barrier, _read_only, _writable)
        yield Cell("disk read-only", _at(barrier), SMALL_DISK, run, barrier, SPOOL_REFUSES)
    for barrier in (B.INDEX_COMMITTED, B.ANALYSE_TAKEN, B.ANALYSE_COMPOSED, B.DELIVER_TAKEN):
        run = partial(broken_from, barrier, _freeze_store, _thaw_store, for_s=40.0)
        yield Cell("object store frozen", _at(barrier), SERVERS, run, barrier, STORE_UNREACHABLE)


def peers() -> Iterator[Cell]:
    gone = partial(throughout, _stop_pacs, _start_pacs, for_s=15.0)
    yield Cell("PACS gone", "deliver", EMBEDDED, gone, alarm=DESTINATION_SILENT, smoke=True)
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
    refuses = partial(throughout, _set("refuse_associations", True),
                      _set("refuse_associations", False), for_s=15.0)  # fmt: skip
    yield Cell("PACS rejects associations", "deliver", SERVERS, refuses, alarm=DESTINATION_SILENT)
    busy = partial(throughout, _statuses(0xA700, 0x0000, 0xA700, 0xA700), _nothing, for_s=0)
    yield Cell("PACS out of resources, half taken", "deliver", EMBEDDED, busy)
    yield Cell("PACS refuses for good, then restarted by hand", "deliver", EMBEDDED,
               refused_for_good, alarm=JOB_STOPPED)  # fmt: skip
    slow = partial(throughout, _set("store_delay_s", 4.0), _nothing, for_s=0)
    yield Cell("PACS slow", "deliver", EMBEDDED, slow)
    warns = partial(throughout, _statuses(0xB000, 0xB007), _nothing, for_s=0)
    yield Cell("PACS stores with warnings", "deliver", EMBEDDED, warns)
    for name, reply in (("never answers commitment", CommitmentReply.NEVER),
                        ("fails commitment", CommitmentReply.FAIL)):  # fmt: skip
        run = partial(throughout, _set("commitment_reply", reply),
                      _set("commitment_reply", CommitmentReply.NEW_ASSOCIATION),
                      for_s=25.0)  # fmt: skip
        yield Cell(f"PACS {name}", "confirm", EMBEDDED, run, alarm=NOT_CONFIRMED)
    same = partial(throughout, _set("commitment_reply", CommitmentReply.SAME_ASSOCIATION),
                   _nothing, for_s=0)  # fmt: skip
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
