"""Series and report content with known places, for the tests of everything composed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.content import (
    AlgorithmContent,
    AxisContent,
    ComposedObject,
    NoduleContent,
    ReportContent,
)
from dicom_node.compose.ct import CtIdentity, write_ct_series
from dicom_node.compose.identity import device_uid, tracking_uid
from dicom_node.compose.profile import DEFAULT, ObjectKind, Profile
from dicom_node.compose.seg import compose_seg
from dicom_node.compose.sr import compose_sr
from dicom_node.read.ct_series import CtSeries

CREATED = datetime(2026, 11, 23, 12, 34, 56)
ALGORITHM = AlgorithmContent(
    name="Pulmonode",
    version="0.1.0",
    manufacturer="Pulmonode",
    model_name="Pulmonode",
    device_uid=device_uid("Pulmonode", "0.1.0", "detector=abc"),
)
CONTOUR_POINTS = 40


def upright_affine(
    spacing_mm: tuple[float, float, float] = (2.0, 0.7, 0.7),
    origin_lps_mm: tuple[float, float, float] = (-120.0, -110.0, -300.0),
) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * np.array(spacing_mm)
    affine[:3, 3] = origin_lps_mm
    return affine


def oblique_affine() -> NDArray[np.float64]:
    """Slices tilted by 20 degrees about the left-right axis, as a tilted head rest gives."""
    angle = np.radians(20.0)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return tilt @ upright_affine()


def series_on_disk(
    folder: Path,
    *,
    shape: tuple[int, int, int] = (20, 90, 100),
    affine: NDArray[np.float64] | None = None,
    descending: bool = False,
    identity: CtIdentity | None = None,
) -> tuple[CtSeries, list[Path]]:
    """A synthetic CT, written and read back as any other."""
    paths = write_ct_series(
        folder,
        hu=np.full(shape, -800, dtype=np.int16),
        affine=upright_affine() if affine is None else affine,
        identity=identity or CtIdentity(key="compose"),
        descending=descending,
    )
    return read_headers(paths), paths


def read_headers(paths: Sequence[Path]) -> CtSeries:
    """Headers sorted along the normal; HU are left at zero, no test here looks at them."""
    with warnings.catch_warnings():
        # Archives de-identify dates and codes to what pydicom calls invalid; not our subject.
        warnings.filterwarnings("ignore", message="Invalid value for VR")
        headers = [dcmread(path, stop_before_pixels=True) for path in paths]
    cosines = np.array([float(v) for v in headers[0].ImageOrientationPatient])
    row, column = cosines[:3], cosines[3:]
    normal = np.cross(row, column)

    def position(header: Dataset) -> NDArray[np.float64]:
        return np.array([float(v) for v in header.ImagePositionPatient])

    headers.sort(key=lambda header: float(normal @ position(header)))
    first, last = position(headers[0]), position(headers[-1])
    spacing = [float(v) for v in headers[0].PixelSpacing]
    affine = np.eye(4)
    affine[:3, 0] = (last - first) / (len(headers) - 1)
    affine[:3, 1] = column * spacing[0]
    affine[:3, 2] = row * spacing[1]
    affine[:3, 3] = first
    shape = (len(headers), int(headers[0].Rows), int(headers[0].Columns))
    return CtSeries(
        # One zero seen everywhere: a full array per series would be memory for nothing.
        hu=np.broadcast_to(np.int16(0), shape),
        affine=affine,
        headers=tuple(headers),
    )


def sphere(
    series: CtSeries,
    number: int,
    centre_kji: tuple[int, int, int],
    radius_mm: float,
    **more: object,
) -> NoduleContent:
    """A round nodule about a voxel's centre; contour and axes are analytic."""
    k, j, i = centre_kji
    spacing_mm = np.linalg.norm(series.affine[:3, :3], axis=0)
    half = np.ceil(radius_mm / spacing_mm).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-h, h + 1) for h in half), indexing="ij"), axis=-1)
    mask = np.linalg.norm(grid @ series.affine[:3, :3].T, axis=-1) <= radius_mm
    radii_px = radius_mm / spacing_mm[1:]
    angle = np.linspace(0, 2 * np.pi, CONTOUR_POINTS, endpoint=False)
    contour = np.array([j, i]) + np.stack([np.sin(angle), np.cos(angle)], axis=1) * radii_px
    values: dict[str, object] = {
        "number": number,
        "tracking_uid": tracking_uid(series.series_instance_uid, str(number)),
        "mask": mask,
        "mask_origin_kji": (k - int(half[0]), j - int(half[1]), i - int(half[2])),
        "key_slice_k": k,
        "long_axis": AxisContent(
            start_ji=(j, i - radii_px[1]), end_ji=(j, i + radii_px[1]), length_mm=2 * radius_mm
        ),
        "short_axis": AxisContent(
            start_ji=(j - radii_px[0], i), end_ji=(j + radii_px[0], i), length_mm=2 * radius_mm
        ),
        "contour_ji": contour,
        "mean_diameter_mm": 2 * radius_mm,
        "volume_mm3": float(mask.sum() * np.prod(spacing_mm)),
        "mean_hu": 21.4,
        "nodule_type": "solid",
        "max_3d_diameter_mm": 2 * radius_mm,
        "laterality": "left",
        "lobe": "left upper lobe",
        "detection_probability": 0.93,
        "lung_rads_category": "4A",
        "lung_rads_why": "solid, mean diameter at least 8 mm",
    }
    return NoduleContent(**(values | more))  # type: ignore[arg-type]


