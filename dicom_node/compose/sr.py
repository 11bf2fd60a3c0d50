"""The Structured Report: TID 1500 in Comprehensive SR (PS3.16 TID 1500, PS3.3 A.35.3).

Which SOP class, groups and names suit which viewer: `profile`. What a nodule's groups hold:
`sr_groups`. The words: `sr_text`.
"""

from __future__ import annotations

import io
from datetime import datetime

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.envelope import language_for, source_headers, translated_errors
from dicom_node.compose.profile import DEFAULT, Profile
from dicom_node.compose.sr_document import Predecessor, Reference, compose_document
from dicom_node.compose.sr_groups import Group, nodule_groups
from dicom_node.compose.words import words_of
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries


def compose_sr(
    series: CtSeries,
    content: ReportContent,
    *,
    seg: ComposedObject | None,
    created: datetime,
    predecessor: Predecessor | None = None,
    profile: Profile = DEFAULT,
) -> ComposedObject:
    """Compose the report.

    Parameters
    ----------
    series : CtSeries
        The CT in which the nodules were found.
    content : ReportContent
        What to say; without nodules the report says that nothing is above the threshold.
    seg : ComposedObject or None
        The segmentation of the same content; `None` exactly when there is no nodule, or the
        profile's reports name no segment.
    created : datetime
        Content date and time.
    predecessor : Predecessor, optional
        The report of the revision before.
    profile : Profile
        Kind of destination; what of it shapes the report is part of the identity.

    Raises
    ------
    ComposeError
        If `seg` and the nodules do not belong together, the slices have no common Frame of
        Reference, or a nodule's key slice is not in the series.
    """
    names_segments = bool(content.nodules) and "segment" in profile.sr.groups
    if (seg is not None) != names_segments:
        raise ComposeError(
            "a report has a segmentation exactly when it has nodules whose segments it names"
        )
    for nodule in content.nodules:
        if not 0 <= nodule.key_slice_k < len(series.headers):
            raise ComposeError(
                f"nodule {nodule.number}: key slice {nodule.key_slice_k} of {len(series.headers)}"
            )
    with translated_errors("report"):
        return _compose(series, content, seg, created, predecessor, profile)


def _compose(
    series: CtSeries,
    content: ReportContent,
    seg: ComposedObject | None,
    created: datetime,
    predecessor: Predecessor | None,
    profile: Profile,
) -> ComposedObject:
    headers = source_headers(series)
    # highdicom reads the segment's source images; the pixels would be dead weight.
    segmentation = None if seg is None else dcmread(io.BytesIO(seg.data), stop_before_pixels=True)
    words = words_of(language_for(series.headers[0], profile.language))
    groups: list[Group] = []
    for number, nodule in enumerate(content.nodules, start=1):
        groups += nodule_groups(
            nodule, number, headers, segmentation, content.algorithm, profile.sr, words
        )
    looked_at = headers if segmentation is None else [*headers, segmentation]
    return compose_document(
        content,
        key=series.series_instance_uid,
        header=headers[0],
        source=series.headers[0],
        groups=groups,
        key_images=_key_images(headers, content),
        evidence=[Reference.to(ds) for ds in looked_at],
        created=created,
        predecessor=predecessor,
        profile=profile,
        words=words,
    )


def _key_images(headers: list[Dataset], content: ReportContent) -> list[Dataset]:
    """One image per nodule for the image library; the middle one when there is no nodule."""
    planes = {nodule.key_slice_k for nodule in content.nodules} or {len(headers) // 2}
    return [headers[k] for k in sorted(planes)]
