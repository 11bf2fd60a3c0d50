"""`pulmonode train`: from data to weights."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from workers.cli.output import console, errors, fail, load_settings, reported_errors

Data = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        envvar="PULMONODE_SHARED",
        help="folder with lidc/ (annotation tables) and ct/NAME/dicom (series)",
    ),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        help="annotated CT, repeatable: lidc:DIR, luna16:DIR, seg:DIR or csv:FILE",
    ),
]
Readers = Annotated[
    int, typer.Option(min=1, help="nodules marked by fewer are neither right nor wrong")
]
commands = typer.Typer(help="Train a network from data outside of this installation.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="train")


@contextmanager
def told_and_kept(path: Path, begun: float) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Print lines of progress and append them to a file, with the seconds since `begun`."""
    with path.open("a") as log:

        def tell(line: dict[str, Any]) -> None:
            text = json.dumps({"at_s": round(time.time() - begun, 1), **line})
            log.write(text + "\n")
            log.flush()
            typer.echo(text)

        yield tell


@commands.callback()
def _group() -> None:
    """Keep ``detector`` a command of its own while it is the only one."""


@commands.command()
def detector(
    out: Annotated[Path, typer.Option(help="folder for weights, checkpoint and progress.jsonl")],
    data: Data = None,
    dataset: Datasets = None,
    readers: Readers = 3,
    every_patient: Annotated[
        bool,
        typer.Option(help="use also the patients of the data sets that are kept for testing"),
    ] = False,
    seed: Annotated[int, typer.Option(help="same seed, same weights")] = 0,
    minutes: Annotated[
        float | None, typer.Option(min=0.05, help="as many steps as fit; the number is recorded")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="steps of the optimiser")] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help="CT series not to be used, repeatable: by name in --data; by Series Instance "
            "UID or patient in --dataset"
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="folder with weights to start from"),
    ] = None,
    simulated: Annotated[int, typer.Option(min=0, help="simulated thoraces as backgrounds")] = 2,
    rate: Annotated[float, typer.Option(min=1e-6, max=1, help="highest learning rate")] = 2e-3,
    lesions: Annotated[
        Path | None, typer.Option(exists=True, help="YAML of known lesions by series")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="folder for prepared backgrounds")] = None,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Train the candidate detector on simulated nodules and on annotated real ones.

    Interrupted, the same command goes on from the last checkpoint in OUT.
    """
    # Here, not above: torch takes seconds to load, and no other command should wait for it.
    import torch

    from inference.models.centre_detector import CentreDetectorConfig
    from inference.training.loop import TrainingConfig, train_detector
    from inference.training.shapes import load_shapes
    from inference.training.shelf import BackgroundShelf
    from inference.weights import load_weights, save_weights
    from workers.datasets.backgrounds import prepare_annotated
    from workers.datasets.source import parse_source
    from workers.training_data import (
        check_names,
        patients_of,
        prepare_backgrounds,
        read_lesions,
        scan_names,
    )

    torch.set_num_threads(threads)
    load_settings()
    if steps is None and minutes is None:
        minutes = 20.0
    if data is None and not dataset:
        fail("nothing to train on: give --data, --dataset or both")
    with reported_errors():
        try:
            config = TrainingConfig(
                seed=seed, steps=steps, minutes=None if steps else minutes, learning_rate=rate
            )
            left_out = tuple(leave_out or ())
            if not dataset and data is not None:
                check_names(left_out, data)
            network = CentreDetectorConfig()
            begun = time.time()
            names = [] if data is None else [n for n in scan_names(data) if n not in left_out]
            prepared = prepare_backgrounds(
                data or Path(),
                names,
                read_lesions(lesions),
                spacing_mm=network.spacing_mm,
                simulated=range(simulated),
                cache=cache or out / "backgrounds",
                told=errors.print,
            )
            annotated = None
            if dataset:
                annotated = prepare_annotated(
                    [parse_source(text) for text in dataset],
                    spacing_mm=network.spacing_mm,
                    readers=readers,
                    cache=(cache or out / "backgrounds") / "annotated",
                    told=errors.print,
                    every_patient=every_patient,
                    left_out=left_out,
                )
                for line in annotated.tally.lines():
                    errors.print(line, soft_wrap=True)
                unknown = {*left_out} - annotated.left_out - {*(scan_names(data) if data else ())}
                if unknown:
                    fail(f"to be left out, but nowhere found: {', '.join(sorted(unknown))}")
            backgrounds = BackgroundShelf(prepared, annotated.folders if annotated else ())
            shapes = load_shapes(data / "lidc", parts=("train",)) if data is not None else ()
            out.mkdir(parents=True, exist_ok=True)
            with told_and_kept(out / "progress.jsonl", begun) as progress:
                model = train_detector(
                    shapes,
                    backgrounds,
                    config,
                    checkpoint=out / "checkpoint.pt",
                    model_config=network,
                    start=load_weights("detector", start).tensors if start else None,
                    progress=progress,
                )
        except ValueError as error:
            fail(str(error))
        made = torch.load(out / "checkpoint.pt", weights_only=True)
        facts = {
            "seed": seed,
            "steps": made["steps"],
            "trained_s": round(made["trained_s"]),
            "batch_size": config.batch_size,
            "rate": rate,
            "nodule_shapes": len(shapes),
            "backgrounds": [item.name for item in backgrounds],
            "left_out": list(left_out),
            "datasets": list(dataset or ()),
            "annotated_nodules": annotated.nodules if annotated else 0,
            "readers": readers if annotated else None,
            "patients": sorted(
                {*(annotated.patients if annotated else ()), *patients_of(data, names)}
            ),
            "started_from": load_weights("detector", start).sha256 if start else None,
            "threads": threads,
            "processors": os.cpu_count(),
        }
        digest = save_weights(
            "detector",
            model.state_dict(),
            out,
            version=f"seed{seed}-steps{made['steps']}",
            config=network.to_dict(),
            facts=facts,
        )
    console.print(f"wrote {out / 'detector.safetensors'} (sha256 {digest[:12]})")
