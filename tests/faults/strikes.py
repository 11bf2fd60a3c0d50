"""How faults strike, what they break, and what shows that they did something.

Each strike gets the running system and the series' files, breaks something while the series is
sent, mends it, and returns the sending.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom import dcmread

from dicom_node.barriers import Barrier
from tests.faults.system import Sending, System
from tests.integration.service import wait_for
from tests.servers.wire import tcp_probes
from workers.errors import NoSuchJob

B = Barrier
OUTAGE_S = 6.0
"""Longer than `outage_alarm_s` and `delivery_alarm_s` of the tested service."""
SLOW_S = 4.0
PROBES = 1000
TRIED_LIMIT_S = 150.0


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


def until_tried(
    attempts: int,
    breaks: Callable[[System], object],
    mends: Callable[[System], object],
    system: System,
    paths: list[Path],
) -> Sending:
    """Break something before anything is sent; mend it when delivering was tried so often."""
    series_uid = str(dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)

    def tried() -> bool:
        with contextlib.suppress(NoSuchJob):
            deliveries = system.service.job(series_uid)["deliveries"]
            return bool(deliveries) and deliveries[0]["attempts"] >= attempts
        return False

    breaks(system)
    try:
        sending = system.send(paths)
        wait_for(tried, limit_s=TRIED_LIMIT_S, message=f"delivering is tried {attempts} times")
        time.sleep(OUTAGE_S)
    finally:
        mends(system)
    return sending


def locked(barrier: B, system: System, paths: list[Path], *, for_s: float = OUTAGE_S) -> Sending:
    system.plan.arm(barrier, "hold")
    sending = system.send(paths)
    system.plan.wait_for_hit(barrier)
    with system.locked_database():
        system.plan.let_go(barrier)
        time.sleep(for_s)
    return sending


# The faults ------------------------------------------------------------------------------


def set_to(name: str, value: object) -> Callable[[System], None]:
    return lambda system: setattr(system.recorder, name, value)


def statuses(*values: int) -> Callable[[System], None]:
    return lambda system: system.recorder.store_statuses.extend(values)


def nothing(_system: System) -> None:
    pass


def fill_disk(system: System) -> None:
    assert system.disk is not None
    system.disk.fill()


def free_disk(system: System) -> None:
    assert system.disk is not None
    system.disk.free()


def read_only(system: System) -> None:
    assert system.disk is not None
    system.disk.read_only()


def writable(system: System) -> None:
    assert system.disk is not None
    system.disk.writable()


def stop_database(system: System) -> None:
    assert system.database is not None
    system.database.kill()


def start_database(system: System) -> None:
    assert system.database is not None
    system.database.start()


def freeze_store(system: System) -> None:
    assert system.store is not None
    system.store.freeze()


def thaw_store(system: System) -> None:
    assert system.store is not None
    system.store.thaw()


def stop_broker(system: System) -> None:
    assert system.broker is not None
    system.broker.kill()


def start_broker(system: System) -> None:
    assert system.broker is not None
    system.broker.start()


def stop_pacs(system: System) -> None:
    system.recorder.stop()


def start_pacs(system: System) -> None:
    system.recorder.start()


def whole_worker(system: System) -> None:
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
    """The series comes in while the port is probed.

    The listener's backlog is short: the kernel resets some of the probes before anybody sees them.
    """
    done: list[int] = []
    probing = threading.Thread(
        target=lambda: done.append(tcp_probes("127.0.0.1", system.service.port, PROBES))
    )
    probing.start()
    sending = system.send(paths)
    sending.finish()
    overlapped = probing.is_alive()
    probing.join()
    assert done[0] >= PROBES // 2
    assert overlapped
    return sending


def aborts(system: System, paths: list[Path]) -> Sending:
    """Ten senders that abort in the middle, then the whole series."""
    for count in range(10):
        system.service.send(paths[:6], abort_after=1 + count % 5)
    return system.send(paths)


def restored_database(system: System, paths: list[Path]) -> Sending:
    """The database of before the series came is put back; the files tell the rest."""
    return restored(system, paths, B.ANALYSE_TAKEN)


def restored_after_result(system: System, paths: list[Path]) -> Sending:
    return restored(system, paths, B.COMMITMENT_REGISTERED)


def restored(system: System, paths: list[Path], barrier: B) -> Sending:
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


# What shows that a fault did something ---------------------------------------------------


def tried_again(_system: System, job: dict[str, Any]) -> bool:
    return bool(job["deliveries"][0]["attempts"] > 1)


def statuses_were_answered(system: System, _job: dict[str, Any]) -> bool:
    return not system.recorder.store_statuses


def warnings_were_noted(system: System, job: dict[str, Any]) -> bool:
    notes = [line["message"] for line in job["history"] if "with warning 0x" in line["message"]]
    return len(notes) == 2 and not system.recorder.store_statuses


def answered_late(_system: System, job: dict[str, Any]) -> bool:
    """The deliveries took as long as two slow answers."""
    moments = {line["state"]: line["at"] for line in reversed(job["history"])}
    return bool(moments["confirmed"] - moments["delivering"] >= 2 * SLOW_S)
