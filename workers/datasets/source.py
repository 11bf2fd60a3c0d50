"""``FORMAT:PATH`` -> annotated scans: the one place that knows all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.errors import DicomNodeError
from inference.errors import InferenceError
from workers.datasets import lidc, luna16, points, segmentations
from workers.datasets.scan import AnnotatedScan, BrokenScan
from workers.errors import DatasetRefused

FORMATS: dict[str, Callable[[Path], Iterator[AnnotatedScan | BrokenScan]]] = {
    "lidc": lidc.find_scans,
    "luna16": luna16.find_scans,
    "seg": segmentations.find_scans,
    "csv": points.find_scans,
}
UNUSABLE = (DatasetRefused, DicomNodeError, InferenceError, OSError)
"""What makes one scan unusable and leaves the others alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSource:
    """A data set: its format and where it is."""

    format: str
    path: Path

    def __str__(self) -> str:
        return f"{self.format}:{self.path}"


def parse_source(text: str) -> DatasetSource:
    """Read ``FORMAT:PATH``.

    Raises
    ------
    DatasetRefused
        If the format is unknown or there is nothing at the path.
    """
    name, _, rest = text.partition(":")
    if name not in FORMATS or not rest:
        raise DatasetRefused(
            text, "is no data set", f"write FORMAT:PATH, FORMAT one of {', '.join(FORMATS)}"
        )
    path = Path(rest).expanduser()
    if not path.exists():
        raise DatasetRefused(text, "there is nothing at that path", "check the path")
    return DatasetSource(format=name, path=path)


@dataclass(slots=True)
class Tally:
    """How many scans were used and which were not."""

    used: int = 0
    broken: list[BrokenScan] = field(default_factory=list)
    left_out: int = 0

    def lines(self) -> list[str]:
        """What is said at the end: each broken scan with its reason, then the count."""
        lines = [f"skipped {item.source}: {item.why}" for item in self.broken]
        aside = f", {self.left_out} left out" if self.left_out else ""
        return [*lines, f"annotated scans: {self.used} used, {len(self.broken)} skipped{aside}"]

    def check(self, sources: Sequence[DatasetSource]) -> None:
        """Refuse to go on with nothing.

        Raises
        ------
        DatasetRefused
            If no scan was usable; the first reason is repeated.
        """
        if self.used:
            return
        why = f"first reason: {self.broken[0].why}" if self.broken else "all were left out"
        raise DatasetRefused(
            ", ".join(str(source) for source in sources),
            f"no scan of it can be used ({len(self.broken)} skipped, {self.left_out} left out; "
            f"{why})",
            "mend what is named, or take more scans",
        )


def iterate(
    sources: Sequence[DatasetSource],
    use: Callable[[AnnotatedScan], None],
    *,
    told: Callable[[str], None],
    accept: Callable[[AnnotatedScan], bool] = lambda _: True,
) -> Tally:
    """Do something with every scan of some data sets; one that cannot be used is passed over.

    Parameters
    ----------
    sources : sequence of DatasetSource
        In their order; a series that came already is not used again.
    use : callable
        May raise one of `UNUSABLE` for a scan that it cannot use.
    told : callable
        Told at once of each scan that is skipped.
    accept : callable
        Scans for which it is false are left out, and counted apart.

    Raises
    ------
    DatasetRefused
        If a data set as a whole is not what its format says, or no scan was usable.
    """
    tally = Tally()
    seen: set[str] = set()
    for source in sources:
        for scan in FORMATS[source.format](source.path):
            if isinstance(scan, BrokenScan):
                told(f"skipped {scan.source}: {scan.why}")
                tally.broken.append(scan)
                continue
            if scan.identifier in seen or not accept(scan):
                tally.left_out += 1
                continue
            seen.add(scan.identifier)
            try:
                use(scan)
            except UNUSABLE as error:
                broken = BrokenScan(source=f"{scan.source} ({scan.identifier})", why=str(error))
                told(f"skipped {broken.source}: {broken.why}")
                tally.broken.append(broken)
                continue
            tally.used += 1
    tally.check(sources)
    return tally
