"""Every object of a result: each profile's, and what profiles share made only once.

This is where a new kind of object is put in: a case of `_compose_kind`, and the kind in
`dicom_node.compose.profile.ObjectKind`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.profile import ObjectKind, Profile
from dicom_node.compose.seg import compose_seg
from dicom_node.compose.sr import compose_sr
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries
from inference.findings import CaseFindings
from workers.earlier_reports import EarlierReport, predecessor_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSource:
    """All that objects are made from."""

    series: CtSeries
    findings: CaseFindings
    content: ReportContent
    created: datetime
    """Content date and time."""
    earlier: tuple[EarlierReport, ...] = ()


def compose_objects(
    source: ResultSource, profiles: Sequence[Profile]
) -> tuple[ComposedObject, ...]:
    """Compose what the profiles ask for, in the order in which it is sent.

    Two profiles that ask for the same object share it: one instance, named by both.

    Raises
    ------
    ComposeError
        If an object cannot be composed, or a profile is left without any.
    """
    made: dict[tuple[ObjectKind, str], list[ComposedObject]] = {}
    wanted_by: dict[tuple[ObjectKind, str], list[str]] = {}
    for profile in profiles:
        for kind in profile.objects:
            key = (kind, profile.variant(kind))
            wanted_by.setdefault(key, []).append(profile.name)
    for profile in profiles:
        for kind in profile.objects:
            key = (kind, profile.variant(kind))
            if key not in made:
                seg = made.get((ObjectKind.SEG, profile.variant(ObjectKind.SEG)), [])
                made[key] = _compose_kind(kind, source, profile, seg, wanted_by[key])
        if not any(made[kind, profile.variant(kind)] for kind in profile.objects):
            raise ComposeError(
                f"profile {profile.name} has no object for this result: a destination would hear "
                "nothing of it"
            )
    order = list(ObjectKind)
    return tuple(
        replace(item, profiles=tuple(dict.fromkeys(wanted_by[key])))
        for key in sorted(made, key=lambda key: order.index(key[0]))
        for item in made[key]
    )


def _compose_kind(
    kind: ObjectKind,
    source: ResultSource,
    profile: Profile,
    segs: Sequence[ComposedObject],
    names: Sequence[str],
) -> list[ComposedObject]:
    """The objects of one kind; none where the result has nothing to show in it."""
    series, content, created = source.series, source.content, source.created
    match kind:
        case ObjectKind.SEG:
            if not content.nodules:
                return []
            return [compose_seg(series, content, created=created, profile=profile)]
        case ObjectKind.SR:
            return [
                compose_sr(
                    series,
                    content,
                    seg=segs[0] if segs and "segment" in profile.sr.groups else None,
                    created=created,
                    predecessor=predecessor_of(
                        source.earlier, series.series_instance_uid, profile, names
                    ),
                    profile=profile,
                )
            ]
    raise ComposeError(f"profile {profile.name}: objects of kind {kind} are not made")
