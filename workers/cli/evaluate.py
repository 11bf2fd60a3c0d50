"""`pulmonode evaluate`: from weights to figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.output import console, errors, fail, load_settings, reported_errors
from workers.cli.train import Data, Datasets, Readers

commands = typer.Typer(help="Measure trained networks.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="evaluate")


@commands.callback()
def _group() -> None:
    """Keep ``detector`` a command of its own while it is the only one."""


@commands.command()
def detector(
    data: Data = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="folder with weights, repeatable; each is run on the real series that it was "
            "trained without",
        ),
    ] = None,
    dataset: Datasets = None,
    readers: Readers = 3,
    monai_bundle: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="a MONAI bundle, with --dataset"),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="write the figures here")
    ] = None,
    volumes: Annotated[int, typer.Option(min=1, help="simulated volumes per background")] = 4,
    tuning_volumes: Annotated[
        int, typer.Option(min=1, help="the same, for setting the threshold")
    ] = 4,
    thoraces: Annotated[
        int, typer.Option(min=0, help="simulated thoraces that no training used")
    ] = 1,
    seed: Annotated[int, typer.Option(help="of the simulated volumes")] = 0,
    false_positives: Annotated[
        float,
        typer.Option(min=0.05, help="per simulated tuning volume or annotated scan: sets it"),
    ] = 1.0,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="fixed earlier, instead of tuning")
    ] = None,
    threshold_into: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="folder with weights whose manifest gets the threshold",
        ),
    ] = None,
    flips: Annotated[bool, typer.Option(help="average with the mirrored view")] = True,
    classical: Annotated[bool, typer.Option(help="the classical method beside it")] = True,
    segmenter: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="folder with a cube network: figures with its second look beside",
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="folder for pictures of what was found on real CT"),
    ] = None,
    lesions: Annotated[
        Path | None, typer.Option(exists=True, help="YAML of known lesions by series")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="folder for prepared backgrounds")] = None,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Measure candidate detectors: leave-one-scan-out on real CT, FROC on simulated volumes.

    With --dataset instead: FROC on annotated CT, without the patients that a model was trained on.
    """
    # Here, not above: torch takes seconds to load, and no other command should wait for it.
    import torch

    from inference.weights import note_facts
    from workers.annotated_evaluation import AnnotatedPlan, evaluate_annotated
    from workers.datasets.source import parse_source
    from workers.detector_evaluation import EvaluationPlan, evaluate_detectors
    from workers.training_data import read_lesions

    torch.set_num_threads(threads)
    load_settings()
    if dataset and threshold_into is not None and len(model or ()) != 1:
        fail("--threshold-into with --dataset needs exactly one --model")
    if dataset:
        with reported_errors():
            annotated = AnnotatedPlan(
                sources=[parse_source(text) for text in dataset],
                models=model or (),
                readers=readers,
                threshold=threshold,
                flips=flips,
                classical=classical,
                bundle=monai_bundle,
                seed=seed,
            )
            figures = evaluate_annotated(annotated, errors.print)
        if json_file is not None:
            json_file.write_text(json.dumps(figures, indent=2) + "\n")
        _print_annotated(figures)
        if threshold_into is not None:
            chosen = threshold or _threshold_of_first(figures, false_positives)
            note_facts("detector", threshold_into, {"threshold": round(chosen, 3)})
            console.print(f"threshold {chosen:.3f} noted in {threshold_into}")
        return
    if data is None or not model:
        fail("give --data and --model, or --dataset")
    with reported_errors():
        plan = EvaluationPlan(
            data=data,
            cache=cache or model[0] / "backgrounds",
            models=model,
            lesions=read_lesions(lesions),
            volumes=volumes,
            tuning_volumes=tuning_volumes,
            thoraces=thoraces,
            seed=seed,
            false_positives=false_positives,
            threshold=threshold,
            flips=flips,
            classical=classical,
            segmenter=segmenter,
            pictures=pictures,
        )
        result = evaluate_detectors(plan, errors.print)
    if threshold_into is not None:
        note_facts(
            "detector", threshold_into, {"threshold": round(result["protocol"]["threshold"], 3)}
        )
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2) + "\n")
    _print(result)


def _threshold_of_first(figures: dict[str, Any], false_positives: float) -> float:
    """The first method's threshold at so many false positives per annotated scan."""
    thresholds = next(iter(figures["annotated"].values()))["thresholds"]
    if str(float(false_positives)) not in thresholds:
        fail(f"--false-positives with --dataset is one of {', '.join(thresholds)}")
    threshold = float(thresholds[str(float(false_positives))])
    if threshold == 0:
        fail("there are fewer false positives than that: no threshold can be set; give --threshold")
    return threshold


def _cells(summary: dict[str, Any]) -> tuple[str, ...]:
    """Volumes, nodules, CPM, sensitivity at 1 FP, what is found at the threshold."""
    low, high = summary["intervals_95"]["cpm"]
    groups = summary["at_threshold"]["size_mm"].values()
    found, count = (sum(group[key] for group in groups) for key in ("found", "all"))
    return (
        str(summary["volumes"]),
        str(summary["nodules"]),
        f"{summary['cpm']:.2f} ({low:.2f} to {high:.2f})",
        f"{summary['froc']['1.0']:.2f}",
        f"{found}/{count}, {summary['at_threshold']['false_positives_per_scan']:.1f} FP",
    )


def _print_annotated(result: dict[str, Any]) -> None:
    table = Table("method", "scans", "nodules", "CPM (95 %)", "at 1 FP", "at its threshold")
    for name, summary in result["annotated"].items():
        table.add_row(name, *_cells(summary))
    console.print(table)
    for name, summary in result["annotated"].items():
        points = ", ".join(f"{at}: {value:.2f}" for at, value in summary["froc"].items())
        console.print(f"{name}, sensitivity at false positives per scan: {points}", soft_wrap=True)


def _print(result: dict[str, Any]) -> None:
    protocol = result["protocol"]
    console.print(f"threshold {protocol['threshold']:.3f} ({protocol['threshold_from']})")
    real = Table("series", "method", "lesion", "rank", "probability", "found", "false positives")
    for row in result["real"]:
        for lesion in row["lesions"] or [{}]:
            real.add_row(
                row["scan"],
                row["method"],
                f"{lesion.get('diameter_mm', 0):.0f} mm" if lesion else "none known",
                str(lesion.get("rank") or "-"),
                f"{lesion.get('probability', 0):.2f}" if lesion else "-",
                "yes" if lesion.get("found") else "no",
                str(len(row["false_positives"])),
            )
    console.print(real)
    table = Table("simulated", "volumes", "nodules", "CPM (95 %)", "at 1 FP", "at threshold")
    for kind, summary in (result["simulated"] | {"tuning": result["tuning"]}).items():
        if summary is None:
            continue
        table.add_row(kind, *_cells(summary))
    console.print(table)
    for kind, summary in result["simulated"].items():
        for group in ("size_mm", "type"):
            cells = ", ".join(
                f"{name}: {cell['found']}/{cell['all']}"
                for name, cell in summary["at_threshold"][group].items()
            )
            console.print(f"{kind}, found at the threshold by {group}: {cells}", soft_wrap=True)
