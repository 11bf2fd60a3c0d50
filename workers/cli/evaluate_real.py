"""`pulmonode evaluate real`: the shipped grader on real nodules, one by one."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from workers.cli.evaluate import commands
from workers.cli.output import console, load_settings, reported_errors
from workers.cli.train_segmenter import SimulationData

RATED = ("lidc_idri_0001",)
"""Series with readers' outlines that neither encoder, grader nor bank has seen."""
KNOWN = ("cmb_crc_MSB-01068", "cptac_lscc_C3N-00247")
"""Series with a known lesion that nobody rated."""


def register() -> None:
    """Add this command to ``evaluate``."""
    commands.command()(real)


def real(
    data: SimulationData,
    chunks: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="folder with LUNA16 chunks (.npz)"),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="write the answers here")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="of the processor")] = 1,
) -> None:
    """Grade nodules of real CT beside what readers said; too few to prove anything.

    Outlines are the readers' where there are any, else the shipped segmenter's.
    """
    import torch

    from inference.graders import make_grading
    from workers.real_nodules import nodules_of_chunks, nodules_of_lesions, nodules_of_scans

    torch.set_num_threads(threads)
    load_settings()
    lines: list[dict[str, Any]] = []
    with reported_errors():
        grading = make_grading()
        some = chain(
            nodules_of_scans(data, RATED),
            nodules_of_lesions(data, KNOWN),
            nodules_of_chunks(chunks, data / "lidc") if chunks is not None else (),
        )
        for nodule in some:
            line: dict[str, Any] = {"nodule": nodule.name, "known": dict(nodule.known)}
            if nodule.voi is not None:
                line["grade"] = asdict(grading.grade_outline(nodule.volume, nodule.voi))
            lines.append(line)
    if json_file is not None:
        facts = {"weights": dict(grading.weights), "bank": grading.bank_version}
        json_file.write_text(json.dumps({**facts, "nodules": lines}, indent=2) + "\n")
    table = Table("nodule", "known", "mm", "readers", "level", "suspicion", "I, II, III, IV")
    for line in lines:
        table.add_row(line["nodule"], *_cells(line["known"]), *_answer(line.get("grade")))
    console.print(table)


def _cells(known: dict[str, Any]) -> tuple[str, ...]:
    return (
        known["source"],
        str(known.get("diameter_mm", "-")),
        f"{known['rating']:.1f}" if "rating" in known else "-",
    )


def _answer(grade: dict[str, Any] | None) -> tuple[str, ...]:
    if grade is None:
        return ("no outline", "", "")
    if grade["withheld"]:
        return (f"withheld: {grade['withheld']}", "", "")
    shares = ", ".join(f"{share:.2f}" for share in grade["probabilities"])
    return (grade["level"], f"{grade['suspicion']:.2f}", shares)
