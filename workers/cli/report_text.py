"""`pulmonode report`: what a report's text says, without a network or a job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from inference.report_text.extract import extract
from inference.report_text.facts import ReportedNodule, ReportFacts
from workers.cli.output import console, fail, print_json
from workers.report_file import decode_report

report = typer.Typer(help="Read reports as text.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(report, name="report")


@report.command("extract")
def extract_facts(
    file: Annotated[str, typer.Argument(help="text file, UTF-8 or GB18030; - for standard input")],
    as_json: Annotated[bool, typer.Option("--json", help="for scripts, with sources")] = False,
) -> None:
    """Show nodules and history that a report, request or letter tells of (English, Chinese)."""
    try:
        facts = extract(_read(file))
    except ValueError as error:
        fail(f"{file}: {error}")
    if as_json:
        print_json(facts.to_dict(sources=True))
        return
    _print(facts)


def _read(file: str) -> str:
    if file == "-":
        return decode_report(sys.stdin.buffer.read())
    try:
        return decode_report(Path(file).read_bytes())
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")


def _print(facts: ReportFacts) -> None:
    nodules = Table(title="Nodules", title_justify="left", box=None, pad_edge=False)
    for name in ("#", "place", "size mm", "type", "what else", "sentence"):
        nodules.add_column(name)
    for number, nodule in enumerate(facts.nodules, start=1):
        source = nodule.sources.get("nodule")
        nodules.add_row(
            str(number),
            nodule.lobe or nodule.laterality or "-",
            _size(nodule),
            nodule.type or "-",
            ", ".join(_rest(nodule)) or "-",
            source.sentence if source else "",
        )
    if facts.nodules:
        console.print(nodules)
    else:
        console.print("No nodule is told of.")
    for fact in facts.history:
        value = (
            ""
            if fact.value is None
            else f" {fact.value:g}"
            if isinstance(fact.value, float)
            else f" {fact.value}"
        )
        words = fact.source.words if fact.source else ""
        console.print(f"{fact.kind}{value} ({fact.certainty}): {words}", highlight=False)
    if facts.exam_category is not None:
        category = facts.exam_category
        console.print(f"{category.system} {category.value}", highlight=False)


def _size(nodule: ReportedNodule) -> str:
    if nodule.size_mm is None:
        return f"< {nodule.size_below_mm:g}" if nodule.size_below_mm is not None else "-"
    axes = nodule.axes_mm or (nodule.size_mm,)
    return " x ".join(f"{axis:g}" for axis in axes)


def _rest(nodule: ReportedNodule) -> list[str]:
    words: list[str] = [] if nodule.certainty == "asserted" else [nodule.certainty]
    if nodule.count is not None:
        words.append(f"{nodule.count} of them")
    words += [f"{name} margin" for name in nodule.margin]
    values: dict[str, Any] = {
        name: getattr(nodule, name)
        for name in ("spiculation", "lobulation", "calcification", "cavity")
    }
    words += [f"{name} {value}" for name, value in values.items() if value]
    if nodule.solid_part_mm is not None:
        words.append(f"solid part {nodule.solid_part_mm:g} mm")
    if nodule.change is not None:
        words.append(nodule.change)
    if nodule.prior_size_mm is not None:
        words.append(f"was {nodule.prior_size_mm:g} mm")
    if nodule.category is not None:
        words.append(f"{nodule.category.system} {nodule.category.value}")
    return words
