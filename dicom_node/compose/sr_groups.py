"""The Measurement Groups of one nodule: axes, contour, segment; one Tracking UID for all.

The order matters to viewers. OHIF merges groups of one Tracking UID and reads the first one's
Tracking Identifier: the axes with their lines (TID 1501) come first, then the contour
(TID 1410, which Stone and Weasis draw), then the segment with its measurements (TID 1411).

Spatial coordinates: SCOORD counts from the corner of the top left pixel (PS3.3 C.18.6.1.1),
our indices from its centre, so half a pixel is added.
"""

from __future__ import annotations

import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.compose import codes
from dicom_node.compose.content import AlgorithmContent, AxisContent, NoduleContent
from dicom_node.compose.profile import SrDress
from dicom_node.compose.sr_growth import growth_evaluations, growth_measurements
from dicom_node.compose.sr_text import nodule_label
from dicom_node.compose.sr_uptake import uptake_measurements
from dicom_node.compose.words import Words

HALF_PIXEL = 0.5

Group = (
    sr.MeasurementsAndQualitativeEvaluations
    | sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | sr.VolumetricROIMeasurementsAndQualitativeEvaluations
)


def nodule_groups(
    nodule: NoduleContent,
    segment_number: int,
    headers: list[Dataset],
    segmentation: Dataset | None,
    algorithm: AlgorithmContent,
    dress: SrDress,
    words: Words,
) -> list[Group]:
    """The groups of a nodule that a dress asks for, in the order in which viewers need them.

    Without a segment's group, what was measured and judged of the nodule stands in the first.

    Parameters
    ----------
    nodule : NoduleContent
        What to write.
    segment_number : int
        Its segment in `segmentation`.
    headers : list of Dataset
        The series' headers in the order of its slices.
    segmentation : Dataset or None
        The SEG that holds the segment; needed when the dress has a segment's group.
    algorithm : AlgorithmContent
        Named in each group (TID 4019).
    dress : SrDress
        Which groups, name of the axes, form of the region, purpose of the key image.
    words : Words
        Of the label.
    """
    key_image = headers[nodule.key_slice_k]
    groups: list[Group] = [_axes_group(nodule, key_image, algorithm, dress, words)]
    if "region" in dress.groups:
        groups.append(_region_group(nodule, key_image, algorithm, dress))
    if "segment" in dress.groups and segmentation is not None:
        groups.append(_segment_group(nodule, segment_number, key_image, segmentation, algorithm))
    return groups


def to_scoord(points_ji: NDArray[np.float64]) -> NDArray[np.float64]:
    """(row, column) from pixel centres -> (column, row) from the image's corner, shape (N, 2)."""
    return np.asarray(points_ji, dtype=np.float64)[:, ::-1] + HALF_PIXEL


def box_around(nodule: NoduleContent) -> NDArray[np.float64]:
    """The closed box around the outlined part's voxels, five points (j, i), clockwise on screen.

    The contour's own bounds would be a little inside: it is smooth.
    """
    k, j, i = nodule.mask_origin_kji
    contour = np.asarray(nodule.contour_ji, dtype=np.float64)
    voxels = np.argwhere(nodule.mask[nodule.key_slice_k - k]) + np.array([j, i])
    lowest, highest = contour.min(axis=0) - 1, contour.max(axis=0) + 1
    voxels = voxels[((voxels > lowest) & (voxels < highest)).all(axis=1)]
    (j0, i0), (j1, i1) = voxels.min(axis=0) - HALF_PIXEL, voxels.max(axis=0) + HALF_PIXEL
    return np.array([(j0, i0), (j0, i1), (j1, i1), (j1, i0), (j0, i0)])


def _tracking(nodule: NoduleContent, prefix: str = "") -> sr.TrackingIdentifier:
    name = f"Nodule {nodule.number}"
    return sr.TrackingIdentifier(
        uid=nodule.tracking_uid, identifier=f"{prefix}:{name}" if prefix else name
    )


def _sites(nodule: NoduleContent) -> list[sr.FindingSite]:
    site = codes.SITES.get(nodule.lobe or nodule.laterality or "", codes.LUNG)
    return [sr.FindingSite(anatomic_location=site)]


def _algorithm(algorithm: AlgorithmContent) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(name=algorithm.name, version=algorithm.version)


