"""`pulmonode evaluate site`: whether the grader in use may be activated at a site."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from workers.cli.evaluate import commands
from workers.cli.output import console, load_settings, reported_errors

BELOW_EXIT = 3
FIGURES = {
    "auc": "AUC",
    "auc_suspicion": "AUC of suspicion (rating above 3)",
    "qwk": "QWK",
    "sensitivity_from_III": "sensitivity at level III and above",
    "specificity_from_III": "specificity at level III and above",
}


def register() -> None:
    """Add this command to ``evaluate``."""
    commands.command()(site)


def site(
    tables: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="features.npz of analyses"),
    ],
    outcomes: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV: nodule (tracking UID), rating (1 to 5) or outcome (benign, malignant)",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="write the figures here")
    ] = None,
    least_auc: Annotated[
        float, typer.Option(min=0, max=1, help="of levels (ratings), of suspicion (outcomes)")
    ] = 0.75,
    most_ece: Annotated[
        float, typer.Option(min=0, max=1, help="expected calibration error")
    ] = 0.15,
    least_rows: Annotated[
        int, typer.Option(min=1, help="graded nodules; fewer decide nothing")
    ] = 50,
    allow_bank_patients: Annotated[
        bool, typer.Option(help="also patients who are in the bank: flatters the figures")
    ] = False,
    rounds: Annotated[int, typer.Option(min=20, help="of the bootstrap")] = 1000,
    seed: Annotated[int, typer.Option(help="of the bootstrap")] = 0,
) -> None:
    """Test the grader in use, with the bank that counts, on the site's own nodules.

    Ends with 0 when it reaches the limits, 3 when it does not (do not activate), 1 on an error.
    """
    # Here, not above: torch takes seconds to load, and no other command should wait for it.
    from inference.evaluation.grading.site import Limits
    from workers.site_evaluation import SitePlan, evaluate_site

    settings = load_settings()
    plan = SitePlan(
        tables=tuple(tables),
        outcomes=outcomes,
        limits=Limits(least_auc=least_auc, most_ece=most_ece, least_rows=least_rows),
        allow_bank_patients=allow_bank_patients,
        seed=seed,
        rounds=rounds,
    )
    with reported_errors():
        result = evaluate_site(plan, settings)
        if json_file is not None:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            json_file.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    _print(result)
    if not result["verdict"]["passes"]:
        raise typer.Exit(BELOW_EXIT)


def _print(result: Mapping[str, Any]) -> None:
    _say(
        f"grader {result['grader_sha256'][:8]}, bank {result['bank_version']} "
        f"({result['bank_cases']} cases)"
    )
    _say(
        f"{result['rows']} rows, {result['without_answer']} without an answer, "
        f"{result['answers_without_row']} answers without a row; "
        f"{result['graded']} graded of {result['patients']} patients"
    )
    if result["in_bank"]:
        _say(f"{result['in_bank']} rows are of patients in the bank: these figures flatter")
    lost = result["withheld"]
    if lost["rows"]:
        _say(
            f"withheld: {lost['rows']}, of these {lost['malignant']} malignant, "
            f"{lost['rated_above_3']} rated above 3"
        )
        for reason, count in lost["reasons"].items():
            _say(f"  {count}: {reason}")
    for truth, figures in result["truth"].items():
        _print_truth(truth, figures)
    verdict = result["verdict"]
    for name, rows in verdict["not_counted"].items():
        _say(f"{name}: {rows} rows are too few to decide anything")
    for check in verdict["checks"]:
        sign = "holds" if check["passes"] else "FAILS"
        _say(f"{sign}: {check['what']} {_number(check['value'])}, {check['limit']}")
    _say("the limits are reached" if verdict["passes"] else "below the limits: do not activate")


def _print_truth(truth: str, figures: Mapping[str, Any]) -> None:
    counts = figures.get("levels") or {key: figures[key] for key in ("benign", "malignant")}
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    _say(f"{truth}: {figures['rows']} rows of {figures['patients']} patients ({told})")
    for key, name in FIGURES.items():
        if key in figures:
            one = figures[key]
            _say(
                f"  {name} {_number(one['value'])} "
                f"({_number(one['low'])} to {_number(one['high'])})"
            )
    calibration = figures["calibration"]
    refitted = calibration["refitted"]
    _say(
        f"  ECE {calibration['ece']:.3f} in {len(calibration['bins'])} bins "
        f"(by chance alone {calibration['ece_by_chance']:.3f})"
    )
    _say(
        f"  fitted here, the temperature would be {refitted['temperature_factor']:.2f} times that "
        f"in use (ECE on the same rows {refitted['ece_on_the_same_rows']:.3f}); it is not used"
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("group", "rows", "suspicious", "AUC", "sensitivity", "specificity"):
        table.add_column(head, no_wrap=True)
    for name, group in figures["subgroups"].items():
        cells = (group[key] for key in ("auc_suspicion", "sensitivity", "specificity"))
        table.add_row(
            name, str(group["rows"]), str(group["suspicious_truth"]), *map(_number, cells)
        )
    console.print(table)


def _say(text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
