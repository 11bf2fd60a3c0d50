"""A stored PET series (PS3.3 A.21) -> `PetSeries`: SUV on a regular grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from dicom_node.errors import SeriesRejected, UnreadableInstance
from dicom_node.read.geometry import DEFAULT_LIMITS, GeometryLimits
from dicom_node.read.pixels import decode_pixels
from dicom_node.read.series import named_by, read_series_geometry
from dicom_node.read.stored_file import MALFORMED, find_excess, is_of_the_machine, read_with_pixels
from dicom_node.read.suv import SuvScale, suv_scale


@dataclass(frozen=True, slots=True, kw_only=True)
class PetSeries:
    """One PET series.

    Attributes
    ----------
    suv : ndarray of shape (D, H, W), dtype float32
        SUV by body weight, g/ml; axes as `CtSeries.hu`.
    affine : ndarray of shape (4, 4)
        (k, j, i, 1) of voxel centres to LPS mm.
    scale : SuvScale
        How the values became SUV.
    headers : tuple of Dataset
        In the order of the slices, without Pixel Data.
    """

    suv: NDArray[np.float32]
    affine: NDArray[np.float64]
    scale: SuvScale
    headers: tuple[Dataset, ...]

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID (0020,0052); empty where there is none."""
        return str(self.headers[0].get("FrameOfReferenceUID", ""))


def load_pet_series(paths: Sequence[Path], *, limits: GeometryLimits = DEFAULT_LIMITS) -> PetSeries:
    """Read, check and decode a PET series.

    Parameters
    ----------
    paths : sequence of Path
        Every instance of one series, in any order.
    limits : GeometryLimits
        What is still taken as regular.

    Raises
    ------
    SeriesRejected
        With the geometry's code, ``not_pet`` or ``undecodable``.
    SuvUnknown
        If the headers do not say what the values mean.
    UnreadableInstance
        If a file is no DICOM instance.
    """
    geometry, ordered = read_series_geometry(paths, limits=limits)
    if geometry.affine is None or any(
        header.sop_class_uid != PositronEmissionTomographyImageStorage for header in ordered
    ):
        raise SeriesRejected("not_pet", "the series holds other than PET images")
    place = {header.sop_instance_uid: index for index, header in enumerate(ordered)}
    values: list[NDArray[np.float32] | None] = [None] * len(ordered)
    headers: list[Dataset | None] = [None] * len(ordered)
    for path in paths:
        ds = _read(path)
        index = place[str(ds.SOPInstanceUID)]
        values[index] = _decode(ds)
        del ds["PixelData"]
        headers[index] = ds
    known = tuple(header for header in headers if header is not None)
    scale = suv_scale(known)
    stack = np.stack([value for value in values if value is not None])
    stack *= np.float32(scale.g_per_ml)
    return PetSeries(suv=stack, affine=geometry.affine, scale=scale, headers=known)


def _read(path: Path) -> FileDataset:
    try:
        return read_with_pixels(path)
    except UnreadableInstance as error:
        raise SeriesRejected("undecodable", str(error)) from error


def _decode(ds: FileDataset) -> NDArray[np.float32]:
    """Rescaled values of one image; each has a slope of its own (PS3.3 C.8.9.4.1.6)."""
    named = named_by(ds, "an image")
    excess = find_excess(ds)
    if excess:
        raise SeriesRejected("undecodable", f"{named} cannot be decoded: {excess}")
    try:
        slope, intercept = float(ds.RescaleSlope), float(ds.get("RescaleIntercept") or 0.0)
        stored = decode_pixels(ds).astype(np.float32)
        shape = (int(ds.Rows), int(ds.Columns))
    except MALFORMED as error:
        if is_of_the_machine(error):
            raise
        why = " ".join(str(error).split())[:300]
        raise SeriesRejected("undecodable", f"{named} cannot be decoded: {why}") from error
    if stored.shape != shape:
        raise SeriesRejected("undecodable", f"{named} decodes to {stored.shape}, wanted {shape}")
    if slope <= 0 or not np.isfinite([slope, intercept]).all():
        raise SeriesRejected("undecodable", f"{named} has Rescale Slope {slope:g}, wanted above 0")
    return np.asarray(stored * np.float32(slope) + np.float32(intercept), dtype=np.float32)
