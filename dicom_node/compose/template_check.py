"""Our own check of a report against the rows of TID 1500, 1501, 1410 and 1411 (PS3.16 A).

dciodvfy reads modules and dsrdump reads relationships; neither knows these templates, and
viewers fail silently where a row is missing. Each rule here says what it found, in words. A
report that breaks none gives an empty list. Whether the coordinates lie where the segment
lies is `segment_check`'s question.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.compose import codes
from dicom_node.compose.content_tree import (
    code_of,
    concept_of,
    items,
    same_code,
    template_of,
    tracking_uid_of,
    walk,
)
from dicom_node.compose.document_check import check_document, check_equipment, check_evidence
from dicom_node.compose.profile import DEFAULT, Profile, SrDress
from dicom_node.compose.words import LANGUAGES, words_of

TEMPLATES = {"axes": "1501", "region": "1410", "segment": "1411"}
TITLES = (codes.IMAGING_MEASUREMENT_REPORT, codes.ONCOLOGY_MEASUREMENT_REPORT)
"""Of CID 7021, those that we use."""
UNITS = {
    codes.LONG_AXIS: codes.MILLIMETRE,
    codes.SHORT_AXIS: codes.MILLIMETRE,
    codes.DIAMETER: codes.MILLIMETRE,
    codes.MAXIMUM_3D_DIAMETER: codes.MILLIMETRE,
    codes.SOLID_PART_DIAMETER: codes.MILLIMETRE,
    codes.VOLUME: codes.CUBIC_MILLIMETRE,
    codes.SOLID_PART_VOLUME: codes.CUBIC_MILLIMETRE,
    codes.ATTENUATION: codes.HOUNSFIELD,
    codes.DETECTION_PROBABILITY: codes.NO_UNITS,
    codes.BROCK_RISK: codes.PERCENT,
    codes.MAYO_RISK: codes.PERCENT,
    codes.MODEL_SUSPICION: codes.PERCENT,
    codes.VOLUME_CHANGE: codes.PERCENT,
    codes.DIAMETER_CHANGE: codes.MILLIMETRE,
    codes.VOLUME_DOUBLING_TIME: codes.DAY,
    **dict.fromkeys(codes.MODEL_PROBABILITIES, codes.PERCENT),
    **dict.fromkeys(codes.ATTRIBUTES.values(), codes.NO_UNITS),
}
FEWEST_CONTOUR_POINTS = 4
"""A triangle, closed."""
BOX_POINTS = 5


def check_sr(ds: Dataset, *, seg: Dataset | None = None, profile: Profile = DEFAULT) -> list[str]:
    """What a report breaks.

    Parameters
    ----------
    ds : Dataset
        The report.
    seg : Dataset, optional
        The segmentation that it refers to; its segments are then looked up.
    profile : Profile
        The dress that it should have.

    Returns
    -------
    list of str
        One line per breach, naming the template's row where there is one.
    """
    dress = profile.sr
    problems = list(check_document(ds, profile))
    groups = _groups(ds)
    problems += _check_root(ds)
    if not groups and concept_of(ds) != dress.empty_title:
        problems.append(f"title of a report without measurement is not {dress.empty_title.meaning}")
    for number, group in enumerate(groups, start=1):
        problems += [f"group {number}: {problem}" for problem in _check_group(group, dress)]
    problems += _check_tracking(groups, tuple(TEMPLATES[name] for name in dress.groups))
    problems += _check_names(groups, dress)
    problems += check_evidence(ds)
    problems += check_equipment(ds)
    if seg is not None:
        problems += _check_segments(groups, seg)
    return problems


def _groups(ds: Dataset) -> list[Dataset]:
    return [
        group
        for container in items(ds, codes.IMAGING_MEASUREMENTS)
        for group in items(container, codes.MEASUREMENT_GROUP)
    ]


def _check_root(ds: Dataset) -> Iterator[str]:
    """TID 1500 rows 1 to 6 and 12 to 14, with TID 1204, 1001 and 1004."""
    if template_of(ds) != "1500":
        yield f"TID 1500: template identifier is {template_of(ds) or 'missing'}"
    if concept_of(ds) not in TITLES:
        yield f"TID 1500 row 1: title {concept_of(ds)} is not of CID 7021"
    rows = (
        ("row 2 (TID 1204)", codes.LANGUAGE, "CODE", "HAS CONCEPT MOD"),
        ("row 3 (TID 1002)", codes.OBSERVER_TYPE, "CODE", "HAS OBS CONTEXT"),
        ("row 3 (TID 1004)", codes.DEVICE_OBSERVER_UID, "UIDREF", "HAS OBS CONTEXT"),
        ("row 4", codes.PROCEDURE_REPORTED, "CODE", "HAS CONCEPT MOD"),
    )
    for row, concept, value_type, relationship in rows:
        found = items(ds, concept)
        if not found:
            yield f"TID 1500 {row}: no {concept.meaning}"
        for item in found:
            if (item.ValueType, item.get("RelationshipType")) != (value_type, relationship):
                yield f"TID 1500 {row}: {concept.meaning} is not {relationship} {value_type}"
    observers = items(ds, codes.OBSERVER_TYPE)
    if observers and code_of(observers[0], "ConceptCodeSequence") != codes.DEVICE:
        yield "TID 1002 row 1: the observer is not a device"
    containers = [
        item
        for concept in (codes.IMAGING_MEASUREMENTS, codes.QUALITATIVE_EVALUATIONS)
        for item in items(ds, concept, "CONTAINER")
    ]
    if not containers:
        yield "TID 1500 rows 6 and 12: neither Imaging Measurements nor Qualitative Evaluations"
    for item in containers:
        if item.get("RelationshipType") != "CONTAINS":
            yield f"TID 1500: {concept_of(item)} is {item.get('RelationshipType')}, not CONTAINS"
    for container in items(ds, codes.IMAGING_MEASUREMENTS):
        if not items(container):
            yield "TID 1500 row 6: Imaging Measurements is empty"
    texts = [
        str(text.get("TextValue") or "")
        for container in items(ds, codes.QUALITATIVE_EVALUATIONS)
        for text in items(container, value_type="TEXT")
    ]
    if not any(words_of(language).say("not_for_diagnosis") in texts for language in LANGUAGES):
        yield "TID 1500 row 14: no text says that this is not for diagnosis"


def _check_names(groups: list[Dataset], dress: SrDress) -> Iterator[str]:
    """The axes' Tracking Identifier (OHIF), the image's purpose at coordinates (Stone)."""
    prefix = f"{dress.axes_identifier_prefix}:" if dress.axes_identifier_prefix else "Nodule "
    for number, group in enumerate(groups, start=1):
        named = items(group, codes.TRACKING_IDENTIFIER, "TEXT")
        if template_of(group) == TEMPLATES["axes"] and not all(
            str(item.get("TextValue")).startswith(prefix) for item in named
        ):
            yield f"group {number}: Tracking Identifier does not begin with {prefix!r}"
        for scoord in (item for item in walk(group) if item.get("ValueType") == "SCOORD"):
            for image in items(scoord):
                if not same_code(concept_of(image), dress.source_image_purpose):
                    meaning = dress.source_image_purpose.meaning
                    yield f"group {number}: the image of a SCOORD is not named {meaning}"


def _check_group(group: Dataset, dress: SrDress) -> Iterator[str]:
    """The rows that TID 1501, 1410 and 1411 share, then those of the group's own."""
    if (group.get("ValueType"), group.get("RelationshipType")) != ("CONTAINER", "CONTAINS"):
        yield "row 1: not a contained container"
    template = template_of(group)
    for concept, value_type, keyword in (
        (codes.TRACKING_IDENTIFIER, "TEXT", "TextValue"),
        (codes.TRACKING_UNIQUE_IDENTIFIER, "UIDREF", "UID"),
    ):
        found = items(group, concept)
        if len(found) != 1:
            yield f"row 3/4: {len(found)} x {concept.meaning}, 1 wanted"
        elif (found[0].ValueType, found[0].get("RelationshipType")) != (
            value_type,
            "HAS OBS CONTEXT",
        ) or not found[0].get(keyword):
            yield f"row 3/4: {concept.meaning} is not HAS OBS CONTEXT {value_type} with a value"
    uid = tracking_uid_of(group)
    if uid and not UID(uid).is_valid:
        yield f"Tracking Unique Identifier {uid!r} is not a UID"
    finding = items(group, codes.FINDING, "CODE")
    if len(finding) != 1 or finding[0].get("RelationshipType") != "CONTAINS":
        yield f"Finding: {len(finding)} contained, 1 wanted"
    for concept in (codes.ALGORITHM_NAME, codes.ALGORITHM_VERSION):
        if not items(group, concept, "TEXT"):
            yield f"TID 4019: no {concept.meaning}"
    for measurement in items(group, value_type="NUM"):
        yield from _check_measurement(measurement)
    match template:
        case "1501":
            yield from _check_axes(group)
            if "segment" not in dress.groups and not items(group, codes.VOLUME, "NUM"):
                yield "TID 1501: no Volume, and no group of a segment that would have it"
        case "1410":
            yield from _check_region(group, boxed=dress.region == "box")
        case "1411":
            yield from _check_segment(group)
        case _:
            known = ", ".join(TEMPLATES.values())
            yield f"template identifier {template or 'missing'} is none of {known}"


