"""The table of nodules that `analyse` and `demo` print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_findings(console: Console, findings: Mapping[str, Any]) -> None:
    """Print a ``findings.json`` for a person."""
    if findings["status"] != "analysed":
        console.print(f"[yellow]not eligible:[/] {findings['reason']}")
        return
    nodules = findings["nodules"]
    if nodules:
        console.print(_table(nodules))
    else:
        console.print("No nodule above the threshold. This does not exclude cancer.")
    if nodules:
        console.print("[dim]level: the model's, by reader opinion; apart from Lung-RADS[/]")
        _print_modalities(console, nodules)
    exam = findings["exam"]["lung_rads"]
    console.print(
        f"Lung-RADS v2022 of the exam: {exam['category'] or 'none'} "
        f"(applicable: {exam['applicable']}). {exam['why']}"
    )
    _print_follow_up(console, findings)
    _print_report(console, findings)
    for warning in findings["quality"]["warnings"]:
        console.print(f"[yellow]warning:[/] {warning}")
    algorithm = findings["algorithm"]
    console.print(
        f"[dim]{algorithm['name']} {algorithm['version']}. Research use, not for diagnosis.[/]"
    )


def _print_modalities(console: Console, nodules: list[Mapping[str, Any]]) -> None:
    """What levels rest on that was simulated, and what is known and was not used."""
    for flag, text in (
        ("simulated", "[yellow]levels rest on weights that learned from SIMULATED patients:[/]"),
        ("masked", "known, not used for levels (masked by setting):"),
    ):
        named = dict.fromkeys(
            name
            for nodule in nodules
            for name, share in nodule["modalities"].items()
            if share.get(flag)
        )
        if named:
            console.print(f"{text} {', '.join(named)}")


def _print_follow_up(console: Console, findings: Mapping[str, Any]) -> None:
    """What became of each nodule since the earlier examination, where there was one."""
    follow_up = findings.get("follow_up")
    if follow_up is None:
        return
    console.print(f"Earlier CT, {follow_up['days']:.0f} days before: {follow_up['why']}")
    for nodule in findings["nodules"]:
        growth = nodule["growth"]
        console.print(f"  {nodule['id']}: [bold]{growth['status']}[/], {growth['why']}")
    for item in follow_up["earlier_nodules"]:
        console.print(f"  not listed now: [bold]{item['status']}[/], {item['why']}")


def _print_report(console: Console, findings: Mapping[str, Any]) -> None:
    """Which nodules the radiologist's report describes, where there was one."""
    if "report" not in findings["exam"]:
        return
    report = findings["exam"]["report"]
    sources = ", ".join(item["message_id"] for item in report["reports"])
    console.print(f"Radiologist's report ({sources}):", highlight=False)
    for nodule in findings["nodules"]:
        if "report" in nodule:
            told = nodule["report"]
            what = "listed only for the report" if told["listed_for_report"] else "described"
            console.print(f"  {nodule['id']}: [bold]{what}[/], {'; '.join(told['why'])}")
        else:
            console.print(f"  {nodule['id']}: not in the report")


def _table(nodules: list[Mapping[str, Any]]) -> Table:
    table = Table(title="Nodules", title_justify="left", box=None, pad_edge=False)
    for name in ("#", "side", "type"):
        table.add_column(name, no_wrap=True)
    for name in ("axes mm", "mean", "mm³", "HU", "z mm", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("level", "Lung-RADS"):
        table.add_column(name, no_wrap=True)
    for nodule in nodules:
        rads = nodule["guidelines"]["lung_rads"]
        table.add_row(
            str(nodule["id"]),
            nodule["laterality"] or "?",
            nodule["type"],
            f"{nodule['long_axis_mm']:.1f} x {nodule['short_axis_mm']:.1f}",
            f"{nodule['mean_diameter_mm']:.1f}",
            f"{nodule['volume_mm3']:.0f}",
            f"{nodule['mean_hu']:.0f}",
            f"{nodule['centre_lps_mm'][2]:.1f}",
            f"{nodule['detection_probability']:.2f}",
            nodule["grade"].get("level") or "-",
            rads["category"] or "-",
        )
    return table
