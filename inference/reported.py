"""The stage "report": nodules that a radiologist's report describes, linked to those found.

What is described and was not found is looked for once more, at a lower threshold: among the
detector's candidates where the report says, outlined and measured like all others. One that fits
is listed after the others and marked; else a warning says that it was not found.

Deliberately absent: any change of a nodule that was found by itself, of its rank or of its
probability. The report adds what it says and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.assessment import Measured, assess_nodules
from inference.delineation import combination_of, look_again
from inference.detection import Detector
from inference.findings import Candidate, ClinicalContext, Nodule
from inference.lobes import LobeMap
from inference.lungs import LungMask
from inference.measurement import measure_segmented
from inference.report_text.exam import ReportedExam
from inference.report_text.facts import ReportedNodule
from inference.report_text.link import SURE_OF_LOBE, Link, Unmatched, link_nodules
from inference.report_text.said import in_words, said_of
from inference.report_text.to_modality import report_columns
from inference.report_values import ReportComparison, ReportedAs, ReportedOnly
from inference.segmentation import Segmenter, share_voxel
from inference.thresholds import REPORT_AT_LEAST_MM, REPORT_AT_MOST_MM
from inference.volume import Volume

LISTED_AT_MOST = 5
"""Nodules that are listed only because reports describe them."""
LOOKED_AT_MOST = 24
"""Candidates that are outlined for one of them."""
SEARCH_SHARE = 0.65
"""Of the probability from which nodules are listed: from here on a candidate may be what a report
describes. Assumed; lower, vessels fit every description (docs/report_text.md)."""
JUDGED_FROM = 0.5
"""Where the segmenter judges whether it outlines a nodule: what it must say."""
DIAMETER_FACTOR = 2.0
"""A candidate's diameter is rough: so far outside the reported size it is still outlined."""
REPORT_LIMIT = (
    "reports were read by rules and linked by side, lobe and size, which reports do not say "
    "exactly: check the links against the report; a nodule that one describes with its size is "
    "listed under 6 mm, too"
)
TOO_LITTLE = "the report says too little of its place and size to look for it"
TOO_SMALL = f"under {REPORT_AT_LEAST_MM:g} mm, which is not looked for without a size"
NOTHING_FITS = "no candidate fits in place and size"
TOO_MANY = f"{LISTED_AT_MOST} are listed for the report already"
SPICULATION = {"present": True, "absent": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedCt:
    """Where to look again, and with what.

    Attributes
    ----------
    lobes : LobeMap, optional
        `None` where lobes are unknown.
    found : tuple of Candidate
        All of the detector's, as it gave them.
    report_from : float
        Probability from which a nodule is listed by itself.
    """

    volume: Volume
    lungs: LungMask
    lobes: LobeMap | None
    found: tuple[Candidate, ...]
    segmenter: Segmenter
    detector: Detector
    report_from: float


def with_reported(
    exam: ReportedExam,
    shown: Sequence[Measured],
    listed: Sequence[Nodule],
    ct: SearchedCt,
    context: ClinicalContext,
) -> tuple[list[Measured], tuple[Nodule, ...], ReportComparison]:
    """Link what reports describe to what was found, and look for the rest.

    Parameters
    ----------
    exam : ReportedExam
        Of this examination.
    shown : sequence of Measured
        What is listed without the report, best first.
    listed : sequence of Nodule
        The same, assessed without the report.
    ct : SearchedCt
        For the search.
    context : ClinicalContext
        What is known of the patient.

    Returns
    -------
    rows : list of Measured
        `shown`, then what the report led to, in the report's order; at most `LISTED_AT_MOST`.
    nodules : tuple of Nodule
        Of all of them; how many they are counts for each.
    comparison : ReportComparison
        What was not found, and what the report does not name.
    """
    linked = link_nodules(exam.nodules, listed)
    links = {link.detected: link for link in linked.links}
    rows, not_found = list(shown), []
    for wanted in linked.to_search:
        told = exam.nodules[wanted.reported]
        full = len(rows) - len(shown) >= LISTED_AT_MOST
        found = TOO_MANY if full else _look_for(told, wanted, rows, ct, context)
        if isinstance(found, str):
            not_found.append(
                ReportedOnly(
                    reports=exam.reports_of(wanted.reported),
                    said=said_of(told),
                    words=in_words(told),
                    why=found,
                )
            )
            continue
        row, why = found
        rows.append(row)
        links[len(rows)] = Link(reported=wanted.reported, detected=len(rows), why=why)
    spiculation = {
        number: SPICULATION.get(exam.nodules[link.reported].spiculation or "")
        for number, link in links.items()
    }
    nodules = assess_nodules(ct.volume, ct.lungs, ct.lobes, rows, context, spiculation=spiculation)
    return (
        rows,
        tuple(
            _told(nodule, exam, links[nodule.id], listed_for_it=nodule.id > len(shown))
            if nodule.id in links
            else nodule
            for nodule in nodules
        ),
        ReportComparison(
            reports=exam.reports,
            not_found=tuple(not_found),
            detected_only=linked.detected_only,
        ),
    )


def not_found_warnings(comparison: ReportComparison | None) -> list[str]:
    """What a result says of each described nodule that was not found."""
    if comparison is None:
        return []
    return [
        f"the report describes a nodule ({item.words}) that was not found: {item.why}"
        for item in comparison.not_found
    ]


def _told(nodule: Nodule, exam: ReportedExam, link: Link, *, listed_for_it: bool) -> Nodule:
    """The nodule with what the report says of it."""
    told = exam.nodules[link.reported]
    return replace(
        nodule,
        reported={name: value for name, value in report_columns(told).items() if value is not None},
        reported_as=ReportedAs(
            reports=exam.reports_of(link.reported),
            said=said_of(told),
            words=in_words(told),
            why=link.why,
            listed_for_it=listed_for_it,
            spiculation=SPICULATION.get(told.spiculation or ""),
        ),
    )


def _look_for(
    told: ReportedNodule,
    wanted: Unmatched,
    rows: Sequence[Measured],
    ct: SearchedCt,
    context: ClinicalContext,
) -> tuple[Measured, tuple[str, ...]] | str:
    """The most probable candidate that the described nodule can be, and why; or why none is."""
    if wanted.size_mm is None and (told.size_below_mm or REPORT_AT_LEAST_MM) < REPORT_AT_LEAST_MM:
        return TOO_SMALL
    if wanted.size_mm is None or wanted.side is None:
        return TOO_LITTLE
    fits: list[tuple[Measured, tuple[str, ...]]] = []
    for candidate in _near(wanted, wanted.size_mm, ct)[:LOOKED_AT_MOST]:
        scored, item = look_again(ct.volume, ct.lungs, candidate, ct.segmenter, ct.detector)
        if item is None or scored.probability < SEARCH_SHARE * ct.report_from:
            continue
        if item.probability is not None and item.probability < JUDGED_FROM:
            continue
        if any(share_voxel(item.voi, row[1].voi) for row in rows):
            continue
        row: Measured = (scored, item, *measure_segmented(ct.volume, item))
        if row[3].mean_diameter_mm > REPORT_AT_MOST_MM:
            continue
        alone = assess_nodules(ct.volume, ct.lungs, ct.lobes, [row], context)
        fits += [(row, link.why) for link in link_nodules([told], alone).links]
    if not fits:
        return NOTHING_FITS
    return min(fits, key=lambda fit: (-fit[0][0].probability, fit[0][0].centre_lps_mm))


def _near(wanted: Unmatched, size_mm: tuple[float, float], ct: SearchedCt) -> list[Candidate]:
    """Candidates in the side, lobe and rough size that are wanted, best first."""
    low_mm, high_mm = size_mm[0] / DIAMETER_FACTOR, size_mm[1] * DIAMETER_FACTOR
    # Where nobody judges anew, an outline changes no probability, and need not be made.
    open_to_change = ct.detector.needs_ranking or combination_of(ct.segmenter, ct.detector)
    least = 0.0 if open_to_change else SEARCH_SHARE * ct.report_from
    near = []
    for candidate in ct.found:
        if candidate.probability < least or not low_mm <= candidate.diameter_mm <= high_mm:
            continue
        place = np.array(candidate.centre_lps_mm)
        side = ct.lungs.side_at(place)
        if side is not None and side != wanted.side:
            continue
        lobe = ct.lobes.lobe_at(place, side) if ct.lobes else None
        if wanted.lobes and lobe and lobe[0] not in wanted.lobes and lobe[1] >= SURE_OF_LOBE:
            continue
        near.append(candidate)
    return near
