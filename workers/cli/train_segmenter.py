"""`pulmonode train segmenter`: from data to the cube network's weights."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.output import console, errors, fail, load_settings, reported_errors
from workers.cli.train import commands, told_and_kept

SimulationData = Annotated[
    Path,
    typer.Option(
        exists=True,
        file_okay=False,
        envvar="PULMONODE_SHARED",
        help="folder with lidc/ (annotation tables) and ct/NAME/dicom (series)",
    ),
]


def register() -> None:
    """Add this command to ``train``."""
    commands.command()(segmenter)


def segmenter(
    data: SimulationData,
    out: Annotated[Path, typer.Option(help="folder for weights, checkpoint and progress.jsonl")],
    seed: Annotated[int, typer.Option(help="same seed, same weights")] = 0,
    minutes: Annotated[
        float | None, typer.Option(min=0.05, help="as many steps as fit; the number is recorded")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="steps of the optimiser")] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="CT series not to be used, repeatable")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="folder with weights to start from"),
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="folder with a detector's weights, whose mistakes are shown; the shipped one "
            "if absent",
        ),
    ] = None,
    mine: Annotated[bool, typer.Option(help="show a detector's mistakes")] = True,
    simulated: Annotated[int, typer.Option(min=0, help="simulated thoraces as backgrounds")] = 4,
    rate: Annotated[float, typer.Option(min=1e-6, max=1, help="highest learning rate")] = 2e-3,
    batch: Annotated[int, typer.Option(min=1, help="cubes per step")] = 8,
    lesions: Annotated[
        Path | None, typer.Option(exists=True, help="YAML of known lesions by series")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="folder for prepared backgrounds")] = None,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Train the network that outlines, types and judges candidates in cubes around them.

    Interrupted, the same command goes on from the last checkpoint in OUT.
    """
    # Here, not above: torch takes seconds to load, and no other command should wait for it.
    import torch

    from inference.models.voi_network import VoiNetworkConfig
    from inference.training.run import Schedule
    from inference.training.shapes import load_shapes
    from inference.training.voi_loop import train_segmenter
    from inference.weights import SHIPPED, load_weights, save_weights
    from workers.training_data import check_names, read_lesions, scan_names
    from workers.voi_training_data import prepare_voi_backgrounds

    torch.set_num_threads(threads)
    load_settings()
    if steps is None and minutes is None:
        minutes = 20.0
    with reported_errors():
        try:
            config = Schedule(
                seed=seed,
                steps=steps,
                minutes=None if steps else minutes,
                learning_rate=rate,
                batch_size=batch,
            )
            left_out = tuple(leave_out or ())
            check_names(left_out, data)
            network = VoiNetworkConfig()
            miner = load_weights("detector", detector or SHIPPED) if mine else None
            begun = time.time()
            backgrounds = prepare_voi_backgrounds(
                data,
                [name for name in scan_names(data) if name not in left_out],
                read_lesions(lesions),
                simulated=range(simulated),
                cache=cache or out / "backgrounds",
                detector=miner,
                told=errors.print,
            )
            shapes = load_shapes(data / "lidc", parts=("train",))
            out.mkdir(parents=True, exist_ok=True)
            with told_and_kept(out / "progress.jsonl", begun) as progress:
                model = train_segmenter(
                    shapes,
                    backgrounds,
                    config,
                    checkpoint=out / "checkpoint.pt",
                    model_config=network,
                    start=load_weights("segmenter", start).tensors if start else None,
                    progress=progress,
                )
        except ValueError as error:
            fail(str(error))
        made = torch.load(out / "checkpoint.pt", weights_only=True)
        facts = {
            "seed": seed,
            "steps": made["steps"],
            "trained_s": round(made["trained_s"]),
            "batch_size": batch,
            "rate": rate,
            "nodule_shapes": len(shapes),
            "backgrounds": [item.coarse.name for item in backgrounds],
            "mistakes": {item.coarse.name: len(item.mistakes) for item in backgrounds},
            "mined_with": miner.sha256 if miner else None,
            "left_out": list(left_out),
            "started_from": load_weights("segmenter", start).sha256 if start else None,
            "threads": threads,
            "processors": os.cpu_count(),
        }
        digest = save_weights(
            "segmenter",
            model.state_dict(),
            out,
            version=f"seed{seed}-steps{made['steps']}",
            config=network.to_dict(),
            facts=facts,
        )
    console.print(f"wrote {out / 'segmenter.safetensors'} (sha256 {digest[:12]})")
