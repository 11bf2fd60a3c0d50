from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers import roles
from workers.compute import available_cpus, engine_options, threads_for
from workers.doctor import examine
from workers.settings import Settings


def cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(count)), raising=False)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_a_container_counts_its_own_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], wanted: int
) -> None:
    cores(monkeypatch, 8)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    assert available_cpus(tmp_path) == wanted


def test_the_processes_of_a_worker_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.compute.available_cpus", lambda: 8)

    assert [threads_for(Settings(), processes=count) for count in (1, 3, 20)] == [8, 2, 1]
    assert threads_for(Settings(threads=5), processes=3) == 5


def test_a_workers_processes_are_told_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.compute.available_cpus", lambda: 8)
    monkeypatch.setenv("PULMONODE_THREADS", "0")

    roles.tell_share_of_cores(Settings(), processes=4)

    assert engine_options(Settings()).threads == 2


def test_the_settings_reach_the_engines() -> None:
    options = engine_options(Settings(backend="torch", device="cuda:1", threads=3))

    assert (options.backend, options.device, options.threads) == ("torch", "cuda:1", 3)


def test_doctor_says_what_runs_the_networks(tmp_path: Path) -> None:
    def compute(settings: Settings) -> tuple[bool | None, str]:
        check = next(item for item in examine(settings) if item.what == "compute")
        return check.ok, check.found

    ok, found = compute(Settings(data_dir=tmp_path, backend="torch", device="cpu", threads=1))
    assert ok
    assert "networks run on torch (cpu), PULMONODE_BACKEND is torch" in found
    assert "1 threads for one analysis" in found

    ok, found = compute(Settings(data_dir=tmp_path, device="cuda:98"))
    assert ok is False
    assert "cuda:98 was asked for" in found
