"""`pulmonode bench scale` and `claims`: a hospital's day replayed, and what many jobs cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.output import FiguresFile, console, errors, reported_errors, wrote_figures

PROBLEMS_SHOWN = 20
BesideSqlite = Annotated[
    str | None,
    typer.Option(help="an empty PostgreSQL database to measure beside SQLite; it is filled"),
]


def scale(
    studies: Annotated[int, typer.Option(min=10, help="chest CTs of the day")] = 600,
    speed: Annotated[float, typer.Option(min=1.0, help="seconds of the day in one second")] = 144.0,
    workers: Annotated[int, typer.Option(min=1, help="analyses at the same time")] = 1,
    burst: Annotated[int, typer.Option(min=1, help="scanners at once in a burst")] = 6,
    slices: Annotated[int, typer.Option(min=40, help="of each CT, over 200 mm")] = 40,
    pixels: Annotated[int, typer.Option(min=200, help="rows and columns, over 300 mm")] = 200,
    history: Annotated[
        int, typer.Option(min=0, help="made-up jobs of earlier days in the database")
    ] = 0,
    seed: Annotated[int, typer.Option(help="of the day")] = 0,
    state_url: Annotated[
        str | None, typer.Option(help="an empty PostgreSQL database; it is filled")
    ] = None,
    broker_url: Annotated[str | None, typer.Option(help="a Redis or Valkey of its own")] = None,
    json_file: FiguresFile = None,
    picture: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="draw the day here (PNG; needs the extra 'training')"),
    ] = None,
) -> None:
    """Replay a hospital's day through the whole service, with only the inference shortened.

    Ends with 1 when anything was lost or doubled, or went to another patient.
    """
    from workers.bench.scale.replay import ScalePlan, bench_scale, is_whole

    plan = ScalePlan(
        studies=studies,
        speed=speed,
        workers=workers,
        burst=burst,
        slices=slices,
        pixels=pixels,
        seed=seed,
        history=history,
        state_url=state_url,
        broker_url=broker_url,
    )
    with reported_errors(), errors.status("starting the service") as status:
        result = bench_scale(plan, status.update)
    if picture is not None:
        from workers.bench.scale.picture import draw_day

        picture.parent.mkdir(parents=True, exist_ok=True)
        draw_day(result, picture)
    if not wrote_figures(result, json_file):
        _print(result)
    if not is_whole(result):
        raise typer.Exit(1)


def _print(result: dict[str, Any]) -> None:
    received, verdict, waits = result["received"], result["verdict"], result["waits"]
    kinds = Table("sent as", "studies")
    for kind, count in received["studies"].items():
        kinds.add_row(kind, str(count))
    console.print(kinds)
    ends = Table("ended as", "studies")
    for state, count in verdict["ends"].items():
        ends.add_row(state, str(count))
    console.print(ends)
    refused = ", ".join(f"{count} x {what}" for what, count in received["refused"].items())
    console.print(
        f"{received['images']} images over {received['associations']} associations; refused: "
        f"{refused or 'none'}. {verdict['revisions_at_pacs']} results at the PACS, "
        f"{verdict['resends']} objects sent again with the same bytes",
        soft_wrap=True,
    )
    for name in ("lost", "doubled", "misplaced"):
        console.print(f"{name}: {len(verdict[name])}")
        for problem in verdict[name][:PROBLEMS_SHOWN]:
            console.print(f"  {problem}", soft_wrap=True)
    most = ", ".join(f"{state} {count}" for state, count in waits["most"].items())
    console.print(
        f"waited longest: queued {waits['oldest_queued_s']:.1f} s, undelivered "
        f"{waits['oldest_undelivered_s']:.1f} s (the PACS was away meanwhile); most: {most}, "
        f"images not indexed yet {waits['most_unindexed']}",
        soft_wrap=True,
    )
    stages = Table("stage", "median s", "95 of 100 within", "longest")
    for name, taken in result["stages_s"].items():
        cells = (f"{taken[key]:.2f}" for key in ("median", "p95", "longest") if key in taken)
        stages.add_row(name, *cells)
    console.print(stages)
    memory = Table("process", "MB at the start", "middle", "end", "MB per 100 studies", "CPU s")
    for role, mb in result["memory_mb"].items():
        memory.add_row(
            role,
            *(f"{mb[name]:.0f}" for name in ("start", "middle", "end")),
            f"{mb['mb_per_100_studies']:+.1f}",
            f"{result['cpu_s'].get(role, 0.0):.0f}",
        )
    console.print(memory)
    claims = Table("asked of the database", f"ms with {result['claims']['jobs']} jobs (worst)")
    for name, taken in result["claims"]["questions"].items():
        claims.add_row(name, f"{taken['ms']:.1f} ({taken['worst_ms']:.1f})")
    console.print(claims)
    machine = result["machine"]
    console.print(
        f"{result['wall_s']:.0f} s of the clock, {result['speed_up']:.0f} times a day's pace; "
        f"{machine['cores']} cores, load average {machine['load_before']:.1f} before and "
        f"{machine['load_after']:.1f} after; only the inference was shortened",
        soft_wrap=True,
    )


def claims(
    runs: Annotated[int, typer.Option(min=1, help="of each question")] = 5,
    state_url: BesideSqlite = None,
    json_file: FiguresFile = None,
) -> None:
    """Time what node and workers ask at every look, with 100 and with 100,000 jobs."""
    from workers.bench.claims import bench_claims

    with reported_errors(), errors.status("filling and asking"):
        urls = (None, *([state_url] if state_url else []))
        found = [bench_claims(runs=runs, state_url=url) for url in urls]
    if wrote_figures(found, json_file):
        return
    for item in found:
        stocks = item["stocks"]
        table = Table(f"{item['database']}, ms (worst)", *stocks)
        for name in next(iter(stocks.values()))["questions"]:
            cells = [stock["questions"][name] for stock in stocks.values()]
            table.add_row(name, *(f"{cell['ms']:.1f} ({cell['worst_ms']:.1f})" for cell in cells))
        console.print(table)
