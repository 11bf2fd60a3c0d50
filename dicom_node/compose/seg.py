"""The Segmentation: one BINARY segment per nodule, on the CT's own grid (PS3.3 A.51).

BINARY in Explicit VR Little Endian with empty frames left out is what every viewer draws;
pixel-aligned frames with Derivation Image and Referenced Series Sequence are what Weasis and
OHIF need beside it.
"""

from __future__ import annotations

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
    single_component_names_allowed,
    source_headers,
)
from dicom_node.compose.identity import result_instance_uid, result_series_uid
from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.errors import ComposeError
from dicom_node.read.ct_series import CtSeries

SEG_SERIES_NUMBER = 9002
SERIES_DESCRIPTION = "AI lung nodules SEG (research use)"
COLOURS_RGB = (
    (230, 60, 60), (60, 180, 230), (250, 200, 40), (90, 200, 90), (200, 110, 220),
    (250, 140, 40), (70, 110, 230), (40, 200, 180), (240, 120, 160), (160, 160, 60),
)  # fmt: skip


def compose_seg(
    series: CtSeries, content: ReportContent, *, created: datetime, profile: str = "default"
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
    profile : str
        Kind of destination; part of the identity.

    Raises
    ------
    ComposeError
        If there is no nodule, or a mask lies outside the series or is empty.
    """
    if not content.nodules:
        raise ComposeError("a segmentation needs at least one nodule")
    for nodule in content.nodules:
        _check_mask(nodule, series.hu.shape)
    headers = source_headers(series)
    planes = sorted({k for nodule in content.nodules for k in _planes(nodule)})
    rows, columns = series.hu.shape[1:]
    pixels = np.zeros((len(planes), rows, columns, len(content.nodules)), dtype=np.uint8)
    for index, nodule in enumerate(content.nodules):
        paint(pixels[..., index], nodule, planes)
    with single_component_names_allowed():
        seg = highdicom.seg.Segmentation(
            source_images=[headers[k] for k in planes],
            pixel_array=pixels,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _describe(nodule, index, content.algorithm)
                for index, nodule in enumerate(content.nodules)
            ],
            series_instance_uid=result_series_uid(series.series_instance_uid, "seg"),
            series_number=SEG_SERIES_NUMBER,
            sop_instance_uid=result_instance_uid(
                series.series_instance_uid, content.revision, "seg", profile
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
            series_description=SERIES_DESCRIPTION,
            contributing_equipment=contributing_equipment(content.algorithm),
        )
    data = seal(seg, headers[0], content.algorithm, created)
    return ComposedObject(
        kind="seg",
        sop_class_uid=str(seg.SOPClassUID),
        sop_instance_uid=str(seg.SOPInstanceUID),
        series_instance_uid=str(seg.SeriesInstanceUID),
        data=data,
    )


def paint(target: NDArray[np.uint8], nodule: NoduleContent, planes: list[int]) -> None:
    """Set a nodule's voxels in an array of some of the series' planes, shape (P, H, W)."""
    k0, j0, i0 = nodule.mask_origin_kji
    depth, height, width = nodule.mask.shape
    for k in range(depth):
        if nodule.mask[k].any():
            plane = target[planes.index(k0 + k), j0 : j0 + height, i0 : i0 + width]
            plane[nodule.mask[k]] = 1


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