def _check_measurement(item: Dataset) -> Iterator[str]:
    """TID 300 / 1419: one finite value in the unit that the concept has."""
    concept = concept_of(item)
    name = concept.meaning if concept else "measurement"
    if item.get("RelationshipType") != "CONTAINS":
        yield f"{name} is {item.get('RelationshipType')}, not CONTAINS"
    values = list(item.get("MeasuredValueSequence") or ())
    if len(values) != 1 or not math.isfinite(float(values[0].get("NumericValue", "nan"))):
        yield f"{name} has no finite value"
        return
    unit = code_of(values[0], "MeasurementUnitsCodeSequence")
    wanted = UNITS.get(concept) if concept else None
    if wanted is None:
        yield f"{name}: not a measurement of ours"
    elif not same_code(unit, wanted):
        yield f"{name}: unit is {unit.value if unit else 'missing'}, {wanted.value} wanted"


def _check_axes(group: Dataset) -> Iterator[str]:
    """TID 1501 row 10 with TID 320: the two axes, each with the line that it was read from."""
    for concept in (codes.LONG_AXIS, codes.SHORT_AXIS):
        found = items(group, concept, "NUM")
        if len(found) != 1:
            yield f"TID 1501: {len(found)} x {concept.meaning}, 1 wanted"
            continue
        named = concept_of(found[0])
        if named is None or named.meaning != concept.meaning:
            yield f"TID 1501: meaning must read exactly {concept.meaning!r}"
        lines = items(found[0], value_type="SCOORD")
        if len(lines) != 1:
            yield f"TID 1501: {concept.meaning} has {len(lines)} SCOORD, 1 wanted"
            continue
        yield from _check_scoord(lines[0], concept.meaning, "INFERRED FROM", points=2)
    if not items(group, codes.COMMENT, "TEXT"):
        yield "TID 1501: no Comment, viewers would show the finding's name for all nodules"


