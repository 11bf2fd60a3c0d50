"""How long it takes to make all objects of a result, and how large they are.

A large chest CT with as many balls as nodules as are asked for: what is composed does not depend
on how it was found, so nothing is searched for. All that a report can say of a nodule is said of
each: solid part, attributes, level with contributions and similar cases, change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.compose.encapsulated_pdf import compose_pdf
from dicom_node.compose.secondary_capture import KeyPicture, compose_key_image
from dicom_node.compose.seg import compose_seg
from dicom_node.compose.sr import compose_sr
from dicom_node.read.ct_series import CtSeries
from inference.attributes import ATTRIBUTES
from inference.findings import (
    BrockEstimate,
    CaseFindings,
    FleischnerAssessment,
    LungRadsAssessment,
    LungSummary,
    MayoEstimate,
    Nodule,
    PriorNodule,
    Quality,
    VoiMask,
)
from inference.follow_up.change import change_since
from inference.grade_values import ModalityShare, NoduleGrade, SimilarCase
from inference.measurement import measure_nodule
from inference.volume import Volume
from workers.page.draw import draw_case
from workers.translate import to_report_content, to_volume

T = TypeVar("T")
SLICE_MM = 1.0
PIXEL_MM = 0.7
DIAMETERS_MM = (6.0, 12.0)
CORE_SHARE = 0.5
"""Of the diameter, that the solid part takes."""
LUNG_HU, GLASS_HU, NODULE_HU = -850, -600, 30
NOISE_HU = 30.0
GRADE = NoduleGrade(
    level="II",
    patent_grade="3",
    probabilities=(0.2, 0.5, 0.2, 0.1),
    suspicion=0.3,
    modalities=dict.fromkeys(
        ("ct_image", "ct_measures"), ModalityShare(present=True, attention=0.5, contribution=0.1)
    ),
    similar_cases=(
        SimilarCase(
            case_id="LIDC-0000-0",
            similarity=0.9,
            level="II",
            evidence="reader-rated",
            source="LIDC",
        ),
    )
    * 5,
)
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


def bench_compose(
    *,
    slices: int,
    pixels: int,
    nodules: int,
    runs: int,
    language: str,
    diameters_mm: tuple[float, float] = DIAMETERS_MM,
) -> dict[str, Any]:
    """Median wall and CPU seconds of each kind of object, and bytes.

    Parameters
    ----------
    slices, pixels : int
        Of the CT; rows and columns are equal.
    nodules : int
        Part-solid balls, spread over the volume.
    runs : int
        Of everything; the first, which loads fonts and libraries, is told apart.
    language : str
        Of the pictures.
    diameters_mm : tuple of float
        Of the smallest and the largest ball; the others lie evenly between them.
    """
    series = _chest(slices, pixels)
    findings = _findings(series, np.linspace(*diameters_mm, nodules))
    taken: list[dict[str, tuple[float, float]]] = []
    sizes: dict[str, int] = {}
    for _ in range(runs + 1):
        clock: dict[str, tuple[float, float]] = {}
        sizes = _compose_all(series, findings, language, clock)
        taken.append(clock)
    return {
        "volume": {
            "shape": list(series.hu.shape),
            "nodules": nodules,
            "diameters_mm": list(diameters_mm),
        },
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "runs": runs,
        "wall_s": {kind: _median(taken[1:], kind, 0) for kind in taken[0]},
        "cpu_s": {kind: _median(taken[1:], kind, 1) for kind in taken[0]},
        "first_wall_s": {kind: wall for kind, (wall, _) in taken[0].items()},
        "bytes": sizes,
    }


def _compose_all(
    series: CtSeries,
    findings: CaseFindings,
    language: str,
    clock: dict[str, tuple[float, float]],
) -> dict[str, int]:
    """Compose everything once; seconds go into `clock`, bytes come back."""

    def timed(kind: str, make: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        made = make()
        clock[kind] = (time.perf_counter() - wall, time.process_time() - cpu)
        return made

    uids = [f"2.25.{number}" for number in range(1, len(findings.nodules) + 1)]
    content = to_report_content(findings, revision=1, tracking_uids=uids)
    seg = timed("seg", lambda: compose_seg(series, content, created=MADE_AT))
    sr = timed("sr", lambda: compose_sr(series, content, seg=seg, created=MADE_AT))
    drawn = timed(
        "pictures",
        lambda: draw_case(series, findings, revision=1, created=MADE_AT, language=language),
    )
    images = timed(
        "key_images",
        lambda: [
            compose_key_image(
                series,
                content,
                KeyPicture(number=each.number, rgb=np.asarray(each.sheet), slices=each.slices),
                created=MADE_AT,
            )
            for each in drawn.nodules
        ],
    )
    pdf = timed("pdf", lambda: compose_pdf(series, content, drawn.page, created=MADE_AT))
    return {
        "seg": len(seg.data),
        "sr": len(sr.data),
        "key_images": sum(len(item.data) for item in images),
        "pdf": len(pdf.data),
    }


def _median(runs: list[dict[str, tuple[float, float]]], kind: str, which: int) -> float:
    return float(np.median([run[kind][which] for run in runs]))


def _chest(slices: int, pixels: int) -> CtSeries:
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, PIXEL_MM], [0, PIXEL_MM, 0], [SLICE_MM, 0, 0]]
    random = np.random.default_rng(0)
    noise = random.normal(LUNG_HU, NOISE_HU, size=(pixels, pixels)).astype(np.int16)
    hu = np.broadcast_to(noise, (slices, pixels, pixels)).copy()
    headers = []
    for k in range(slices):
        ds = slice_dataset(hu[k], k, k + 1, affine, CtIdentity(key="bench compose"))
        del ds.PixelData
        headers.append(ds)
    return CtSeries(hu=hu, affine=affine, headers=tuple(headers))


def _findings(series: CtSeries, diameters_mm: NDArray[np.float64]) -> CaseFindings:
    spacing_mm = np.array([SLICE_MM, PIXEL_MM, PIXEL_MM])
    shares = np.random.default_rng(1).uniform(size=(len(diameters_mm), 3))
    placed = []
    for diameter_mm, share in zip(diameters_mm, shares, strict=True):
        ball, core = (_ball(diameter_mm, part, spacing_mm) for part in (1.0, CORE_SHARE))
        origin = np.round(share * (np.array(series.hu.shape) - ball.shape)).astype(int)
        box = tuple(slice(a, a + n) for a, n in zip(origin, ball.shape, strict=True))
        series.hu[box][ball] = GLASS_HU
        series.hu[box][core] = NODULE_HU
        placed.append((ball, core, origin))
    volume = to_volume(series)
    nodules = tuple(_nodule(volume, number, *each) for number, each in enumerate(placed, 1))
    return CaseFindings(
        algorithm_name="pulmonode-bench",
        algorithm_version="0",
        quality=Quality(slice_spacing_mm=SLICE_MM, coverage="full"),
        lungs=LungSummary(left_ml=None, right_ml=None, total_ml=0.0),
        candidates=(),
        nodules=nodules,
        exam_lung_rads=LungRadsAssessment(applicable="unknown", category=None, why="a benchmark"),
        exam_fleischner=FleischnerAssessment(
            applicable="unknown", recommendation=None, why="a benchmark"
        ),
        limits=("a benchmark",),
    )


def _ball(diameter_mm: float, part: float, spacing_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A ball of `part` of a diameter in the box of the whole one."""
    half = np.ceil(diameter_mm / 2 / spacing_mm).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-h, h + 1) for h in half), indexing="ij"), axis=-1)
    inside = np.linalg.norm(steps * spacing_mm, axis=-1) <= part * diameter_mm / 2
    return np.asarray(inside)


