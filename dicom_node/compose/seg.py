"""The Segmentation: one BINARY segment per nodule, on the CT's own grid (PS3.3 A.51).

BINARY in Explicit VR Little Endian with empty frames left out is what every viewer draws;
pixel-aligned frames with Derivation Image and Referenced Series Sequence are what Weasis and
OHIF need beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.compose import codes
from dicom_node.compose.content import (
    AlgorithmContent,
    ComposedObject,
    NoduleContent,
    ReportContent,
)
from dicom_node.compose.envelope import (
    contributing_equipment,
    seal,
    source_headers,
    translated_errors,
)
from dicom_node.compose.identity import result_instance_uid, result_series_uid
from dicom_node.compose.profile import DEFAULT, ObjectKind, Profile
from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries

COLOURS_RGB = (
    (230, 60, 60), (60, 180, 230), (250, 200, 40), (90, 200, 90), (200, 110, 220),
    (250, 140, 40), (70, 110, 230), (40, 200, 180), (240, 120, 160), (160, 160, 60),
)  # fmt: skip


def compose_seg(
    series: CtSeries, content: ReportContent, *, created: datetime, profile: Profile = DEFAULT
) -> ComposedObject:
    """Compose the Segmentation of a report's nodules.

    Parameters
    ----------
    series : CtSeries
        The CT in which they were found.
    content : ReportContent
        With at least one nodule; masks may overlap.
    created : datetime
        Content date and time.
    profile : Profile
        Kind of destination; the series that it wants is part of the identity.

    Raises
    ------
    ComposeError
        If there is no nodule, a mask lies outside the series or is empty, or the slices have
        no common Frame of Reference.
    """
    if not content.nodules:
        raise ComposeError("a segmentation needs at least one nodule")
    for nodule in content.nodules:
        _check_mask(nodule, series.hu.shape)
    headers = source_headers(series)
    planes = sorted({k for nodule in content.nodules for k in _planes(nodule)})
    pixels = _paint_all(content.nodules, planes, series.hu.shape[1:])
    kind = ObjectKind.SEG
    dress = profile.series_of(kind)
    with translated_errors("segmentation"):
        seg = highdicom.seg.Segmentation(
            source_images=[headers[k] for k in planes],
            pixel_array=pixels,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _describe(nodule, index, content.algorithm)
                for index, nodule in enumerate(content.nodules)
            ],
            series_instance_uid=result_series_uid(
                series.series_instance_uid, kind, profile.series_variant(kind)
            ),
            series_number=dress.number,
            sop_instance_uid=result_instance_uid(
                series.series_instance_uid, content.revision, kind, profile.variant(kind)
            ),
            instance_number=content.revision,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER_MODEL_NAME,
            software_versions=f"{content.algorithm.name} {content.algorithm.version}",
            device_serial_number=content.algorithm.serial_number,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=True,
            content_label="LUNG_NODULES",
            content_description="Lung nodules; research use, not for diagnosis",
            series_description=dress.description,
            contributing_equipment=contributing_equipment(content.algorithm),
            specific_character_set=None,
        )
        return seal(seg, series.headers[0], content, created, kind=kind)


def _paint_all(
    nodules: tuple[NoduleContent, ...], planes: list[int], shape: tuple[int, ...]
) -> NDArray[np.generic]:
    """The segments of some planes: a label map (P, H, W) with one number per segment.

    Masks that share a voxel cannot be told apart in it: then one bit plane per segment,
    (P, H, W, N), which takes N times the memory.
    """
    labels = np.zeros((len(planes), *shape), dtype=np.uint16)
    for index, nodule in enumerate(nodules):
        for row, box, mask in _boxes(nodule, planes):
            if labels[row][box][mask].any():
                bits = np.zeros((*labels.shape, len(nodules)), dtype=np.bool_)
                for last, each in enumerate(nodules):
                    for plane, where, inside in _boxes(each, planes):
                        bits[plane, ..., last][where][inside] = True
                return bits
            labels[row][box][mask] = index + 1
    return labels.astype(np.uint8) if len(nodules) < 256 else labels


def _boxes(
    nodule: NoduleContent, planes: list[int]
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.bool_]]]:
    """Index of the plane, box in it and mask in the box, for each plane with a voxel."""
    k0, j0, i0 = nodule.mask_origin_kji
    _, height, width = nodule.mask.shape
    box = (slice(j0, j0 + height), slice(i0, i0 + width))
    for k in _planes(nodule):
        yield planes.index(k), box, nodule.mask[k - k0]


def _planes(nodule: NoduleContent) -> list[int]:
    return [
        nodule.mask_origin_kji[0] + int(k) for k in np.flatnonzero(nodule.mask.any(axis=(1, 2)))
    ]


def _check_mask(nodule: NoduleContent, shape: tuple[int, ...]) -> None:
    if not nodule.mask.any():
        raise ComposeError(f"nodule {nodule.number} has an empty mask")
    for name, origin, size, limit in zip(
        ("slice", "row", "column"), nodule.mask_origin_kji, nodule.mask.shape, shape, strict=True
    ):
        if origin < 0 or origin + size > limit:
            raise ComposeError(
                f"nodule {nodule.number}: mask from {name} {origin} to {origin + size} lies "
                f"outside the series, which has {limit}"
            )


def _describe(
    nodule: NoduleContent, index: int, algorithm: AlgorithmContent
) -> highdicom.seg.SegmentDescription:
    site = codes.SITES.get(nodule.lobe or nodule.laterality or "", codes.LUNG)
    return highdicom.seg.SegmentDescription(
        segment_number=index + 1,
        segment_label=f"Nodule {nodule.number}",
        segmented_property_category=codes.MORPHOLOGICALLY_ABNORMAL,
        segmented_property_type=codes.NODULE,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=algorithm.name,
            version=algorithm.version,
            family=codes.ARTIFICIAL_INTELLIGENCE,
            source=algorithm.manufacturer,
        ),
        tracking_uid=nodule.tracking_uid,
        tracking_id=f"Nodule {nodule.number}",
        anatomic_regions=[site],
        display_color=highdicom.color.CIELabColor.from_rgb(*COLOURS_RGB[index % len(COLOURS_RGB)]),
    )