def _check_region(group: Dataset, *, boxed: bool) -> Iterator[str]:
    """TID 1410 rows 6 and 7: exactly one region, on one image; no number (OHIF)."""
    purposes = [
        code_of(item, "ConceptCodeSequence")
        for item in items(group, codes.GEOMETRIC_PURPOSE, "CODE")
    ]
    if len(purposes) != boxed or not all(same_code(p, codes.BOUNDED_BY) for p in purposes):
        yield f"TID 1410 row 5: geometric purpose {purposes}, {'one' if boxed else 'none'} wanted"
    regions = items(group, codes.IMAGE_REGION)
    if len(regions) != 1 or items(group, codes.REFERENCED_SEGMENT):
        yield f"TID 1410 row 6: {len(regions)} regions, exactly 1 and no segment wanted"
    for region in regions:
        points = BOX_POINTS if boxed else None
        yield from _check_scoord(region, "region", "CONTAINS", points=points)
    if items(group, value_type="NUM"):
        yield "TID 1410: holds a measurement, older viewers then drop the drawing"


def _check_scoord(
    item: Dataset, name: str, relationship: str, points: int | None = None
) -> Iterator[str]:
    """A polyline with finite coordinates in one image (PS3.3 C.18.6)."""
    if item.get("ValueType") != "SCOORD" or item.get("GraphicType") != "POLYLINE":
        yield f"{name} is {item.get('ValueType')} {item.get('GraphicType')}, not a POLYLINE"
        return
    if item.get("RelationshipType") != relationship:
        yield f"{name} is {item.get('RelationshipType')}, not {relationship}"
    data = [float(value) for value in item.get("GraphicData") or ()]
    if len(data) % 2 or not all(math.isfinite(value) and value >= 0 for value in data):
        yield f"{name} has {len(data)} coordinates or one outside the image"
    elif points is not None and len(data) != 2 * points:
        yield f"{name} has {len(data) // 2} points, {points} wanted"
    elif points is None and (len(data) < 2 * FEWEST_CONTOUR_POINTS or data[:2] != data[-2:]):
        yield f"{name} is not a closed polyline"
    images = items(item)
    if (
        len(images) != 1
        or images[0].get("ValueType") != "IMAGE"
        or images[0].get("RelationshipType") != "SELECTED FROM"
    ):
        yield f"{name} is not SELECTED FROM exactly one IMAGE"


