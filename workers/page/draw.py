"""All pictures of a case in one language: a sheet per nodule, and the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicom_node.compose.envelope import to_study_time
from dicom_node.compose.seg import COLOURS_RGB
from dicom_node.read.ct_series import CtSeries
from inference.findings import CaseFindings
from inference.pictures.key_image import NodulePictures, draw_nodule
from inference.pictures.overview import draw_overview
from workers.page.compose import compose_page, key_image_words
from workers.page.content import PagePicture
from workers.page.layout import draw_page
from workers.page.typeface import find_typeface
from workers.page.words import WORDS
from workers.translate import to_volume


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePictures:
    """What people look at."""

    nodules: tuple[NodulePictures, ...]
    """In the order of the findings."""
    page: bytes
    """A PDF of one page."""


def draw_case(
    series: CtSeries,
    findings: CaseFindings,
    *,
    revision: int,
    created: datetime,
    language: str,
    font_file: Path | None = None,
) -> CasePictures:
    """Draw the key images and the page.

    Parameters
    ----------
    series : CtSeries
        With its pixels.
    findings : CaseFindings
        Of its analysis.
    revision : int
        From 1.
    created : datetime
        Content date and time; written on the page as the study's clock shows it.
    language : str
        ``en`` or ``zh``.
    font_file : Path, optional
        A TrueType font for letters that are not Latin; a known one is looked for without it.

    Raises
    ------
    FontMissing
        If there is no font for the language.
    """
    words = WORDS[language]
    typeface = find_typeface(language, font_file)
    picture_font = typeface.wide_file if typeface.always_wide else None
    volume = to_volume(series)
    pictures = tuple(
        draw_nodule(
            volume,
            nodule,
            key_image_words(
                nodule,
                findings,
                revision=revision,
                image=_image_number(series, nodule.measurements.key_slice_k),
                language=language,
            ),
            colour=COLOURS_RGB[index % len(COLOURS_RGB)],
            font_file=picture_font,
        )
        for index, nodule in enumerate(findings.nodules)
    )
    looked_at = None
    if not pictures:
        names = (words.middle_slice, words.coronal, words.sagittal)
        looked_at = PagePicture(
            caption=words.looked_at, tiles=draw_overview(volume, names, font_file=picture_font)
        )
    header = series.headers[0]
    content = compose_page(
        series,
        findings,
        pictures=pictures,
        looked_at=looked_at,
        created=to_study_time(created, str(header.get("TimezoneOffsetFromUTC") or "")),
        revision=revision,
        language=language,
        typeface=typeface,
    )
    return CasePictures(nodules=pictures, page=draw_page(content, typeface))


def _image_number(series: CtSeries, k: int) -> str:
    """Instance Number (0020,0013) of a slice, which viewers show; its place in the series else."""
    return str(series.headers[k].get("InstanceNumber") or k + 1)
