"""`pulmonode rules`: try the eligibility rules on a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dicom_node.read.eligibility import load_rules
from workers.cli.output import console, load_settings, print_json, reported_errors
from workers.folder import JudgedSeries, judge_folder

rules = typer.Typer(help="Try the eligibility rules.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(rules, name="rules")


@rules.command("test")
def try_rules(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="folder with DICOM files")
    ],
    rules_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="other rules than the settings'"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:
    """Show for each series of a folder which rule says what."""
    settings = load_settings()
    with reported_errors():
        judged = judge_folder(folder, load_rules(rules_file or settings.rules_file))
    if as_json:
        print_json(
            [
                {
                    "series_instance_uid": item.series_uid,
                    "instances": len(item.paths),
                    "eligible": item.refusal is None,
                    "code": item.refusal[0] if item.refusal else None,
                    "reason": item.refusal[1] if item.refusal else None,
                    "warnings": [*item.geometry.warnings, *item.verdict.warnings],
                    "checks": [asdict(check) for check in item.verdict.checks],
                }
                for item in judged
            ]
        )
        return
    for item in judged:
        _print(item)


def _print(item: JudgedSeries) -> None:
    answer = "[green]eligible[/]" if item.refusal is None else "[yellow]not eligible[/]"
    console.print(f"[bold]{item.series_uid}[/] {len(item.paths)} instances: {answer}")
    if item.refusal:
        console.print(f"  {item.refusal[0]}: {item.refusal[1]}")
    for warning in (*item.geometry.warnings, *item.verdict.warnings):
        console.print(f"  [yellow]warning:[/] {warning}")
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in item.verdict.checks:
        table.add_row(
            "  [green]pass[/]" if check.passed else "  [yellow]no[/]", check.rule_id, check.text
        )
    console.print(table)
