"""`pulmonode train encoder`: from rated nodule shapes to the cross-view encoder's weights."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.output import console, errors, fail, load_settings, reported_errors
from workers.cli.train import commands, told_and_kept
from workers.cli.train_segmenter import SimulationData

UNSEEN_BY_DEFAULT = ("lidc_idri_0001",)
Unseen = Annotated[
    list[str] | None,
    typer.Option(
        help="CT series whose lungs only test nodules are put into, repeatable; lidc_idri_0001 "
        "if absent"
    ),
]
Renderings = Annotated[
    Path | None,
    typer.Option(help="folder for rendered nodules, about 2.5 GB; OUT/renderings if absent"),
]


def register() -> None:
    """Add this command to ``train``."""
    commands.command()(encoder)


def encoder(
    data: SimulationData,
    out: Annotated[Path, typer.Option(help="folder for weights, checkpoint and progress.jsonl")],
    seed: Annotated[int, typer.Option(help="same seed, same weights")] = 0,
    minutes: Annotated[
        float | None, typer.Option(min=0.05, help="as many steps as fit; the number is recorded")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="steps of the optimiser")] = None,
    unseen: Unseen = None,
    renderings: Renderings = None,
    by_everyone: Annotated[
        int, typer.Option(min=1, help="renderings of a nodule by the mean of all its readers")
    ] = 4,
    by_each_reader: Annotated[
        int, typer.Option(min=0, help="renderings of a nodule by each single reader")
    ] = 1,
    every: Annotated[int, typer.Option(min=1, help="only every so-manieth nodule")] = 1,
    set_seed: Annotated[int, typer.Option(help="of the renderings")] = 1,
    folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="train so many further networks, each without a share of the patients, for "
            "features of training nodules that did not train (evaluate encoder --described)",
        ),
    ] = 0,
    fold_steps: Annotated[
        int | None, typer.Option(min=1, help="steps of each of these; as many if absent")
    ] = None,
    simulated: Annotated[int, typer.Option(min=0, help="simulated thoraces as backgrounds")] = 4,
    rate: Annotated[float, typer.Option(min=1e-6, max=1, help="highest learning rate")] = 2e-3,
    batch: Annotated[int, typer.Option(min=2, help="cubes per step")] = 16,
    lesions: Annotated[
        Path | None, typer.Option(exists=True, help="YAML of known lesions by series")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="folder for prepared backgrounds")] = None,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Train the network that describes nodules: attributes, malignancy rating, fused feature.

    Nodules are rendered first, then their radiomics computed. Interrupted, the same command goes
    on where it was.
    """
    # Here, not above: torch takes seconds to load, and no other command should wait for it.
    import torch

    from inference.models.cross_view_encoder import CrossViewConfig
    from inference.radiomics.table import ROI_TABLE, TABLE_VERSION
    from inference.training.encoder_loop import train_encoder
    from inference.training.rendered_set import SetPlan
    from inference.training.run import Schedule
    from inference.weights import save_weights
    from workers.encoder_data import fold_folder, open_data, render_parts, rows_of, split_folds
    from workers.training_data import check_names, read_lesions

    torch.set_num_threads(threads)
    load_settings()
    if steps is None and minutes is None:
        minutes = 20.0
    left_out = tuple(UNSEEN_BY_DEFAULT if unseen is None else unseen)
    folder = renderings or out / "renderings"
    with reported_errors():
        try:
            schedule = Schedule(
                seed=seed,
                steps=steps,
                minutes=None if steps else minutes,
                learning_rate=rate,
                batch_size=batch,
            )
            check_names(left_out, data)
            begun = time.time()
            render_parts(
                data,
                SetPlan(
                    seed=set_seed,
                    by_everyone=by_everyone,
                    by_each_reader=by_each_reader,
                    every=every,
                ),
                folder,
                unseen=left_out,
                simulated=simulated,
                lesions=read_lesions(lesions),
                cache=cache or out / "backgrounds",
                told=errors.print,
            )
            rendered = open_data(folder, told=errors.print)
            network = CrossViewConfig(radiomics=ROI_TABLE.names)
            chosen = rows_of(rendered.rows, "train")
            runs = [(out, chosen, schedule)]
            shorter = schedule if fold_steps is None else Schedule(
                seed=seed, steps=fold_steps, learning_rate=rate, batch_size=batch
            )  # fmt: skip
            for number, fold in enumerate(split_folds(rendered.rows, folds)):
                kept = chosen[~fold[chosen]]
                runs.append((fold_folder(out, number), kept, shorter))
            for target, some, plan in runs:
                target.mkdir(parents=True, exist_ok=True)
                with told_and_kept(target / "progress.jsonl", begun) as progress:
                    model = train_encoder(
                        rendered,
                        some,
                        plan,
                        checkpoint=target / "checkpoint.pt",
                        model_config=network,
                        progress=progress,
                    )
                made = torch.load(target / "checkpoint.pt", weights_only=True)
                used = rendered.rows.nodule[some]
                facts = {
                    "seed": seed,
                    "steps": made["steps"],
                    "trained_s": round(made["trained_s"]),
                    "batch_size": batch,
                    "rate": rate,
                    "nodules": len(set(used.tolist())),
                    "renderings": len(some),
                    "backgrounds": sorted(set(rendered.rows.background[some].tolist())),
                    "unseen": list(left_out),
                    "radiomics_table": TABLE_VERSION,
                    "threads": threads,
                    "processors": os.cpu_count(),
                }
                digest = save_weights(
                    "encoder",
                    model.state_dict(),
                    target,
                    version=f"seed{seed}-steps{made['steps']}",
                    config=network.to_dict(),
                    facts=facts,
                )
                console.print(
                    f"wrote {target / 'encoder.safetensors'} (sha256 {digest[:12]})",
                    soft_wrap=True,
                )
        except ValueError as error:
            fail(str(error))
