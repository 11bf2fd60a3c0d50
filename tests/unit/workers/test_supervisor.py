"""Child processes that are kept running, and the folder that only one may hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.service import wait_for
from workers import supervisor
from workers.errors import FolderInUse
from workers.supervisor import (
    FIRST_PAUSE_S,
    LONG_LIVED_S,
    LONGEST_PAUSE_S,
    SUPERVISOR_PID,
    Child,
    hold_folder,
    stop_children,
)

LIMIT_S = 60.0
HOLD = """
import sys, time
from pathlib import Path
from workers.supervisor import hold_folder
hold_folder(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""
UP = """
import os, subprocess, sys, time
from workers.supervisor import SUPERVISOR_PID
child = '''
import time
from workers.supervisor import end_with_supervisor
end_with_supervisor()
print("bound", flush=True)
time.sleep(600)
'''
environment = {**os.environ, SUPERVISOR_PID: str(os.getpid())}
process = subprocess.Popen([sys.executable, "-c", child], env=environment)
print(process.pid, flush=True)
time.sleep(600)
"""


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    return clock


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """A process that would live for minutes."""
    made = Child(name="sleeper", arguments=())
    with monkeypatch.context() as patch:
        patch.setattr("workers.supervisor.subprocess.Popen", sleeping(subprocess.Popen))
        yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def sleeping(popen):  # type: ignore[no-untyped-def]
    """Start something small in the place of a whole `pulmonode` process."""

    def start(_command: list[str], *, env: dict[str, str]):  # type: ignore[no-untyped-def]
        return popen(["sleep", "600"], env=env)

    return start


def die(child: Child) -> None:
    assert child.process is not None
    child.process.kill()
    child.process.wait()


def pid_of(child: Child) -> int | None:
    return None if child.process is None else child.process.pid


def test_a_process_that_runs_is_left_alone(child: Child) -> None:
    child.keep_running()
    first = pid_of(child)

    child.keep_running()

    assert first is not None
    assert pid_of(child) == first


def test_a_child_knows_who_supervises_it(child: Child) -> None:
    child.keep_running()

    environment = psutil.Process(pid_of(child)).environ()
    assert environment[SUPERVISOR_PID] == str(os.getpid())


def test_a_process_that_died_is_started_again_after_a_pause(child: Child, time: Clock) -> None:
    child.keep_running()
    first = pid_of(child)
    die(child)

    child.keep_running()
    during = pid_of(child)
    time.now_s += child.pause_s
    child.keep_running()

    assert during is None
    assert pid_of(child) not in {None, first}


def test_one_that_keeps_dying_waits_longer_each_time_up_to_a_limit(
    child: Child, time: Clock
) -> None:
    pauses = []
    for _ in range(8):
        child.keep_running()
        die(child)
        child.keep_running()
        pauses.append(child.pause_s)
        time.now_s += child.pause_s

    assert pauses[:3] == [2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, 8 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_one_that_lived_long_starts_again_as_if_it_had_never_died(
    child: Child, time: Clock
) -> None:
    child.pause_s = LONGEST_PAUSE_S
    child.keep_running()
    time.now_s += LONG_LIVED_S
    die(child)

    child.keep_running()

    assert child.pause_s == FIRST_PAUSE_S


def test_all_children_are_ended_and_those_that_never_ran_are_no_trouble(child: Child) -> None:
    child.keep_running()
    process = child.process
    assert process is not None

    stop_children([child, Child(name="never", arguments=())])

    assert process.returncode == -signal.SIGTERM


def test_a_child_that_will_not_end_is_killed(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_GRACE_S", 0.2)
    child.keep_running()
    process = child.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)  # it does not even hear SIGTERM then
    stopped = psutil.Process(process.pid)
    wait_for(lambda: stopped.status() == "stopped", limit_s=LIMIT_S, message="it stops")

    stop_children([child])

    assert process.returncode == -signal.SIGKILL


def test_a_folder_is_held_by_one_process_until_that_dies(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    with pytest.raises(FolderInUse, match=str(folder)):
        hold_folder(folder)
    holder.kill()
    holder.communicate()
    hold_folder(folder)

    with pytest.raises(FolderInUse):  # by this process now
        hold_folder(folder)


def test_a_child_ends_when_its_supervisor_is_killed() -> None:
    up = subprocess.Popen([sys.executable, "-c", UP], stdout=subprocess.PIPE, text=True)
    assert up.stdout is not None
    lines = {up.stdout.readline().strip() for _ in range(2)}
    (pid,) = (int(line) for line in lines - {"bound"})
    assert psutil.pid_exists(pid)

    up.kill()
    up.communicate()

    def gone() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"

    wait_for(gone, limit_s=LIMIT_S, message="the child ends")


def test_a_child_whose_supervisor_died_before_it_asked_does_not_begin() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from workers import supervisor; supervisor.end_with_supervisor()"],
        env={**os.environ, SUPERVISOR_PID: "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode != 0
    assert "the supervising process is gone" in ended.stderr


def test_a_process_that_nobody_supervises_goes_on() -> None:
    supervisor.end_with_supervisor()