def _check_segment(group: Dataset) -> Iterator[str]:
    """TID 1411 rows 7 and 8: exactly one segment, with the series that it was made from."""
    found = items(group, codes.REFERENCED_SEGMENT, "IMAGE")
    if len(found) != 1 or items(group, codes.IMAGE_REGION):
        yield f"TID 1411 row 7: {len(found)} segments, exactly 1 and no region wanted"
    for item in found:
        if item.get("RelationshipType") != "CONTAINS":
            yield f"TID 1411 row 7: segment is {item.get('RelationshipType')}, not CONTAINS"
        if _segment_number(item) is None:
            yield "TID 1411 row 7: no single Referenced Segment Number"
    if len(items(group, codes.SOURCE_SERIES_FOR_SEGMENTATION, "UIDREF")) != 1:
        yield "TID 1411 row 13: no single Source series for segmentation"
    if not items(group, codes.VOLUME, "NUM"):
        yield "TID 1411 row 15: no Volume"


def _segment_number(item: Dataset) -> int | None:
    reference = (item.get("ReferencedSOPSequence") or [Dataset()])[0]
    value = reference.get("ReferencedSegmentNumber")
    return value if isinstance(value, int) else None


def _check_tracking(groups: list[Dataset], wanted: tuple[str, ...]) -> Iterator[str]:
    """One nodule, one Tracking UID: axes first, together, and with a drawing (OHIF)."""
    order = [tracking_uid_of(group) for group in groups]
    for uid in dict.fromkeys(order):
        own = [group for group, other in zip(groups, order, strict=True) if other == uid]
        templates = tuple(template_of(group) for group in own)
        if templates != wanted:
            yield f"tracking UID {uid}: groups {templates}, {wanted} wanted"
        first = order.index(uid)
        if order[first : first + len(own)] != [uid] * len(own):
            yield f"tracking UID {uid}: its groups are not next to each other"
        if not any(item.get("ValueType") == "SCOORD" for group in own for item in walk(group)):
            yield f"tracking UID {uid}: no SCOORD, OHIF would show a black viewport"


def _check_segments(groups: list[Dataset], seg: Dataset) -> Iterator[str]:
    """Each group's segment exists and is the nodule of the same Tracking UID."""
    segments = {int(item.SegmentNumber): item for item in seg.SegmentSequence}
    for group in groups:
        for item in items(group, codes.REFERENCED_SEGMENT, "IMAGE"):
            reference = item.ReferencedSOPSequence[0]
            if reference.ReferencedSOPInstanceUID != seg.SOPInstanceUID:
                yield f"segment reference: {reference.ReferencedSOPInstanceUID} is not the SEG"
            segment = segments.get(_segment_number(item) or 0)
            if segment is None:
                yield f"segment reference: no segment {_segment_number(item)} in the SEG"
            elif str(segment.get("TrackingUID")) != tracking_uid_of(group):
                yield f"segment {segment.SegmentNumber} has another Tracking UID than its group"
