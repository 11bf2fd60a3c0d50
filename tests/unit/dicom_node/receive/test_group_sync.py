from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.receive.group_sync import GroupSync

PEOPLE = 8


class SlowDisk:
    """Counts fsyncs; each takes a while, and may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.fails = False
        self.begun = threading.Event()
        self.go_on = threading.Event()
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, _descriptor: int) -> None:
        self.calls += 1
        fails = self.fails
        self.begun.set()
        assert self.go_on.wait(10)
        if fails:
            raise OSError(5, "Input/output error")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    return SlowDisk(monkeypatch)


def in_threads(work: Callable[[], None], count: int) -> tuple[list[threading.Thread], list[str]]:
    outcomes: list[str] = []

    def run() -> None:
        try:
            work()
            outcomes.append("durable")
        except OSError:
            outcomes.append("failed")

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, outcomes


def test_those_who_come_during_a_flush_share_the_next_one(tmp_path: Path, disk: SlowDisk) -> None:
    sync = GroupSync(tmp_path)
    first, outcomes = in_threads(sync.flush, 1)
    assert disk.begun.wait(10)
    later, shared = in_threads(sync.flush, PEOPLE)
    time.sleep(0.2)  # all of them wait by now

    assert disk.calls == 1
    assert not outcomes + shared, "nobody is told before a flush of their own has ended"
    disk.go_on.set()
    for thread in first + later:
        thread.join(10)
    assert disk.calls == 2
    assert outcomes + shared == ["durable"] * (PEOPLE + 1)


def test_a_flush_that_fails_fails_for_all_whom_it_was_for_and_nobody_else(
    tmp_path: Path, disk: SlowDisk
) -> None:
    sync = GroupSync(tmp_path)
    first, good = in_threads(sync.flush, 1)
    assert disk.begun.wait(10)
    disk.fails = True
    later, bad = in_threads(sync.flush, PEOPLE)
    time.sleep(0.2)
    disk.go_on.set()
    for thread in first + later:
        thread.join(10)
    disk.fails = False
    sync.flush()

    assert good == ["durable"]
    assert bad == ["failed"] * PEOPLE