def _axes_group(
    nodule: NoduleContent,
    key_image: Dataset,
    algorithm: AlgorithmContent,
    dress: SrDress,
    words: Words,
) -> sr.MeasurementsAndQualitativeEvaluations:
    """TID 1501: long and short axis, each inferred from its line, and the label."""
    source = _source_image(key_image, dress)
    alone = "segment" not in dress.groups
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(nodule, dress.axes_identifier_prefix),
        finding_type=codes.NODULE,
        finding_sites=_sites(nodule),
        algorithm_id=_algorithm(algorithm),
        measurements=[
            _axis(codes.LONG_AXIS, nodule.long_axis, source),
            _axis(codes.SHORT_AXIS, nodule.short_axis, source),
            *(_measurements(nodule) if alone else ()),
        ],
        qualitative_evaluations=_evaluations(nodule) if alone else None,
    )
    group[0].ContentSequence.append(
        sr.TextContentItem(
            name=codes.COMMENT,
            value=nodule.comment or nodule_label(nodule, words),
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
    )
    return group


def _source_image(key_image: Dataset, dress: SrDress) -> sr.SourceImageForRegion:
    """The image that coordinates are selected from (TID 1410 row 7, TID 320 row 4)."""
    source = sr.SourceImageForRegion(
        referenced_sop_class_uid=key_image.SOPClassUID,
        referenced_sop_instance_uid=key_image.SOPInstanceUID,
    )
    source.ConceptNameCodeSequence = [sr.CodedConcept.from_code(dress.source_image_purpose)]
    return source


def _axis(name: Code, axis: AxisContent, source: sr.SourceImageForRegion) -> sr.Measurement:
    line = sr.CoordinatesForMeasurement(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=to_scoord(np.array([axis.start_ji, axis.end_ji])),
        source_image=source,
    )
    return sr.Measurement(
        name=name,
        value=round(axis.length_mm, 2),
        unit=codes.MILLIMETRE,
        referenced_coordinates=[line],
    )


def _region_group(
    nodule: NoduleContent, key_image: Dataset, algorithm: AlgorithmContent, dress: SrDress
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410: the region on the key slice, without a number (OHIF 3.11 needs it so)."""
    boxed = dress.region == "box"
    contour = np.asarray(nodule.contour_ji, dtype=np.float64)
    if boxed:
        contour = box_around(nodule)
    elif not np.array_equal(contour[0], contour[-1]):
        contour = np.vstack([contour, contour[:1]])
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(nodule),
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=to_scoord(contour),
            source_image=_source_image(key_image, dress),
        ),
        geometric_purpose=codes.BOUNDED_BY if boxed else None,
        finding_type=codes.NODULE,
        finding_sites=_sites(nodule),
        algorithm_id=_algorithm(algorithm),
    )


def _segment_group(
    nodule: NoduleContent,
    segment_number: int,
    header: Dataset,
    segmentation: Dataset,
    algorithm: AlgorithmContent,
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """TID 1411: the segment, its measurements and what was judged of it."""
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(nodule),
        referenced_segment=_referenced_segment(segment_number, header, segmentation),
        finding_type=codes.NODULE,
        finding_sites=_sites(nodule),
        algorithm_id=_algorithm(algorithm),
        measurements=[
            *_measurements(nodule),
            *growth_measurements(nodule.growth),
            *uptake_measurements(nodule.uptake),
        ],
        qualitative_evaluations=[*_evaluations(nodule), *growth_evaluations(nodule.growth)],
    )


def _referenced_segment(
    segment_number: int, header: Dataset, segmentation: Dataset
) -> sr.ReferencedSegment:
    """The segment and the series that it was drawn on; its images stand in the SEG's frames.

    highdicom's own `from_segmentation` cannot read a SEG of a single segment, whose
    identification stands in the shared functional groups.
    """
    return sr.ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=segment_number,
        source_series=sr.SourceSeriesForSegmentation(str(header.SeriesInstanceUID)),
    )


def _measurements(nodule: NoduleContent) -> list[sr.Measurement]:
    """What was measured; what was not does not appear."""
    brock, mayo = nodule.brock_probability, nodule.mayo_probability
    suspicion = nodule.model_suspicion
    rows: tuple[tuple[Code, float | None, Code, Code | None, int], ...] = (
        (codes.VOLUME, nodule.volume_mm3, codes.CUBIC_MILLIMETRE, None, 1),
        (codes.DIAMETER, nodule.mean_diameter_mm, codes.MILLIMETRE, codes.MEAN, 2),
        (codes.MAXIMUM_3D_DIAMETER, nodule.max_3d_diameter_mm, codes.MILLIMETRE, None, 2),
        (codes.ATTENUATION, nodule.mean_hu, codes.HOUNSFIELD, codes.MEAN, 1),
        (codes.SOLID_PART_DIAMETER, nodule.solid_mean_diameter_mm, codes.MILLIMETRE, None, 2),
        (codes.SOLID_PART_VOLUME, nodule.solid_volume_mm3, codes.CUBIC_MILLIMETRE, None, 1),
        (codes.DETECTION_PROBABILITY, nodule.detection_probability, codes.NO_UNITS, None, 3),
        (codes.BROCK_RISK, None if brock is None else 100 * brock, codes.PERCENT, None, 1),
        (codes.MAYO_RISK, None if mayo is None else 100 * mayo, codes.PERCENT, None, 1),
        (
            codes.MODEL_SUSPICION,
            None if suspicion is None else 100 * suspicion,
            codes.PERCENT,
            None,
            1,
        ),
        *(
            (name, 100 * value, codes.PERCENT, None, 1)
            for name, value in zip(
                codes.MODEL_PROBABILITIES, nodule.model_probabilities, strict=False
            )
        ),
        *(
            (code, nodule.attributes.get(name), codes.NO_UNITS, None, 1)
            for name, code in codes.ATTRIBUTES.items()
        ),
    )
    return [
        sr.Measurement(name=name, value=round(value, digits), unit=unit, derivation=derivation)
        for name, value, unit, derivation, digits in rows
        if value is not None
    ]


def _evaluations(nodule: NoduleContent) -> list[sr.QualitativeEvaluation]:
    evaluations = []
    if nodule.nodule_type is not None:
        evaluations.append(
            sr.QualitativeEvaluation(
                name=codes.NODULE_TYPE, value=codes.NODULE_TYPES[nodule.nodule_type]
            )
        )
    if nodule.model_level is not None:
        evaluations.append(
            sr.QualitativeEvaluation(
                name=codes.MODEL_LEVEL, value=codes.MODEL_LEVELS[nodule.model_level]
            )
        )
    if nodule.lung_rads_category is not None:
        evaluations.append(
            sr.QualitativeEvaluation(
                name=codes.LUNG_RADS, value=codes.lung_rads_value(nodule.lung_rads_category)
            )
        )
    return evaluations
