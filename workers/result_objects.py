"""Every object of a result: each profile's, and what profiles share made only once.

This is where a new kind of object is put in: a case of `compose_objects`, and the kind in
`dicom_node.compose.profile.ObjectKind`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.encapsulated_pdf import compose_pdf
from dicom_node.compose.profile import ObjectKind, Profile
from dicom_node.compose.secondary_capture import KeyPicture, compose_key_image
from dicom_node.compose.seg import compose_seg
from dicom_node.compose.sr import compose_sr
from dicom_node.read.ct_series import CtSeries
from inference.findings import CaseFindings
from workers.earlier_reports import EarlierReport, predecessor_of
from workers.page.draw import CasePictures, draw_case

PICTURED = frozenset({ObjectKind.KEY_IMAGES, ObjectKind.PDF})
"""Kinds that are drawn, in a profile's language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSource:
    """All that objects are made from."""

    series: CtSeries
    findings: CaseFindings
    content: ReportContent
    created: datetime
    """Content date and time."""
    earlier: tuple[EarlierReport, ...] = ()
    font_file: Path | None = None
    """For letters of pictures that are not Latin; a known one is looked for without it."""


Key = tuple[ObjectKind, str]
"""Kind and variant: what tells an object of a result from the others."""


def compose_objects(
    source: ResultSource, profiles: Sequence[Profile]
) -> tuple[ComposedObject, ...]:
    """Compose what the profiles ask for, in the order in which it is sent.

    Two profiles that ask for the same object share it: one instance, named by both.

    Raises
    ------
    ComposeError
        If an object cannot be composed.
    FontMissing
        If no font on this machine has the letters of a profile's language.
    """
    wanted: dict[Key, list[Profile]] = {}
    for kind in ObjectKind:  # segmentations first: reports name them
        for profile in profiles:
            if kind in profile.objects:
                wanted.setdefault((kind, profile.variant(kind)), []).append(profile)
    pictures: dict[str, CasePictures] = {}
    made: dict[Key, list[ComposedObject]] = {}
    for key, wanting in wanted.items():
        profile, kind = wanting[0], key[0]
        names = tuple(dict.fromkeys(each.name for each in wanting))
        if kind in PICTURED and profile.language not in pictures:
            pictures[profile.language] = _draw(source, profile.language)
        match kind:
            case ObjectKind.SEG:
                objects = _compose_seg(source, profile)
            case ObjectKind.SR:
                segs = made.get((ObjectKind.SEG, profile.variant(ObjectKind.SEG)), [])
                objects = [_compose_sr(source, profile, segs, names)]
            case ObjectKind.KEY_IMAGES:
                objects = _compose_key_images(source, profile, pictures[profile.language])
            case ObjectKind.PDF:
                page = pictures[profile.language].page
                objects = [
                    compose_pdf(
                        source.series, source.content, page,
                        created=source.created, profile=profile,
                    )
                ]  # fmt: skip
        made[key] = [replace(item, profiles=names) for item in objects]
    return tuple(item for objects in made.values() for item in objects)


def _compose_seg(source: ResultSource, profile: Profile) -> list[ComposedObject]:
    """The segmentation; none where there is no nodule."""
    if not source.content.nodules:
        return []
    return [compose_seg(source.series, source.content, created=source.created, profile=profile)]


def _compose_sr(
    source: ResultSource,
    profile: Profile,
    segs: Sequence[ComposedObject],
    names: Sequence[str],
) -> ComposedObject:
    return compose_sr(
        source.series,
        source.content,
        seg=segs[0] if segs and "segment" in profile.sr.groups else None,
        created=source.created,
        predecessor=predecessor_of(
            source.earlier, source.series.series_instance_uid, profile, names
        ),
        profile=profile,
    )


def _compose_key_images(
    source: ResultSource, profile: Profile, pictures: CasePictures
) -> list[ComposedObject]:
    """A key image of each nodule; none where there is no nodule."""
    return [
        compose_key_image(
            source.series,
            source.content,
            KeyPicture(number=each.number, rgb=np.asarray(each.sheet), slices=each.slices),
            created=source.created,
            profile=profile,
        )
        for each in pictures.nodules
    ]


def _draw(source: ResultSource, language: str) -> CasePictures:
    return draw_case(
        source.series,
        source.findings,
        revision=source.content.revision,
        created=source.created,
        language=language,
        font_file=source.font_file,
    )