def three_nodules(series: CtSeries) -> tuple[NoduleContent, ...]:
    """One solid, one part-solid with everything measured, one of which little is known."""
    depth, height, width = series.hu.shape
    return (
        sphere(series, 1, (depth // 3, height // 3, width // 3), 5.0),
        sphere(
            series, 2, (depth // 2, height // 2, 2 * width // 3), 6.5,
            nodule_type="part-solid", solid_mean_diameter_mm=4.2, solid_volume_mm3=40.0,
            brock_probability=0.081, lobe=None, laterality="right", model_level="III",
            model_suspicion=0.72, model_probabilities=(0.02, 0.26, 0.6, 0.12),
            remarks=("similar cases: C-12 (level III, reader-rated)",),
        ),
        sphere(
            series, 3, (2 * depth // 3, 2 * height // 3, width // 2), 4.0,
            nodule_type=None, lung_rads_category=None, lung_rads_why=None, lobe=None,
            laterality=None, max_3d_diameter_mm=None, detection_probability=None,
        ),
    )  # fmt: skip


def report(nodules: Sequence[NoduleContent] = (), **more: object) -> ReportContent:
    values: dict[str, object] = {
        "algorithm": ALGORITHM,
        "revision": 1,
        "nodules": tuple(nodules),
        "exam_lung_rads_category": "4A" if nodules else None,
        "exam_lung_rads_applicable": "unknown",
        "exam_lung_rads_why": "screening not known",
        "warnings": ("slices are 2.5 mm thick",),
        "limits": ("No probability of cancer is given.",),
        "facts": {"Lung volume": "4321 ml"},
    }
    return ReportContent(**(values | more))  # type: ignore[arg-type]


def compose_both(
    series: CtSeries, content: ReportContent, *, profile: Profile = DEFAULT, **more: object
) -> tuple[ComposedObject | None, ComposedObject]:
    """SEG (when there is a nodule and the profile has one) and SR, as the service makes them."""
    seg = (
        compose_seg(series, content, created=CREATED, profile=profile)
        if content.nodules and ObjectKind.SEG in profile.objects
        else None
    )
    return seg, compose_sr(
        series,
        content,
        seg=seg,
        created=CREATED,
        profile=profile,
        **more,  # type: ignore[arg-type]
    )


def decode(composed: ComposedObject) -> Dataset:
    return dcmread(io.BytesIO(composed.data))
