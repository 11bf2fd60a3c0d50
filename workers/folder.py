"""The series of a folder and what the header rules say of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dicom_node.errors import UnreadableInstance
from dicom_node.read.eligibility import EligibilityVerdict, RuleSet, judge, rank_series
from dicom_node.read.geometry import SeriesGeometry, check_geometry
from dicom_node.read.header import InstanceHeader, read_header
from dicom_node.read.series import select_series


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSeries:
    """One series of a folder and what the header rules say of it."""

    series_uid: str
    paths: tuple[Path, ...]
    headers: tuple[InstanceHeader, ...]
    geometry: SeriesGeometry
    verdict: EligibilityVerdict

    @property
    def refusal(self) -> tuple[str, str] | None:
        """(Code, reason) why it cannot be analysed, or `None`."""
        cut = [header.sop_instance_uid for header in self.headers if header.truncated]
        if cut:
            return "truncated", f"{len(cut)} instances are cut short, first {cut[0]}"
        if not self.verdict.eligible:
            return self.verdict.code or "not_eligible", self.verdict.reason
        if self.geometry.problems:
            first = self.geometry.problems[0]
            return first.code, "; ".join(problem.why for problem in self.geometry.problems)
        return None


def judge_folder(folder: Path, rules: RuleSet) -> list[JudgedSeries]:
    """Judge every series below a folder, best first.

    Raises
    ------
    UnreadableInstance
        If there is no DICOM file at all.
    """
    judged = []
    for series_uid, paths in select_series(folder).items():
        headers = tuple(read_header(path) for path in paths)
        geometry = check_geometry(headers)
        judged.append(
            JudgedSeries(
                series_uid=series_uid,
                paths=tuple(paths),
                headers=headers,
                geometry=geometry,
                verdict=judge(headers, geometry, rules),
            )
        )
    if not judged:
        raise UnreadableInstance(str(folder), "no DICOM file in it")
    return sorted(
        judged,
        key=lambda item: (item.refusal is None, rank_series(item.headers, item.geometry)),
        reverse=True,
    )
