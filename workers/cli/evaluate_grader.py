"""`pulmonode evaluate grader`: baselines and the graph on the readings of LIDC-IDRI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from workers.cli.evaluate import commands
from workers.cli.output import console, errors, fail, load_settings, reported_errors

SPREAD = {"auc_ovr": "AUC", "qwk": "QWK"}
MEANS = {"accuracy": "right", "brier": "Brier"}
MISSING = {"report": "-report", "random_30": "-30 %"}


def register() -> None:
    """Add this command to ``evaluate``."""
    commands.command()(grader)


def grader(
    protocol: Annotated[
        str,
        typer.Option(
            help="D2: features of one reader, truth of the others. D1: consensus of all. binary: "
            "D2 without ratings of exactly 3; binary-D1 likewise"
        ),
    ] = "D2",
    seeds: Annotated[str, typer.Option(help="each deals the patients anew")] = "0,1,2",
    models: Annotated[
        str, typer.Option(help="names, with commas; all baselines and the graph if absent")
    ] = "",
    ablation: Annotated[bool, typer.Option(help="the graph's variants as well")] = False,
    quick: Annotated[
        bool, typer.Option(help="a few patients, one seed, two folds: does it run?")
    ] = False,
    simulated: Annotated[
        bool,
        typer.Option(help="with SIMULATED clinical and serological data; no figure counts"),
    ] = False,
    budget: Annotated[int, typer.Option(min=1, help="configurations that each model may try")] = 3,
    bias: Annotated[
        bool, typer.Option(help="calibrate with a bias per grade beside the temperature")
    ] = False,
    rounds: Annotated[int, typer.Option(min=20, help="of the bootstrap")] = 1000,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="write the figures here")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(file_okay=False, help="folder for pictures (PNG)")
    ] = None,
    cache: Annotated[
        Path, typer.Option(file_okay=False, help="folder for readings and finished folds")
    ] = Path("build/grader"),
) -> None:
    """Compare graders by nested cross-validation; interrupted, it goes on where it was.

    Needs the extra ``training``. The truth are readers' opinions, not histology.
    """
    try:
        import sklearn  # noqa: F401
        import xgboost  # noqa: F401
    except ImportError as error:
        fail(f"{error.name} is missing: pip install 'pulmonode[training]'")
    from workers.grader_evaluation import EvaluatedProtocol, GraderPlan, evaluate_grader

    known = get_args(EvaluatedProtocol)
    if protocol not in known:
        fail(f"--protocol is one of {', '.join(known)}")
    if not all(text.strip().isdigit() for text in seeds.split(",")):
        fail("--seeds are numbers with commas between, such as 0,1,2")
    load_settings()
    with reported_errors():
        plan = GraderPlan(
            protocol=protocol,  # type: ignore[arg-type]
            cache=cache,
            seeds=tuple(int(text) for text in seeds.split(",")),
            models=tuple(name.strip() for name in models.split(",") if name.strip()),
            ablation=ablation,
            quick=quick,
            simulated=simulated,
            budget=budget,
            bias=bias,
            rounds=rounds,
            figures=figures,
        )
        result = evaluate_grader(plan, errors.print)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result, indent=2) + "\n")
    _print(result)


def _print(result: Mapping[str, Any]) -> None:
    setup = result["setup"]
    console.print(
        f"{result['protocol']}: {setup['rows']} rows, {setup['nodules']} nodules, "
        f"{setup['patients']} patients"
        + (", quick: these figures mean nothing" if setup["quick"] else "")
        + (", SIMULATED modalities: no figure counts" if setup["simulated_modalities"] else "")
    )
    # Without frames, that it fits 80 columns.
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("model", *SPREAD.values(), *MEANS.values(), "ECE", *MISSING.values()):
        table.add_column(head, no_wrap=True)
    for name, model in result["models"].items():
        missing = model["missing"]
        table.add_row(
            name,
            *(f"{model[key]['mean']:.3f}±{model[key]['sd']:.3f}" for key in SPREAD),
            *(f"{model[key]['mean']:.3f}" for key in MEANS),
            f"{model['ece_pooled']:.3f}",
            *(f"{missing[key]:.3f}" if key in missing else "-" for key in MISSING),
        )
    console.print(table)
    for pair, apart in result["paired"].items():
        texts = [
            f"{key} {apart[key]['difference']:+.4f} "
            f"({apart[key]['low']:+.4f} to {apart[key]['high']:+.4f})"
            for key in ("auc_ovr", "qwk")
        ]
        console.print(f"{pair}: {', '.join(texts)}", soft_wrap=True, highlight=False)