def _nodule(
    volume: Volume,
    number: int,
    ball: NDArray[np.bool_],
    core: NDArray[np.bool_],
    origin: NDArray[np.int_],
) -> Nodule:
    k, j, i = (int(value) for value in origin)
    voi = VoiMask(origin_kji=(k, j, i), mask=ball)
    middle = volume.index_to_lps(origin + (np.array(ball.shape) - 1) / 2)
    measured = measure_nodule(
        volume, voi, "part-solid", VoiMask(origin_kji=voi.origin_kji, mask=core)
    )
    prior = PriorNodule(
        mean_diameter_mm=0.8 * measured.mean_diameter_mm,
        nodule_type="part-solid",
        days_before=200.0,
        volume_mm3=0.5 * measured.volume_mm3,
    )
    nodule = Nodule(
        id=number,
        centre_lps_mm=(float(middle[0]), float(middle[1]), float(middle[2])),
        voi=voi,
        detection_probability=1.0,
        measurements=measured,
        type="part-solid",
        laterality="right",
        lobe="right upper lobe",
        lobe_probability=0.9,
        lung_rads=LungRadsAssessment(applicable="unknown", category="4A", why="a benchmark"),
        fleischner=FleischnerAssessment(
            applicable="unknown", recommendation="a benchmark", why="a benchmark"
        ),
        brock=BrockEstimate(probability=0.1, missing=()),
        mayo=MayoEstimate(probability=0.1),
        attributes=dict.fromkeys(ATTRIBUTES, 3.0),
        grade=GRADE,
    )
    change = change_since(nodule, prior, matched_by="place", key=f"2.25.{number}", distance_mm=1.0)
    return replace(nodule, change=change)
