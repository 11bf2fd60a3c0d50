"""The report in words: what every viewer can show, whatever else it draws."""

from __future__ import annotations

from dicom_node.compose.content import NoduleContent, NotAnalysedSeries, ReportContent

NOT_FOR_DIAGNOSIS = "Research use only. Not for diagnosis. Not verified by a physician."
NOT_ANALYSED = (
    "NOT ANALYSED: no series of this study could be analysed for lung nodules. "
    "This report says nothing about nodules."
)
NOTHING_FOUND = "No nodule above the threshold. This does not exclude cancer."


def nodule_line(nodule: NoduleContent) -> str:
    """One nodule in one line, for lists and for the label in the image."""
    parts = [f"Nodule {nodule.number}"]
    if nodule.nodule_type:
        parts.append(nodule.nodule_type)
    parts.append(f"{nodule.long_axis.length_mm:.1f} x {nodule.short_axis.length_mm:.1f} mm")
    parts.append(f"{nodule.volume_mm3:.0f} mm3")
    where = nodule.lobe or (f"{nodule.laterality} lung" if nodule.laterality else "")
    if where:
        parts.append(where)
    if nodule.lung_rads_category:
        parts.append(f"Lung-RADS {nodule.lung_rads_category}")
    if nodule.model_level and nodule.model_suspicion is not None:
        parts.append(
            f"model level {nodule.model_level} (suspicion {100 * nodule.model_suspicion:.0f} %)"
        )
    if nodule.brock_probability is not None:
        parts.append(f"Brock {100 * nodule.brock_probability:.1f} %")
    return ", ".join(parts)


def summary_lines(content: ReportContent) -> list[str]:
    """The whole report in lines, most important first."""
    algorithm = content.algorithm
    lines = [NOT_FOR_DIAGNOSIS]
    if content.not_analysed:
        lines.append(NOT_ANALYSED)
        lines += [_not_analysed_line(series) for series in content.not_analysed]
    elif content.nodules:
        count = len(content.nodules)
        lines.append(f"{count} nodule{'s' if count > 1 else ''} reported.")
        for nodule in content.nodules:
            lines += _nodule_lines(nodule)
    else:
        lines.append(NOTHING_FOUND)
    if content.exam_lung_rads_why:
        lines.append(
            f"Lung-RADS v2022 (applicable: {content.exam_lung_rads_applicable}): "
            f"{content.exam_lung_rads_why}"
        )
    if content.partial_why:
        lines.append(f"Partial: {content.partial_why}")
    lines += [f"{name}: {value}" for name, value in content.facts.items()]
    lines += [f"Warning: {warning}" for warning in content.warnings]
    lines += [f"Limit: {limit}" for limit in content.limits]
    lines.append(f"{algorithm.name} {algorithm.version}, revision {content.revision}")
    return lines


def _nodule_lines(nodule: NoduleContent) -> list[str]:
    """What a text-only reader needs of one nodule: its line, then the reasons."""
    lines = [nodule.comment or nodule_line(nodule)]
    if nodule.lung_rads_why:
        lines.append(f"Nodule {nodule.number}, Lung-RADS: {nodule.lung_rads_why}")
    return lines + [f"Nodule {nodule.number}: {remark}" for remark in nodule.remarks]


def _not_analysed_line(series: NotAnalysedSeries) -> str:
    name = "Series" if series.number is None else f"Series {series.number}"
    images = f"{series.images} image{'' if series.images == 1 else 's'}"
    return f"{name} ({images}): {series.why}"
