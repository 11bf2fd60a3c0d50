"""A small CT with balls as nodules, and findings of any number of them, for pages."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pypdf import PdfReader

from dicom_node.read.ct_series import CtSeries
from inference.findings import (
    BrockEstimate,
    CaseFindings,
    FleischnerAssessment,
    LungRadsAssessment,
    LungSummary,
    Nodule,
    Quality,
    VoiMask,
)
from inference.grade_values import ModalityShare, NoduleGrade, SimilarCase
from inference.volume import Volume
from tests.conftest import missing
from tests.unit.dicom_node.compose.cases import series_on_disk
from tests.unit.inference.drawn_nodules import nodule_of
from workers.page.compose import PICTURED_AT_MOST, compose_page
from workers.page.content import PagePicture
from workers.page.draw import draw_case
from workers.page.layout import draw_page
from workers.page.typeface import WIDE_FONT_FILES, find_typeface
from workers.page.words import WORDS

CREATED = datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
GRADE = NoduleGrade(
    level="III",
    patent_grade="4A",
    probabilities=(0.05, 0.15, 0.5, 0.3),
    suspicion=0.73,
    modalities={
        "ct_image": ModalityShare(present=True, attention=0.6, contribution=0.214),
        "clinical": ModalityShare(present=True, attention=0.4, contribution=-0.052),
        "pet": ModalityShare(present=False),
    },
    similar_cases=(
        SimilarCase(
            case_id="CASE-0042", similarity=0.91, level="IV", evidence="confirmed", source="site"
        ),
    ),
)


def need_wide_font() -> None:
    if not any(path.is_file() for path in WIDE_FONT_FILES):
        missing("a font with Chinese letters (fonts-wqy-microhei)")


def small_series(folder: Path) -> CtSeries:
    """20 x 90 x 100 voxels of lung with a ball in the middle."""
    series, _ = series_on_disk(folder)
    return filled(series)


def filled(series: CtSeries) -> CtSeries:
    """The series with lung and a ball in it, whatever stands in its files."""
    return replace(series, hu=np.where(_ball(series), 30, -850).astype(np.int16))


def _ball(series: CtSeries) -> np.ndarray[Any, np.dtype[np.bool_]]:
    shape = series.hu.shape
    index = np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) // 2
    return np.asarray(np.linalg.norm(index @ series.affine[:3, :3].T, axis=-1) <= 6.0)


def nodules_of(series: CtSeries, count: int, grade: NoduleGrade | None = GRADE) -> list[Nodule]:
    """The ball, so many times."""
    volume = Volume(hu=series.hu, affine=series.affine)
    ball = nodule_of(volume, VoiMask(origin_kji=(0, 0, 0), mask=_ball(series)), grade=grade)
    known = replace(
        ball,
        type="part-solid",
        lobe="left upper lobe",
        laterality="left",
        lung_rads=LungRadsAssessment(applicable="unknown", category="4A", why="8 mm or more"),
        brock=BrockEstimate(probability=0.0816, missing=()),
    )
    return [replace(known, id=number) for number in range(1, count + 1)]


def findings_of(nodules: Sequence[Nodule] = (), **more: Any) -> CaseFindings:
    values: dict[str, Any] = {
        "algorithm_name": "pulmonode-test",
        "algorithm_version": "0.1.0",
        "weights": {"detector": "abcdef0123456789"},
        "quality": Quality(slice_spacing_mm=2.0, coverage="full"),
        "lungs": LungSummary(left_ml=2000.0, right_ml=2500.0, total_ml=4500.0),
        "candidates": (),
        "nodules": tuple(nodules),
        "exam_lung_rads": LungRadsAssessment(
            applicable="unknown", category="4A" if nodules else None, why="screening not known"
        ),
        "exam_fleischner": FleischnerAssessment(
            applicable="unknown", recommendation=None, why="age not known"
        ),
        "limits": ("growth is not judged by this version",),
    }
    return CaseFindings(**(values | more))


def text_of(pdf: bytes) -> str:
    """What a reader gets out of a page."""
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    return page.extract_text()


def page_of(series: CtSeries, language: str = "en", **more: Any) -> bytes:
    """A page with pictures of the nodules that it shows; the sheets of the others are not drawn."""
    findings = findings_of(**more)
    shown = replace(findings, nodules=findings.nodules[:PICTURED_AT_MOST])
    words, typeface = WORDS[language], find_typeface(language)
    drawn = draw_case(series, shown, revision=2, created=CREATED, language=language)
    looked_at = PagePicture(caption=words.looked_at, tiles=(Image.new("RGB", (90, 90)),) * 3)
    content = compose_page(
        series,
        findings,
        pictures=drawn.nodules,
        looked_at=looked_at,
        created=CREATED,
        revision=2,
        language=language,
        typeface=typeface,
    )
    return draw_page(content, typeface)


def renamed(series: CtSeries, **values: object) -> CtSeries:
    """The series with other header values in every slice."""
    headers = []
    for header in series.headers:
        ds = Dataset(dict(header.items()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # senders are not always within the standard
            for keyword, value in values.items():
                ds.pop(keyword, None)
                setattr(ds, keyword, value)
        headers.append(ds)
    return replace(series, headers=tuple(headers))
