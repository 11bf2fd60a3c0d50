"""`pulmonode bench pipeline`: from the last image to the report, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.output import FiguresFile, console, errors, reported_errors, wrote_figures

COLUMNS = ("assembly", "queue", "analysis", "objects", "delivery")


def pipeline(
    slices: Annotated[int, typer.Option(min=60, help="of the usual series, over 300 mm")] = 300,
    nodules: Annotated[int, typer.Option(min=0, max=30, help="in the usual series")] = 5,
    pixels: Annotated[int, typer.Option(min=128, help="rows and columns")] = 512,
    grow: Annotated[
        bool, typer.Option("--grow", help="also 100 to 1,200 slices and 0 to 30 nodules")
    ] = False,
    runs: Annotated[int, typer.Option(min=1, help="of each, with other phantoms")] = 3,
    json_file: FiguresFile = None,
    picture: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="draw the growth here (PNG; needs the extra 'training')"),
    ] = None,
) -> None:
    """Time a series from its last C-STORE to its report at a PACS, through the whole service."""
    from workers.bench.pipeline import Series, bench_pipeline, growing

    usual = Series(slices=slices, nodules=nodules, pixels=pixels)
    cases = growing((100, 600, 1200), (0, 15, 30), usual=usual) if grow else iter([usual])
    with reported_errors(), errors.status("running series through the service"):
        result = bench_pipeline(list(cases), runs=runs)
    if wrote_figures(result, json_file):
        return
    _print(result)
    if picture is not None:
        from workers.bench.growth_picture import draw_growth

        picture.parent.mkdir(parents=True, exist_ok=True)
        draw_growth(result, picture)


def _print(result: dict[str, Any]) -> None:
    table = Table("slices", "nodules", *COLUMNS, "image to SR, s", "slowest", "worker, MB", "found")
    for case in result["cases"]:
        median = case["median"]
        table.add_row(
            str(case["slices"]),
            str(case["nodules"]),
            *(f"{median[name]:.1f}" for name in COLUMNS),
            f"{median['image_to_report']:.1f}",
            f"{case['slowest_s']:.1f}",
            f"{median['peak_rss_mb']:.0f}",
            f"{median['nodules_found']:.0f}",
        )
    console.print(table)
    console.print(
        f"medians of {result['runs']} runs, wall seconds on {result['cores']} cores, load average "
        f"{result['load']:.1f} before; what the settings wait (quiet time, hold) is left out",
        soft_wrap=True,
    )
