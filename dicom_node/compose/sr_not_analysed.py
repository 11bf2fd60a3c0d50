"""The report that nothing of a study could be analysed: words and evidence, no findings.

One for a study, never one for each of its series. It names what was looked at as evidence, so
that a reader sees what it speaks of, and opens as text in every viewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydicom.dataset import Dataset

from dicom_node.compose.content import ComposedObject, ReportContent
from dicom_node.compose.envelope import language_for, palatable, translated_errors
from dicom_node.compose.profile import DEFAULT, Profile
from dicom_node.compose.sr_document import Predecessor, Reference, compose_document
from dicom_node.compose.words import words_of
from dicom_node.errors import ComposeError


def compose_not_analysed(
    header: Dataset,
    content: ReportContent,
    *,
    key: str,
    evidence: Sequence[Reference],
    created: datetime,
    predecessor: Predecessor | None = None,
    profile: Profile = DEFAULT,
) -> ComposedObject:
    """Compose the report.

    Parameters
    ----------
    header : Dataset
        Of any CT image of the study, as it was sent: patient and study are copied from it.
    content : ReportContent
        With `not_analysed`, without nodules.
    key : str
        What the report's UIDs follow from; the same for every revision of a study's report.
    evidence : sequence of Reference
        The images of the series that it speaks of.
    created, predecessor, profile
        See `sr.compose_sr`.

    Raises
    ------
    ComposeError
        If the content speaks of nodules or of no series, or nothing was looked at.
    """
    if content.nodules or not content.not_analysed:
        raise ComposeError("a not-analysed report has series that were not analysed, no nodules")
    if not evidence:
        raise ComposeError("a not-analysed report needs the images that it speaks of")
    with translated_errors("not-analysed report"):
        return compose_document(
            content,
            key=key,
            header=palatable(header),
            source=header,
            groups=(),
            key_images=(),
            evidence=evidence,
            created=created,
            predecessor=predecessor,
            profile=profile,
            words=words_of(language_for(header, profile.language)),
        )
