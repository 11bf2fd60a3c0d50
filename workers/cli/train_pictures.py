"""`pulmonode train pictures`: what the console shows of typical cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.output import console, errors, load_settings, reported_errors
from workers.cli.train import commands


def register() -> None:
    """Add this command to ``train``."""
    commands.command()(pictures)


def pictures(
    bank: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="a trained bank")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="bank_pictures.safetensors")],
    data: Annotated[
        Path,
        typer.Option(
            exists=True,
            file_okay=False,
            envvar="PULMONODE_SHARED",
            help="folder with lidc/ (annotation tables)",
        ),
    ],
    seed: Annotated[int, typer.Option(min=0, help="same seed, same pictures")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="folder for the simulated lung; OUT's if absent")
    ] = None,
) -> None:
    """Draw the cases of a BANK of LIDC's nodules into a simulated lung: no patient's pixels."""
    from workers.bank_drawing import draw_bank

    load_settings()
    with reported_errors():
        count = draw_bank(
            bank, data / "lidc", out, seed=seed, cache=cache or out.parent, told=errors.print
        )
    console.print(f"drew {count} cases: {out}", soft_wrap=True, highlight=False)
