"""Some segments of a Segmentation as one of its own: what is left when nodules were rejected.

For data sets that train and test, not for a PACS: it says nothing of who left segments out.
"""

from __future__ import annotations

import io
from collections.abc import Set

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.tag import Tag

from dicom_node.compose.identity import derive_uid
from dicom_node.errors import ComposeError

SEGMENT_NUMBER = Tag("ReferencedSegmentNumber")


def keep_segments(data: bytes, tracking_uids: Set[str]) -> bytes | None:
    """The segments with these Tracking UIDs, under a new SOP Instance UID.

    Segments are numbered anew from 1, as PS3.3 C.8.20.2 wants it of BINARY ones; frames of the
    others are left out.

    Parameters
    ----------
    data : bytes
        A BINARY Segmentation, Part 10, not compressed.

    Returns
    -------
    bytes or None
        `None` when none of its segments is wanted.

    Raises
    ------
    ComposeError
        If it is not BINARY.
    """
    ds = dcmread(io.BytesIO(data))
    if ds.get("SegmentationType") != "BINARY":
        raise ComposeError("only segments of a BINARY segmentation can be taken apart")
    kept = [item for item in ds.SegmentSequence if str(item.get("TrackingUID")) in tracking_uids]
    if not kept:
        return None
    numbers = {int(item.SegmentNumber): new for new, item in enumerate(kept, start=1)}
    frames = np.asarray(ds.pixel_array).reshape(-1, int(ds.Rows), int(ds.Columns))
    shared = ds.SharedFunctionalGroupsSequence[0]
    groups = list(ds.PerFrameFunctionalGroupsSequence)
    of_frame = [_segment_of(group, shared) for group in groups]
    wanted = [at for at, number in enumerate(of_frame) if number in numbers]
    for item, new in zip(kept, numbers.values(), strict=True):
        item.SegmentNumber = new
    dimensions = [item.DimensionIndexPointer for item in ds.get("DimensionIndexSequence") or []]
    for at in wanted:
        _renumber(groups[at], numbers[of_frame[at]], dimensions)
    if "SegmentIdentificationSequence" in shared:
        shared.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 1
    ds.SegmentSequence = kept
    ds.PerFrameFunctionalGroupsSequence = [groups[at] for at in wanted]
    ds.NumberOfFrames = len(wanted)
    ds.PixelData = pack_bits(frames[wanted].astype(np.uint8))
    ds.SOPInstanceUID = derive_uid("subset", str(ds.SOPInstanceUID), *sorted(tracking_uids))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _segment_of(group: Dataset, shared: Dataset) -> int:
    """The number of a frame's segment; one that all frames share stands with the shared groups."""
    items = group.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
    return int(items[0].ReferencedSegmentNumber)


def _renumber(group: Dataset, number: int, dimensions: list[int]) -> None:
    if "SegmentIdentificationSequence" in group:
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number
    content = group.get("FrameContentSequence")
    if content and SEGMENT_NUMBER in dimensions:
        values = list(content[0].DimensionIndexValues)
        values[dimensions.index(SEGMENT_NUMBER)] = number
        content[0].DimensionIndexValues = values
