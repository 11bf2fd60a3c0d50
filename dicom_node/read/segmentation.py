"""Segmentations (PS3.3 A.51): binary segments, frame by frame, with the CT slice of each.

Reads ours and what viewers make of them: a frame names its slice by Derivation Image, or only by
its position. Nothing here knows the CT's grid; who reads it puts the frames there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import SegmentationStorage

from dicom_node.errors import UnreadableInstance
from dicom_node.read.pixels import decode_pixels
from dicom_node.read.stored_file import MALFORMED, read_with_pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFrame:
    """A segment on one slice.

    Attributes
    ----------
    source_uid : str
        SOP Instance UID of the CT slice; empty where the frame does not say.
    position_lps_mm : ndarray of shape (3,) or None
        Centre of its first pixel.
    mask : ndarray of shape (H, W), dtype bool
        Row, column.
    """

    source_uid: str
    position_lps_mm: NDArray[np.float64] | None
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSegment:
    """One segment with its frames."""

    number: int
    label: str
    tracking_uid: str
    frames: tuple[SegmentFrame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSegmentation:
    """A Segmentation and the series that it was drawn on."""

    sop_instance_uid: str
    referenced_series_uids: tuple[str, ...]
    image_orientation: tuple[float, ...] | None
    segments: tuple[StoredSegment, ...]


def read_segmentation(path: Path) -> StoredSegmentation:
    """Read a binary Segmentation.

    Raises
    ------
    UnreadableInstance
        If it is none, or is not binary, or its frames cannot be told apart.
    """
    ds = read_with_pixels(path)
    if ds.get("SOPClassUID") != SegmentationStorage:
        raise UnreadableInstance(str(path), "it is no Segmentation")
    if ds.get("SegmentationType") != "BINARY":
        raise UnreadableInstance(
            str(path), f"Segmentation Type is {ds.get('SegmentationType')}, only BINARY is read"
        )
    try:
        return _read(ds)
    except MALFORMED as error:
        raise UnreadableInstance(str(path), " ".join(str(error).split())) from error


def _read(ds: FileDataset) -> StoredSegmentation:
    pixels = np.asarray(decode_pixels(ds)) > 0
    pixels = pixels.reshape(-1, int(ds.Rows), int(ds.Columns))
    shared = _first(ds, "SharedFunctionalGroupsSequence")
    groups = list(ds.get("PerFrameFunctionalGroupsSequence") or [])
    if len(groups) != len(pixels):
        raise ValueError(f"{len(pixels)} frames, but {len(groups)} groups that describe them")
    frames: dict[int, list[SegmentFrame]] = {}
    for group, mask in zip(groups, pixels, strict=True):
        number = int(_item(group, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        frames.setdefault(number, []).append(
            SegmentFrame(
                source_uid=_source_uid(group, shared),
                position_lps_mm=_position(group, shared),
                mask=mask,
            )
        )
    orientation = _first(shared, "PlaneOrientationSequence").get("ImageOrientationPatient")
    return StoredSegmentation(
        sop_instance_uid=str(ds.SOPInstanceUID),
        referenced_series_uids=tuple(
            str(item.SeriesInstanceUID) for item in ds.get("ReferencedSeriesSequence") or []
        ),
        image_orientation=None if orientation is None else tuple(map(float, orientation)),
        segments=tuple(
            StoredSegment(
                number=int(item.SegmentNumber),
                label=str(item.get("SegmentLabel", "")),
                tracking_uid=str(item.get("TrackingUID", "")),
                frames=tuple(frames.get(int(item.SegmentNumber), ())),
            )
            for item in ds.SegmentSequence
        ),
    )


def _first(ds: Dataset, keyword: str) -> Dataset:
    items = ds.get(keyword) or []
    return items[0] if len(items) else Dataset()


def _item(group: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """The functional group of a frame, or the one that all frames share."""
    return _first(group, keyword) or _first(shared, keyword)


def _source_uid(group: Dataset, shared: Dataset) -> str:
    source = _first(_item(group, shared, "DerivationImageSequence"), "SourceImageSequence")
    return str(source.get("ReferencedSOPInstanceUID", ""))


def _position(group: Dataset, shared: Dataset) -> NDArray[np.float64] | None:
    position = _item(group, shared, "PlanePositionSequence").get("ImagePositionPatient")
    return None if position is None else np.array([float(value) for value in position])
