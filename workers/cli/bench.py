"""`pulmonode bench`: measured speed, as a table and as JSON."""

from __future__ import annotations

import enum
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.bench_pipeline import pipeline
from workers.cli.bench_scale import BesideSqlite, claims, scale
from workers.cli.output import (
    FiguresFile,
    console,
    errors,
    fail,
    load_settings,
    reported_errors,
    wrote_figures,
)
from workers.compute import threads_for


class Language(enum.StrEnum):
    """Languages of pictures."""

    en = "en"
    zh = "zh"


commands = typer.Typer(help="Measure speed and memory on this machine.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (pipeline, scale, claims):
        commands.command()(command)
    app.add_typer(commands, name="bench")


@commands.command()
def detection(
    runs: Annotated[int, typer.Option(min=1, help="of each method, taking turns")] = 5,
    folder: Annotated[Path, typer.Option(help="keeps the volume between runs")] = Path(
        "build/bench"
    ),
    json_file: FiguresFile = None,
    method: Annotated[
        list[str] | None, typer.Option(help="only these: openvino, onnxruntime, torch, classical")
    ] = None,
    peer_tiles: Annotated[
        int, typer.Option(min=0, help="tiles of the MONAI architecture to time (minutes); 0: none")
    ] = 0,
) -> None:
    """Time lungs, candidates, outlines and measurements on 300 x 512 x 512 voxels."""
    from workers.bench.detection import METHODS, BenchPlan, bench_detection

    settings = load_settings()
    chosen = tuple(
        item for item in METHODS if not method or any(item.name.endswith(end) for end in method)
    )
    if not chosen:
        fail(f"no method of that name; there are {', '.join(item.name for item in METHODS)}")
    plan = BenchPlan(
        folder=folder,
        runs=runs,
        threads=threads_for(settings),
        methods=chosen,
        peer_tiles=peer_tiles,
    )
    with reported_errors(), errors.status("measuring") as status:
        result = bench_detection(plan, lambda step: status.update(step))
    if wrote_figures(result, json_file):
        return
    _print(result)


@commands.command()
def grading(
    cases: Annotated[str, typer.Option(help="sizes of banks, with commas")] = "100,1000,10000",
    runs: Annotated[int, typer.Option(min=1, help="of each, taking turns")] = 30,
    members: Annotated[int, typer.Option(min=1, help="networks that answer together")] = 3,
    json_file: FiguresFile = None,
) -> None:
    """Time one nodule's grade against banks of growing size, on one core."""
    if not all(text.strip().isdigit() and int(text) for text in cases.split(",")):
        fail("--cases are numbers above 0 with commas between, such as 100,1000")
    from workers.bench.grading import bench_grading

    result = bench_grading(
        tuple(int(text) for text in cases.split(",")), runs=runs, members=members
    )
    if wrote_figures(result, json_file):
        return
    table = Table("cases in the bank", "ms per nodule")
    for count, taken in result["ms"].items():
        table.add_row(count, f"{taken:.1f}")
    console.print(table)


@commands.command()
def compose(
    slices: Annotated[int, typer.Option(min=30, help="of the CT, 1 mm apart")] = 300,
    pixels: Annotated[int, typer.Option(min=64, help="rows and columns")] = 512,
    nodules: Annotated[int, typer.Option(min=1, max=100, help="part-solid balls")] = 10,
    smallest_mm: Annotated[float, typer.Option(min=3.0, max=40.0, help="of the balls")] = 6.0,
    largest_mm: Annotated[float, typer.Option(min=3.0, max=40.0, help="of the balls")] = 12.0,
    runs: Annotated[int, typer.Option(min=1, help="of everything, after a first one")] = 5,
    language: Annotated[Language, typer.Option(help="of the pictures")] = Language.en,
    json_file: FiguresFile = None,
) -> None:
    """Time what makes SEG, SR, key images and PDF of a result, and tell their sizes."""
    from workers.bench.compose import bench_compose

    with reported_errors(), errors.status("composing"):
        result = bench_compose(
            slices=slices,
            pixels=pixels,
            nodules=nodules,
            runs=runs,
            language=language.value,
            diameters_mm=(smallest_mm, largest_mm),
        )
    if wrote_figures(result, json_file):
        return
    table = Table("step", "wall s", "CPU s", "first, wall s", "kB")
    for kind, wall_s in result["wall_s"].items():
        size = result["bytes"].get(kind)
        table.add_row(
            kind,
            f"{wall_s:.2f}",
            f"{result['cpu_s'][kind]:.2f}",
            f"{result['first_wall_s'][kind]:.2f}",
            "" if size is None else f"{size / 1000:.0f}",
        )
    table.add_row(
        "together",
        *(f"{sum(result[name].values()):.2f}" for name in ("wall_s", "cpu_s", "first_wall_s")),
        f"{sum(result['bytes'].values()) / 1000:.0f}",
    )
    console.print(table)
    console.print(f"load average {result['load']:.1f} on {result['cores']} cores")


@commands.command("console")
def ask_database(
    jobs: Annotated[int, typer.Option(min=1, help="made-up jobs to fill each with")] = 100_000,
    runs: Annotated[int, typer.Option(min=1, help="of each question")] = 5,
    state_url: BesideSqlite = None,
    json_file: FiguresFile = None,
) -> None:
    """Time what the console's pages ask of a database with very many jobs."""
    from workers.bench.console import bench_console
    from workers.state.database import Database

    found = []
    with (
        reported_errors(),
        tempfile.TemporaryDirectory(prefix="pulmonode-bench-") as folder,
        errors.status("filling and asking"),
    ):
        for url in (f"sqlite:///{folder}/state.sqlite", *([state_url] if state_url else [])):
            database = Database(url)
            found.append(bench_console(database, jobs=jobs, runs=runs))
            database.close()
    if wrote_figures(found, json_file):
        return
    table = Table("question", *(f"{item['database']}, ms (worst)" for item in found))
    for name in found[0]["questions"]:
        cells = [item["questions"][name] for item in found]
        table.add_row(name, *(f"{cell['ms']:.1f} ({cell['worst_ms']:.1f})" for cell in cells))
    console.print(table)
    kinds = ", ".join(f"{item['database']}: {item['jobs']} jobs" for item in found)
    console.print(f"{kinds}; medians of the questions alone, without the page", soft_wrap=True)


@commands.command("ingest")  # its name in older notes
@commands.command()
def receive(
    images: Annotated[int, typer.Option(min=8, help="512 x 512 x 16 bit each")] = 300,
    rounds: Annotated[int, typer.Option(min=1, help="each receiver once in each")] = 7,
    folder: Annotated[Path, typer.Option(help="on the disk that is to be measured")] = Path(
        "build/bench/receive"
    ),
    json_file: FiguresFile = None,
) -> None:
    """Images received per second, over 1 and 4 associations, beside Orthanc and storescp."""
    from workers.bench.receive import ReceivePlan, bench_receive

    plan = ReceivePlan(folder=folder, images=images, rounds=rounds)
    with reported_errors(), errors.status("measuring") as status:
        result = bench_receive(plan, lambda step: status.update(step))
    if wrote_figures(result, json_file):
        return
    _print_receive(result)


def _print_receive(result: dict[str, Any]) -> None:
    def told(values: dict[str, float], digits: int) -> str:
        median, low, high = (f"{values[key]:.{digits}f}" for key in ("median", "low", "high"))
        return f"{median} ({low} - {high})"

    counts = list(next(iter(result["images_per_s"].values())))
    rates = Table(
        "receiver",
        "durable",
        *(f"images/s, {count} assoc." for count in counts),
        *(f"CPU s, {count}" for count in counts),
        *(f"ours / this, {count}" for count in counts),
    )
    for name, by_count in result["images_per_s"].items():
        ratios = result["ratio_spread"].get(name)
        rates.add_row(
            name,
            "yes" if result["durable"][name] else "no",
            *(told(by_count[count], 0) for count in counts),
            *(f"{result['cpu_s'][name][count]['median']:.2f}" for count in counts),
            *(told(ratios[count], 2) if ratios else "" for count in counts),
        )
    console.print(rates)
    if result["equal"]:
        equal = ", ".join(f"{told(result['equal'][count], 2)} for {count}" for count in counts)
        console.print(f"ours without fsync / storescp: {equal}", soft_wrap=True)
    console.print(
        f"{result['images']} images, {result['rounds']} rounds, {result['cores']} cores; load "
        f"average {result['load']['first']:.1f} to {result['load']['last']:.1f}. "
        "Medians (lowest - highest).",
        soft_wrap=True,
    )


def _print(result: dict[str, Any]) -> None:
    from workers.bench.detection import WORK

    machine = result["machine"]
    shape = " x ".join(str(size) for size in result["volume"]["shape"])
    console.print(
        f"{shape} voxels, {result['volume']['nodules']} nodules; {machine['threads']} threads of "
        f"{machine['cores']} cores, {machine['processor']}. Medians, wall / CPU seconds.",
        soft_wrap=True,
    )
    table = Table("method", *WORK, "together", "fastest", "start", "peak MB", "found", "load")
    for row in result["methods"]:
        stages = {
            name: f"{item['wall_s']:.1f} / {item['cpu_s']:.1f}"
            for name, item in row["stages"].items()
        }
        table.add_row(
            row["name"],
            *(stages[name] for name in WORK),
            f"{row['work']['wall_s']:.1f} / {row['work']['cpu_s']:.1f}",
            f"{row['work_fastest_wall_s']:.1f}",
            stages["start"],
            f"{row['peak_rss_mb']:.0f}",
            f"{row['nodules_listed']}/{result['volume']['nodules']} + {row['others_listed']}",
            f"{row['load_before']:.1f}",
        )
    console.print(table)
    for name, why in result["refused"].items():
        console.print(f"not measured: {name}: {why}", soft_wrap=True)
    peer = result["peer"]
    if peer is not None:
        console.print(
            f"{peer['architecture']}: {peer['tile_wall_s']:.1f} / {peer['tile_cpu_s']:.1f} s for a "
            f"tile of {' x '.join(map(str, peer['tile_voxels']))}, {peer['tiles_measured']} "
            f"measured; {peer['tiles_of_the_box']} tiles for the lungs: "
            f"{peer['box_wall_s']:.0f} / {peer['box_cpu_s']:.0f} s, extrapolated; peak "
            f"{peer['peak_rss_mb']:.0f} MB",
            soft_wrap=True,
        )
