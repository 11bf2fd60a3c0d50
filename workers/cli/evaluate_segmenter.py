"""`pulmonode evaluate segmenter`: from the cube network's weights to figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.evaluate import commands
from workers.cli.output import console, errors, fail, load_settings, reported_errors
from workers.cli.train_segmenter import SimulationData


def register() -> None:
    """Add this command to ``evaluate``."""
    commands.command()(segmenter)


def segmenter(
    data: SimulationData,
    model: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="folder with the weights")
    ],
    detector: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="folder with the detector whose mistakes are judged; the shipped one if absent",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="write the figures here")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="write a Bland-Altman plot here (PNG)")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="simulated cubes")] = 400,
    thoraces: Annotated[
        int, typer.Option(min=0, help="simulated thoraces that no training used")
    ] = 1,
    seed: Annotated[int, typer.Option(help="of cubes and phantoms")] = 0,
    phantoms: Annotated[bool, typer.Option(help="measure on phantoms as well")] = True,
    classical: Annotated[bool, typer.Option(help="the classical method beside it")] = True,
    combine: Annotated[
        bool,
        typer.Option(
            help="fit how detector and network are combined, on tuning patients, and note it in "
            "the model's manifest"
        ),
    ] = False,
    volumes: Annotated[int, typer.Option(min=1, help="tuning volumes per background")] = 3,
    false_positives: Annotated[
        float, typer.Option(min=0.05, help="per tuning volume: sets the threshold")
    ] = 1.0,
    lesions: Annotated[
        Path | None, typer.Option(exists=True, help="YAML of known lesions by series")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="folder for prepared backgrounds")] = None,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Measure a cube network: outlines, sizes, types, nodule or not."""
    # Here, not above: torch takes seconds to load, and no other command should wait for it.
    import torch

    from inference.weights import SHIPPED, note_facts
    from workers.bland_altman import draw_bland_altman
    from workers.segmenter_evaluation import (
        SegmenterPlan,
        evaluate_segmenter,
        fit_on_tuning,
    )
    from workers.training_data import read_lesions

    torch.set_num_threads(threads)
    load_settings()
    with reported_errors():
        plan = SegmenterPlan(
            data=data,
            cache=cache or model / "backgrounds",
            model=model,
            detector=detector or SHIPPED,
            lesions=read_lesions(lesions),
            samples=samples,
            thoraces=thoraces,
            seed=seed,
            phantoms=phantoms,
            classical=classical,
        )
        if combine:
            try:
                fitted = fit_on_tuning(
                    plan, volumes=volumes, false_positives=false_positives, told=errors.print
                )
            except ValueError as error:
                fail(str(error))
            note_facts("segmenter", model, {"combination": fitted})
            console.print(f"combination: {fitted}", soft_wrap=True)
        result = evaluate_segmenter(plan, errors.print)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2) + "\n")
    if plot is not None:
        pairs = _long_axes(result)
        if len(pairs) >= 2:
            draw_bland_altman(pairs, plot, title="Long axis, simulated cubes")
    _print(result)


def _long_axes(result: Mapping[str, Any]) -> list[tuple[float, float]]:
    """True and found long axes of the simulated nodules."""
    return [
        (row["long_axis_mm"], row["found_long_axis_mm"])
        for row in result["simulated"].get("network", {}).get("nodules", ())
        if row["found_long_axis_mm"] is not None and row["long_axis_mm"] is not None
    ]


def _print(result: Mapping[str, Any]) -> None:
    table = Table(
        "set", "method", "nodules", "Dice", "volume error %", "bias %", "axis error mm",
        "within 1 mm", "type right",
    )  # fmt: skip
    simulated = result["simulated"]
    for method in ("network", "other"):
        if method in simulated:
            _rows(table, "cubes", method, simulated[method])
    for name, methods in result["phantoms"].items():
        for method, figures in methods.items():
            _rows(table, f"phantoms, {name}", method, figures)
    console.print(table)
    auc = simulated["auc"]
    parts = ", ".join(
        f"{name} {cell['auc']:.3f} ({cell['count']})"
        for name, cell in auc.items()
        if isinstance(cell, dict)
    )
    console.print(
        f"nodule or not, area under the ROC {auc['all']:.3f} ({auc['nodules']} nodules; {parts})",
        soft_wrap=True,
    )
    for row in result["real"]:
        console.print(
            f"{row['scan']}, nodule {row['nodule']}, {row['method']}: Dice {row['dice']:.3f}, "
            f"volume {row['found_volume_mm3'] or 0:.0f} of {row['volume_mm3']:.0f} mm3, long axis "
            f"{row['found_long_axis_mm'] or 0:.1f} of {row['long_axis_mm']:.1f} mm",
            soft_wrap=True,
        )


def _rows(table: Table, name: str, method: str, figures: Mapping[str, Any]) -> None:
    groups = {"all": figures["all"], "from 8 mm": figures["from_8_mm"]}
    groups |= {f"{key} mm": value for key, value in figures["size_mm"].items()}
    groups |= figures["type"]
    for group, cell in groups.items():
        table.add_row(
            f"{name}: {group}",
            method,
            f"{cell['outlined']}/{cell['count']}",
            *(
                "-" if cell[key] is None else f"{cell[key]:.2f}"
                for key in (
                    "dice_median",
                    "volume_error_percent_median",
                    "volume_bias_percent_median",
                    "long_axis_error_mm_median",
                    "long_axis_within_1_mm",
                    "type_right",
                )
            ),
        )
