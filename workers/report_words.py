"""What reports say of nodules, in the English sentences that reports' tables know.

See `dicom_node.compose.words`: another language is made of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.report_values import ReportComparison, ReportedAs, ReportUsed

SOURCES = {
    "hl7": "HL7 message",
    "fhir": "FHIR resource",
    "dicom sr": "DICOM SR",
    "file": "file",
}


def name_report(report: ReportUsed) -> str:
    """By which message a report came, and its day."""
    source = SOURCES.get(report.source, report.source)
    return ", ".join(filter(None, (f"{source} {report.message_id}".strip(), report.on)))


def name_reports(reports: Sequence[ReportUsed]) -> str:
    """Several of them."""
    return "; ".join(map(name_report, reports))


def nodule_remarks(told: ReportedAs | None) -> tuple[str, ...]:
    """Lines on a nodule: what is said of it, why it is this one, what was taken from there."""
    if told is None:
        return ()
    report, why = name_reports(told.reports), "; ".join(told.why)
    if told.listed_for_it:
        first = f"listed only because the report ({report}) describes it: {told.words}; {why}"
    else:
        first = f"described in the report ({report}): {told.words}; {why}"
    if told.spiculation is None:
        return (first,)
    given = "present" if told.spiculation else "absent"
    return first, f"spiculation for Brock and Mayo is the report's: {given}"


def report_facts(comparison: ReportComparison | None) -> dict[str, str]:
    """Lines on the examination; none without a report."""
    if comparison is None:
        return {}
    facts = {"Radiologist's report": name_reports(comparison.reports)}
    if comparison.detected_only:
        facts["Found, not in the report"] = ", ".join(map(str, comparison.detected_only))
    return facts
