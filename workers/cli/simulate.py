"""`pulmonode simulate`: data that were made up, said so wherever they go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.output import console, errors, fail, load_settings, reported_errors

commands = typer.Typer(help="Made-up data to try software with; nothing may rest on them.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="simulate")


@commands.callback()
def _group() -> None:
    """Keep ``cohort`` a command of its own while it is the only one."""


@commands.command()
def cohort(
    out: Annotated[Path, typer.Argument(dir_okay=False, help="the table (.npz)")],
    protocol: Annotated[str, typer.Option(help="D1 or D2")] = "D1",
    seed: Annotated[int, typer.Option(min=0, help="of what is drawn")] = 0,
    cache: Annotated[Path, typer.Option(file_okay=False, help="folder for readings")] = Path(
        "build/grader"
    ),
) -> None:
    """Readings of LIDC-IDRI with SIMULATED clinical and serological data beside them.

    No figure may rest on the result: what it holds was drawn from the readers' own ratings.
    """
    from inference.evaluation.grading.simulated_cohort import add_simulated_cohort
    from inference.grading.table_file import save_table
    from workers.datasets.lidc_readings import read_table

    if protocol not in ("D1", "D2"):
        fail("--protocol is D1 or D2")
    if out.suffix != ".npz":
        fail("the table is an .npz file")
    load_settings()
    with reported_errors():
        table = read_table(protocol, cache / "readings", told=errors.print)  # type: ignore[arg-type]
        save_table(out, add_simulated_cohort(table, seed=seed))
    console.print(f"wrote {out}: SIMULATED clinical and serological data, nothing may rest on them")
