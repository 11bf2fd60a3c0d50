"""`pulmonode evaluate modalities`: a grade with every set of what may be known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from workers.cli.evaluate import commands
from workers.cli.modality_tables import SHORT, print_lines, print_sets, table
from workers.cli.output import console, errors, load_settings, reported_errors, wrote_figures


def register() -> None:
    """Add this command to ``evaluate``."""
    commands.command()(modalities)


def modalities(
    described: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="described nodules, written by: evaluate encoder --describe; figures on its test "
            "patients as well",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the simulated patients")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="write the figures here")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Grade a phantom, and test rows, with every set of modalities. SIMULATED: no claim.

    Shows that any of them may be missing and what each moves.
    """
    import torch

    from workers.modality_evaluation import grade_phantom, grade_test_rows

    torch.set_num_threads(threads)
    settings = load_settings(threads=threads)
    with reported_errors():
        figures: dict[str, Any] = {"phantom": grade_phantom(settings, errors.print)}
        if described is not None:
            figures["test"] = grade_test_rows(settings, described, seed=seed, told=errors.print)
    if wrote_figures(figures, json_file):
        return
    _print_phantom(figures["phantom"])
    if described is not None:
        console.print()
        print_sets(console, "drawn by one reader", figures["test"])


def _print_phantom(phantom: Mapping[str, Any]) -> None:
    nodule = phantom["nodule"]
    default = phantom["by_default"]
    masked = [name for name, share in default["modalities"].items() if share["masked"]]
    rows = [(one["given"], _cells(one["grade"])) for one in phantom["sets"]]
    what = f"A made-up patient, a phantom's nodule of {nodule['mean_diameter_mm']:.1f} mm"
    usual = (
        f"By default, all known: level {default['level']}, suspicion "
        f"{100 * default['suspicion']:.0f} %; masked by setting: {', '.join(masked)}"
    )
    heads = ("level", "suspicion", "what the suspicion rests on, points")
    print_lines(console, [what, "", *table(heads, rows), "", usual])


def _cells(grade: Mapping[str, Any]) -> tuple[str, ...]:
    if grade["withheld"] is not None:
        return ("-", "-", f"withheld: {grade['withheld']}")
    points = [
        f"{SHORT.get(name, name)} {100 * share['contribution']:+.0f}"
        for name, share in grade["modalities"].items()
        if share["contribution"] is not None
    ]
    return (grade["level"], f"{100 * grade['suspicion']:.0f} %", ", ".join(points))
