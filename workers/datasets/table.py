"""CSV tables with a header line: rows as text, columns by name, errors that name the line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from workers.errors import DatasetRefused

Row = Mapping[str, str]


def read_table(path: Path, columns: Iterable[str]) -> list[tuple[int, Row]]:
    """Rows with their line numbers; names of columns in lower case, cells without blanks.

    Raises
    ------
    DatasetRefused
        If the file is no table in UTF-8, or lacks one of `columns`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            names = [name.strip().lower() for name in next(reader, [])]
            lines: list[tuple[int, Row]] = [
                (reader.line_num, dict(zip(names, (cell.strip() for cell in cells), strict=False)))
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetRefused(
            str(path), f"is no table in UTF-8 ({error})", "save it as CSV with commas"
        ) from error
    lacking = [name for name in columns if name not in names]
    if lacking:
        raise DatasetRefused(
            str(path),
            f"has no column {', '.join(lacking)} (columns: {', '.join(names) or 'none'})",
            "name the columns in its first line",
        )
    return lines


def number(path: Path, line: int, row: Row, column: str, *, above: float = -math.inf) -> float:
    """A cell as a finite number above a limit.

    Raises
    ------
    DatasetRefused
        If it is none.
    """
    text = row.get(column, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > above):
        limit = f" above {above:g}" if above > -math.inf else ""
        raise DatasetRefused(
            f"{path}, line {line}", f"{column} is {text!r}", f"a number{limit} is wanted there"
        )
    return value
