"""Images of several volumes under one Series Instance UID, and how they are told apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from dicom_node.read.header import InstanceHeader
from dicom_node.read.slice_stack import (
    MINIMUM_GRID_SLICES,
    ORIENTATION_TOLERANCE,
    PIXEL_SPACING_TOLERANCE_MM,
    SAME_POSITION_MM,
    WHERE_AT_MOST,
    Array,
    GeometryLimits,
    GeometryProblem,
    Stack,
    counted,
)

ASPECTS: tuple[tuple[str, Callable[[InstanceHeader], object]], ...] = (
    ("matrix", lambda header: (header.rows, header.columns)),
    ("Frame of Reference UID", lambda header: header.frame_of_reference_uid),
    ("Convolution Kernel", lambda header: header.convolution_kernel),
    ("Rescale Type", lambda header: header.rescale_type or None),
    ("Samples per Pixel", lambda header: header.samples_per_pixel),
)
"""What all slices of one grid share; `None` where a slice need not state it."""


def find_mixed(headers: Sequence[InstanceHeader]) -> GeometryProblem | None:
    """Instances of different images under one Series Instance UID."""
    series = Counter(header.series_instance_uid for header in headers)
    if len(series) > 1:
        found = ", ".join(f"{value} ({n})" for value, n in series.most_common())
        return GeometryProblem(
            code="mixed_series", why=f"instances of several series: Series Instance UID {found}"
        )
    for name, aspect in ASPECTS:
        stated = [value for value in map(aspect, headers) if value is not None]
        counts = Counter(stated)
        if len(counts) > 1:
            return _mixed(name, ", ".join(f"{value} ({n})" for value, n in counts.most_common()))
    first = headers[0]
    for name, values, tolerance in (
        ("orientation", [header.image_orientation for header in headers], ORIENTATION_TOLERANCE),
        (
            "Pixel Spacing",
            [header.pixel_spacing_mm for header in headers],
            PIXEL_SPACING_TOLERANCE_MM,
        ),
    ):
        array = np.asarray(values, dtype=np.float64)
        differing = np.abs(array - array[0]).max(axis=1) > tolerance
        if differing.any():
            other = headers[int(np.argmax(differing))]
            return _mixed(
                name,
                f"{first.sop_instance_uid} and {other.sop_instance_uid} differ, "
                f"{int(differing.sum())} of {len(headers)} instances in all",
            )
    return None


def _mixed(name: str, what: str) -> GeometryProblem:
    return GeometryProblem(
        code="mixed_series", why=f"two series mixed under one Series Instance UID: {name} {what}"
    )


def find_repeated(stack: Stack) -> GeometryProblem | None:
    """Several images at one position: a time series, two acquisitions, or duplicates."""
    starts = np.flatnonzero(np.diff(stack.along, prepend=-np.inf) > SAME_POSITION_MM)
    sizes = np.diff(starts, append=len(stack.along))
    if sizes.max() == 1:
        return None
    phases = {header.temporal_position for header in stack.headers} - {None}
    acquisitions = {header.acquisition_number for header in stack.headers} - {None}
    even = sizes.min() == sizes.max() and (len(starts) > 1 or sizes[0] >= MINIMUM_GRID_SLICES)
    mostly = len(phases) > 1 and 2 * int((sizes > 1).sum()) >= len(sizes)
    if even or mostly:
        what = (
            counted(len(phases), "temporal position")
            if len(phases) > 1
            else counted(len(acquisitions), "acquisition")
            if len(acquisitions) > 1
            else counted(int(sizes.max()), "image")
        )
        return GeometryProblem(
            code="temporal_4d",
            why=f"{what} at each of {counted(len(starts), 'position')}: a 4-D or repeated series "
            "has no single volume; route one phase as a series of its own",
        )
    where = [f"{stack.z(int(index)):.1f}" for index in starts[sizes > 1]]
    shown = ", ".join(where[:WHERE_AT_MOST]) + (" ..." if len(where) > WHERE_AT_MOST else "")
    return find_interleaved(stack) or GeometryProblem(
        code="duplicate_slices",
        why=f"{len(where)} of {counted(len(sizes), 'position')} hold several images "
        f"with different UIDs, at z={shown} mm",
    )


def find_interleaved(stack: Stack) -> GeometryProblem | None:
    """Two acquisitions that cover the same place, each with a grid of its own."""
    extents = {
        number: (float(along.min()), float(along.max()))
        for number, along in _grouped(stack, lambda header: header.acquisition_number).items()
    }
    median_mm = float(np.median(np.diff(stack.along))) if len(stack.along) > 1 else 0.0
    ordered = sorted(extents.items(), key=lambda item: item[1])
    for (one, (_, end)), (other, (begin, last)) in pairwise(ordered):
        overlap_mm = min(end, last) - begin
        if overlap_mm > max(median_mm, SAME_POSITION_MM):
            return _mixed(
                "acquisitions", f"{one} and {other} overlap by {overlap_mm:.1f} mm, limit 0 mm"
            )
    return None


def _grouped(stack: Stack, key: Callable[[InstanceHeader], object]) -> Mapping[object, Array]:
    """Positions along the normal by what the headers state; too small groups are left out."""
    groups: dict[object, list[float]] = defaultdict(list)
    for header, along in zip(stack.headers, stack.along, strict=True):
        groups[key(header)].append(float(along))
    return {
        value: np.array(along)
        for value, along in groups.items()
        if value is not None and len(along) >= MINIMUM_GRID_SLICES
    }


def find_two_grids(stack: Stack, limits: GeometryLimits) -> GeometryProblem | None:
    """Two reconstructions, each with even spacing, that together have none."""
    keys: tuple[tuple[str, Callable[[InstanceHeader], object]], ...] = (
        ("Acquisition Number", lambda header: header.acquisition_number),
        ("Slice Thickness", lambda header: header.slice_thickness_mm),
        ("Image Type", lambda header: header.image_type or None),
    )
    for name, key in keys:
        groups = _grouped(stack, key)
        gaps = [np.diff(along) for along in groups.values()]
        if len(groups) > 1 and all(
            np.ptp(gap) <= 2 * limits.gap_tolerance_mm(float(np.median(gap))) for gap in gaps
        ):
            found = (
                f"{value} (every {np.median(gap):.2f} mm)"
                for value, gap in zip(groups, gaps, strict=True)
            )
            return _mixed(name, ", ".join(found))
    return None
