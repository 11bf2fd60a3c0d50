"""Tables of what sets of modalities do, printed as they stand in the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from inference.known import BESIDE_PIXELS

SHORT = {"ct_image": "image", "ct_measures": "measures", "ct_report": "report"}
HEADS = tuple(SHORT.get(name, name) for name in BESIDE_PIXELS)


def print_sets(console: Console, rows: str, worth: Mapping[str, Any]) -> None:
    """AUC, kappa and calibration for every set, on rows with known grades."""
    known = ", ".join(
        f"{SHORT.get(name, name)} {100 * share:.0f} %" for name, share in worth["known"].items()
    )
    said = (
        f"SIMULATED, no claim may rest on it. Test, {rows}: {worth['rows']} rows of "
        f"{worth['patients']} patients; known of the rows: {known}"
    )
    figures = [
        (one["given"], [f"{one[key]:.3f}" for key in ("auc_ovr", "qwk", "brier", "ece")])
        for one in worth["sets"]
    ]
    print_lines(console, [said, "", *table(("macro AUC", "QWK", "Brier", "ECE"), figures)])


def table(columns: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[str]:
    """Lines of a Markdown table: which modalities were there, and what came of it."""
    heads = (*HEADS, *columns)
    lines = [_line(heads), _line(["---"] * len(heads))]
    for given, cells in rows:
        there = ["x" if name in given else "" for name in BESIDE_PIXELS]
        lines.append(_line((*there, *cells)))
    return lines


def print_lines(console: Console, lines: Sequence[str]) -> None:
    """As they are, whatever the terminal's width."""
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
