from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.phantom import PhantomNodule, PhantomSpec
from workers.bench import detection, peer_run
from workers.bench.chest import chest_file, read_chest
from workers.bench.detection import METHODS, WORK, BenchPlan, Method, bench_detection
from workers.bench.peer_run import tiles_for
from workers.bench.process import Clock, run_fresh
from workers.cli.main import app
from workers.errors import BenchmarkFailed

SMALL = PhantomSpec(
    slices=36,
    pixels=256,
    slice_spacing_mm=3.0,
    pixel_spacing_mm=1.4,
    nodules=(PhantomNodule(type="solid", diameter_mm=14, centre_lps_mm=(-75, 20, 0)),),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def test_the_volume_is_made_once_and_read_with_its_truth(folder: Path) -> None:
    path = chest_file(folder, SMALL)
    made_at = path.stat().st_mtime_ns

    volume, truth = read_chest(chest_file(folder, SMALL))

    assert path.stat().st_mtime_ns == made_at
    assert volume.shape == (36, 256, 256)
    assert truth == [((-75.0, 20.0, 0.0), 14.0)]
    assert chest_file(folder, PhantomSpec(slices=8, pixels=64, nodules=())) != path


def test_a_fresh_process_tells_stages_memory_and_what_was_found(folder: Path) -> None:
    plan = BenchPlan(
        folder=folder,
        runs=1,
        threads=1,
        methods=(
            Method(name="trained, torch", detector="trained", backend="torch"),
            Method(name="nowhere", detector="trained", device="cuda:97"),
        ),
        spec=SMALL,
    )

    result = json.loads(json.dumps(bench_detection(plan, lambda _step: None)))

    (row,) = result["methods"]
    assert row["engine"].startswith("torch")
    assert (row["nodules_listed"], row["runs"][0]["nodules_in_it"]) == (1, 1)
    assert row["stages"]["start"]["cpu_s"] > 0.1, "libraries were loaded in the process itself"
    assert row["work"]["cpu_s"] == pytest.approx(
        sum(row["runs"][0]["stages"][stage]["cpu_s"] for stage in WORK), abs=0.01
    )
    assert 100 < row["peak_rss_mb"] < 3000
    assert "cuda:97 was asked for" in result["refused"]["nowhere"]
    assert result["peer"] is None


def run_of(cpu_s: float, found: int) -> dict[str, Any]:
    stage = {"wall_s": 2 * cpu_s, "cpu_s": cpu_s}
    return {
        "stages": dict.fromkeys(("start", *WORK), stage),
        "peak_rss_mb": 500 + cpu_s,
        "device": "cpu",
        "engine": "test 1",
        "nodules_listed": found,
        "others_listed": 5 - found,
        "load_before": 1.0,
    }


def test_methods_take_turns_and_medians_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    answers = {"a": iter([(1.0, 5), (9.0, 4), (2.0, 5)]), "b": iter([(3.0, 1)] * 3)}

    def run(_volume: Path, method: Method, _threads: int) -> dict[str, Any]:
        order.append(method.name)
        return run_of(*next(answers[method.name]))

    monkeypatch.setattr(detection, "_run", run)
    methods = (Method(name="a", detector="trained"), Method(name="b", detector="classical"))
    plan = BenchPlan(folder=folder, runs=3, threads=1, methods=methods, spec=SMALL)

    first, second = bench_detection(plan, lambda _step: None)["methods"]

    assert order == ["a", "b"] * 3
    assert first["work"] == {"wall_s": 20.0, "cpu_s": 10.0}
    assert first["work_fastest_wall_s"] == 10.0
    assert first["stages"]["lungs"] == {"wall_s": 4.0, "cpu_s": 2.0}
    assert (first["nodules_listed"], first["others_listed"]) == (4, 1), "the worst of all runs"
    assert second["peak_rss_mb"] == 503


def test_where_nothing_can_run_the_reasons_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> dict[str, Any]:
        raise BenchmarkFailed("x", ["engine x: it is not installed"])

    monkeypatch.setattr(detection, "_run", run)
    plan = BenchPlan(folder=folder, runs=2, threads=1, methods=METHODS[:1], spec=SMALL)

    with pytest.raises(BenchmarkFailed, match="it is not installed"):
        bench_detection(plan, lambda _step: None)


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(BenchmarkFailed, match="No such file"):
        run_fresh("workers.bench.detection_run", "/nowhere.npz", "--detector=classical")


def test_the_clock_ends_a_stage_when_the_next_begins() -> None:
    clock = Clock()
    clock.start("first")
    clock.start("second")
    np.linalg.svd(np.random.default_rng(0).random((300, 300)))
    clock.stop()

    assert list(clock.stages) == ["first", "second"]
    assert clock.stages["second"]["wall_s"] > clock.stages["first"]["wall_s"] >= 0


def test_peak_memory_grows_with_what_is_held() -> None:
    # In a process of its own: this one may have held more before.
    script = (
        "import numpy as np; from workers.bench.process import peak_rss_mb;"
        "before = peak_rss_mb(); block = np.ones(60_000_000); print(before, peak_rss_mb())"
    )

    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout

    before, after = (float(value) for value in told.split())
    assert after - before > 400


def test_the_command_refuses_a_method_that_there_is_not(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["bench", "detection", "--method", "abacus", "--folder", str(tmp_path)]
    )

    assert done.exit_code == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("box", "tiles"),
    [((100, 100, 80), 1), ((192, 192, 81), 2), ((336, 192, 80), 2), ((337, 200, 80), 6)],
)
def test_tiles_that_share_a_quarter_of_a_side_cover_the_box(
    box: tuple[int, int, int], tiles: int
) -> None:
    assert tiles_for(np.array(box), 0.25) == tiles


def test_the_peer_is_timed_by_tiles_and_said_to_be_extrapolated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peer_run, "TILE", (32, 32, 16))

    peer_run.main([str(chest_file(folder, SMALL)), "--tiles", "1"])

    told = json.loads(capsys.readouterr().out)
    assert told["extrapolated"]
    assert told["tiles_of_the_box"] > 100
    assert told["box_cpu_s"] == pytest.approx(told["tile_cpu_s"] * told["tiles_of_the_box"])
    assert told["box_cpu_s_without_overlap"] < told["box_cpu_s"]
