"""`pulmonode train grader`: from described nodules to the graph's weights and its bank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.modality_tables import print_sets
from workers.cli.output import console, errors, fail, load_settings, reported_errors
from workers.cli.train import commands


def register() -> None:
    """Add this command to ``train``."""
    commands.command()(grader)


def grader(
    described: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="described nodules, written by: evaluate encoder --describe",
        ),
    ],
    out: Annotated[Path, typer.Option(help="folder for weights, bank and manifest")],
    seed: Annotated[int, typer.Option(help="same seed, same weights")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="of the optimiser, each network")] = 250,
    members: Annotated[int, typer.Option(min=1, help="networks that answer together")] = 3,
    vote: Annotated[
        float, typer.Option(min=0, max=0.9, help="share of an answer that neighbours vote")
    ] = 0.1,
    bank_size: Annotated[int, typer.Option(min=4, help="typical cases at most")] = 1000,
    simulated: Annotated[
        bool,
        typer.Option(
            "--simulated",
            help="with SIMULATED clinical data, blood tests and PET: weights that are used only "
            "where a site names such a modality",
        ),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="write the figures here")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Train the multimodal graph, calibrate it, and choose its typical cases.

    Needs the extra ``training``. Learned is readers' opinion, not histology.
    """
    try:
        import sklearn  # noqa: F401
        import xgboost  # noqa: F401
    except ImportError as error:
        fail(f"{error.name} is missing: pip install 'pulmonode[training]'")
    import torch

    from inference.grading.config import GraphConfig, TrainingConfig
    from workers.described_nodules import read_described
    from workers.grader_training import train_grader
    from workers.simulated_patients import SIMULATED, with_simulated_patients

    torch.set_num_threads(threads)
    load_settings()
    with reported_errors():
        nodules = read_described(described)
        if simulated:
            nodules = with_simulated_patients(nodules, seed=seed)
        facts = train_grader(
            nodules,
            out,
            seed=seed,
            graph=GraphConfig(widths={"any": 1}, vote=vote),
            training=TrainingConfig(steps=steps, members=members, bank_size=bank_size),
            told=errors.print,
            simulated=SIMULATED if simulated else (),
        )
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(facts, indent=2) + "\n")
    for rows, figures in facts["worth"].items():
        if simulated:
            print_sets(console, rows, figures)
        else:
            _print(rows, figures)
    use = facts["use_of_the_bank"]
    console.print(
        f"edges per nodule and network: {use['edges']:.1f}; a twin rated 5 instead of 1 moves the "
        f"suspicion by {use['twin']:.3f}"
    )
    console.print(f"wrote {out / 'grader.safetensors'} and a bank of {facts['bank_cases']} cases")


def _print(rows: str, worth: dict[str, Any]) -> None:
    console.print(
        f"test, {rows}: {worth['rows']} rows, {worth['nodules']} nodules, "
        f"{worth['patients']} patients"
    )
    table = Table("model", "AUC", "QWK", "right", "Brier", "ECE")
    for name, one in worth["models"].items():
        keys = ("auc_ovr", "qwk", "accuracy", "brier", "ece")
        table.add_row(name, *(f"{one[key]:.3f}" for key in keys))
    console.print(table)
    for name, apart in worth["graph_minus"].items():
        texts = [
            f"{key} {value['value']:+.4f} ({value['low']:+.4f} to {value['high']:+.4f})"
            for key, value in apart.items()
        ]
        console.print(f"graph - {name}: {', '.join(texts)}", soft_wrap=True, highlight=False)
