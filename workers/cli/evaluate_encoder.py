"""`pulmonode evaluate encoder`: from the cross-view encoder's weights to figures and features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.evaluate import commands
from workers.cli.output import console, errors, fail, load_settings, reported_errors
from workers.cli.train_segmenter import SimulationData


def register() -> None:
    """Add this command to ``evaluate``."""
    commands.command()(encoder)


def encoder(
    data: SimulationData,
    model: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="folder with the weights")
    ],
    renderings: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="folder that train encoder rendered into"),
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="write the figures here")
    ] = None,
    described: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="write features, attributes, radiomics and measures of every rendered nodule "
            "here (.npz), for graders",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=0, help="as many as train encoder was given, for --described")
    ] = 0,
    chunks: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="LUNA16 chunks (.npz) to look at"),
    ] = None,
    real: Annotated[bool, typer.Option(help="look at unseen real series")] = True,
    seed: Annotated[int, typer.Option(help="of the intervals")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Measure an encoder on rendered nodules of test patients, and look at real ones."""
    # Here, not above: torch takes seconds to load, and no other command should wait for it.
    import torch

    from inference.deep_features import to_encoder
    from inference.weights import load_weights
    from workers.encoder_data import open_data
    from workers.encoder_evaluation import (
        evaluate_encoder,
        look_at,
        write_described,
    )
    from workers.real_nodules import nodules_of_chunks, nodules_of_scans

    torch.set_num_threads(threads)
    load_settings()
    with reported_errors():
        try:
            weights = load_weights("encoder", model)
            rendered = open_data(renderings, told=errors.print)
            ready = to_encoder(weights)
            result: dict[str, Any] = {
                "model": {"sha256": weights.sha256, "version": weights.version, **weights.facts},
                "rendered": evaluate_encoder(rendered, weights, seed=seed),
            }
            if real:
                result["real"] = look_at(nodules_of_scans(data, weights.facts["unseen"]), ready)
            if chunks is not None:
                result["chunks"] = look_at(nodules_of_chunks(chunks, data / "lidc"), ready)
            if json_file is not None:
                json_file.write_text(json.dumps(result, indent=2))
            _show(result["rendered"])
            for line in (*result.get("real", ()), *result.get("chunks", ())):
                console.print_json(json.dumps(line))
            if described is not None:
                facts = write_described(
                    rendered, model, renderings, described, folds=folds, told=errors.print
                )
                console.print(f"wrote {described} ({facts})", soft_wrap=True)
        except ValueError as error:
            fail(str(error))


def _show(figures: dict[str, Any]) -> None:
    table = Table(title=f"rendered nodules of {figures['part']} patients")
    named = [name for name in figures if name != "part"]
    for title in ("figure", *named):
        table.add_column(title.replace("_", " "))
    first = figures[named[0]]
    for key in first:
        if key != "attributes":
            table.add_row(key, *(_text(figures[name][key]) for name in named))
    for attribute in first["attributes"]:
        for kind in ("spearman", "mae", "mae_of_median"):
            cells = (_text(figures[name]["attributes"][attribute][kind]) for name in named)
            table.add_row(f"{attribute} {kind}", *cells)
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_text(value['value'])} ({_text(value['low'])} to {_text(value['high'])})"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
