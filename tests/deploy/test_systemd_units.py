"""The units: accepted by systemd, hardened by its own measure, and run for real without it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node.deliver.peer import echo
from dicom_node.errors import DicomNodeError
from dicom_node.mini_pacs import MiniPacs
from tests.conftest import need_program
from tests.deploy.units import INSTALLED, UNITS, Unit
from tests.integration.service import FAST, Service, free_port, wait_for
from workers.settings import Settings
from workers.state.schema import JobState

NAMES = ("pulmonode-node", "pulmonode-worker@", "pulmonode-console")
EXPOSURE_LIMIT = 2.0
"""systemd-analyze's figure, 0 (safe) to 10; under 2 it says OK."""
PROGRAM = str(Path(sys.executable).parent / "pulmonode")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with the program of this environment, in a folder that systemd looks into."""
    folder = tmp_path_factory.mktemp("units") / "system"
    shutil.copytree(UNITS, folder)
    for name in NAMES:
        path = folder / f"{name}.service"
        path.write_text(path.read_text().replace(INSTALLED, PROGRAM))
    for instance in ("analyse", "deliver"):
        shutil.copy(folder / "pulmonode-worker@.service",
                    folder / f"pulmonode-worker@{instance}.service")  # fmt: skip
    return folder


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need_program("systemd-analyze"), *arguments],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.peer
def test_systemd_finds_nothing_wrong_with_the_units(copied: Path) -> None:
    done = analyze(
        copied, "verify", "./pulmonode.target", "./pulmonode-node.service",
        "./pulmonode-console.service", "./pulmonode-worker@analyse.service",
        "./pulmonode-worker@deliver.service",
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.peer
def test_a_planted_mistake_is_found(copied: Path, tmp_path: Path) -> None:
    folder = tmp_path / "system"
    shutil.copytree(copied, folder)
    unit = folder / "pulmonode-node.service"
    unit.write_text(unit.read_text().replace("MemoryMax=4G", "MemoryMax=many"))

    done = analyze(folder, "verify", "./pulmonode-node.service")

    assert "Invalid memory limit 'many'" in done.stderr


@pytest.mark.peer
@pytest.mark.parametrize("name", ["node", "console", "worker@analyse"])
def test_a_service_is_hardened_by_systemd_s_own_measure(copied: Path, name: str) -> None:
    unit = f"./pulmonode-{name}.service"
    limit = f"--threshold={EXPOSURE_LIMIT * 10:.0f}"

    done = analyze(copied, "security", "--offline=true", limit, "--no-pager", unit)

    assert done.returncode == 0, done.stdout
    found = re.search(r"Overall exposure level for \S+ ([0-9.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= EXPOSURE_LIMIT


def test_every_worker_that_the_target_wants_has_its_environment() -> None:
    wanted = re.findall(
        r"pulmonode-worker@(\w+)\.service", (UNITS / "pulmonode.target").read_text()
    )

    assert wanted == ["analyse", "deliver"]
    for instance in wanted:
        unit = Unit(name="pulmonode-worker@", instance=instance)
        environment = unit.environment(UNITS.parent / "systemd")
        command = unit.command(PROGRAM, environment)
        assert command[1:3] == ["worker", "--queues"]
        assert command[4] == "--concurrency"


def test_a_worker_may_end_its_analysis_and_its_lease_ends_before_anybody_waits_long() -> None:
    settings = Settings()

    assert Unit(name="pulmonode-worker@").stop_limit_s() >= settings.lease_s


def test_credentials_are_settings_and_come_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pulmonode_state_url").write_text("sqlite:////from/credential\n")
    config = tmp_path / "pulmonode.yaml"
    config.write_text("state_url: sqlite:////from/file\nae_title: FROMFILE\n")
    monkeypatch.setenv("PULMONODE_CONFIG", str(config))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    settings = Settings()

    assert settings.state_url == "sqlite:////from/credential"
    assert settings.ae_title == "FROMFILE"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """/etc/pulmonode of this test."""
    folder = tmp_path / "etc"
    shutil.copytree(UNITS, folder, ignore=shutil.ignore_patterns("*.service*", "*.target"))
    (folder / "credentials").mkdir()
    return folder


@pytest.fixture
def start(files: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(unit: Unit, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        process = unit.start(PROGRAM, environment, files, tmp_path / f"{unit.name}.log")
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.peer
@pytest.mark.long
def test_the_units_commands_bring_a_series_to_confirmed_and_stop_in_time(
    start: Callable[..., subprocess.Popen[bytes]],
    make_recorder: Callable[..., MiniPacs],
    small_phantom: Path,
    redis_url: str,
    files: Path,
    tmp_path: Path,
) -> None:
    port, console_port = free_port(), free_port()
    recorder = make_recorder(port)
    service = Service(folder=tmp_path, port=port)  # looks at what the units run
    values: dict[str, Any] = {
        **{name.removeprefix("PULMONODE_").lower(): value for name, value in FAST.items()},
        "data_dir": str(service.data),
        "dicom_port": port,
        "console_port": console_port,
        "destinations": [
            {"name": "main", "ae_title": "RECORDER", "host": "127.0.0.1", "port": recorder.port}
        ],
    }
    (files / "pulmonode.yaml").write_text(json.dumps(values))
    (files / "credentials" / "pulmonode_broker_url").write_text(redis_url)
    environment = {
        "PULMONODE_CONFIG": str(files / "pulmonode.yaml"),
        "CREDENTIALS_DIRECTORY": str(files / "credentials"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    subprocess.run([PROGRAM, "migrate"], env={**os.environ, **environment}, check=True)
    units = [
        Unit(name="pulmonode-node"),
        Unit(name="pulmonode-worker@", instance="analyse"),
        Unit(name="pulmonode-worker@", instance="deliver"),
        Unit(name="pulmonode-console"),
    ]
    processes = [start(unit, environment) for unit in units]

    def answers() -> bool:
        try:
            echo(service.peer, "TESTER")
            with urllib.request.urlopen(f"http://127.0.0.1:{console_port}/sign-in", timeout=5):
                return True
        except (DicomNodeError, OSError):
            return False

    wait_for(answers, limit_s=120, message="node and console answer")
    slices = sorted(small_phantom.glob("*.dcm"))
    service.send(slices)
    uid = str(dcmread(slices[0], stop_before_pixels=True).SeriesInstanceUID)
    job = service.wait_for_job(uid, states={JobState.CONFIRMED}, limit_s=500)
    stopped = [unit.stop(process) for unit, process in zip(units, processes, strict=True)]

    assert job["nodules"] >= 1
    assert set(recorder.digests()) == {item["sop_instance_uid"] for item in job["objects"]}
    assert stopped == [0, 0, 0, 0]
