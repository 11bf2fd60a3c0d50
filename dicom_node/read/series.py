"""Stored files -> `CtSeries`: the one place where pixels are decoded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage

from dicom_node.errors import SeriesRejected, UnreadableInstance
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.densities import SampledDensities, check_densities, sample_densities
from dicom_node.read.geometry import (
    DEFAULT_LIMITS,
    GeometryLimits,
    SeriesGeometry,
    check_geometry,
    longest_run,
)
from dicom_node.read.header import InstanceHeader, digests, read_header
from dicom_node.read.pixels import FRAME_PIXELS_AT_MOST, decode_pixels
from dicom_node.read.stored_file import MALFORMED, find_excess, is_of_the_machine, read_with_pixels

AIR_HU = -1024
INT16 = np.iinfo(np.int16)
DECODING_THREADS = 2
DECODER_WORDS = 300
"""Characters of a decoder's own explanation that are repeated."""
PADDING_AT_MOST_HU = -500
"""Padding that would be denser is no padding but a value that tissue has as well (a Pixel
Padding Value of 0 with an intercept of 0): it is left as it is."""
VOXELS_AT_MOST = 1 << 31
"""Of a series; 4 GB as HU: 2,048 slices of 1024 x 1024."""
HOLE_ERROR_SLICES = 0.75
"""With holes tolerated, how far a slice may be from where the affine puts it, in spacings. One
lost slice amid a series makes half a spacing. Beyond it only the longest whole part is taken."""
BULKY_GROUPS = range(0x6000, 0x6020, 2)
"""Overlay planes (PS3.3 C.9.2): drawn over the image, of no use without it."""
OVERLAY_DATA = 0x3000


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScan:
    """What a folder holds: files by Series Instance UID, and each other file with its reason."""

    series: dict[str, list[Path]]
    ignored: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    header: Dataset
    densities: SampledDensities
    warning: str = ""


def load_ct_series(
    paths: Sequence[Path],
    *,
    allow_incomplete: bool = False,
    limits: GeometryLimits = DEFAULT_LIMITS,
    max_workers: int = DECODING_THREADS,
) -> CtSeries:
    """Read, check and decode a series.

    Parameters
    ----------
    paths : sequence of Path
        Every instance of one series, in any order.
    allow_incomplete : bool
        Take a series with holes, and say so in a warning. Where the holes would put a slice
        further than `HOLE_ERROR_SLICES` spacings from its true place, only the longest part
        without a hole is taken, so that lengths and places stay true.
    limits : GeometryLimits
        What is still taken as regular.
    max_workers : int
        Slices decoded at a time.

    Raises
    ------
    SeriesRejected
        With the geometry's code, or ``enhanced_ct``, ``conflicting_instances``, ``truncated``,
        ``too_large``, ``undecodable``, ``wrong_rescale``.
    UnreadableInstance
        If a file is no DICOM instance.
    OSError
        If the disk does not give it, or no decoder's process can be started.
    """
    by_uid = _read_headers(paths)
    geometry, tolerated = accept_geometry(
        [header for header, _ in by_uid.values()], allow_incomplete, limits
    )
    if geometry.affine is None:
        raise SeriesRejected("no_geometry", "the slices form no regular grid")
    ordered = [by_uid[uid][1] for uid in geometry.sop_instance_uids]
    first = by_uid[geometry.sop_instance_uids[0]][0]
    hu = _room_for(first, slices=len(ordered))
    pool = ThreadPoolExecutor(max_workers=max_workers)
    try:
        slices = list(pool.map(_decode, ordered, hu))
    finally:
        pool.shutdown(cancel_futures=True)
    check_densities([item.densities for item in slices])
    return CtSeries(
        hu=hu,
        affine=geometry.affine,
        headers=tuple(item.header for item in slices),
        warnings=(
            *geometry.warnings,
            *tolerated,
            *dict.fromkeys(item.warning for item in slices if item.warning),
        ),
    )


def read_series_geometry(
    paths: Sequence[Path],
    *,
    allow_incomplete: bool = False,
    limits: GeometryLimits = DEFAULT_LIMITS,
) -> tuple[SeriesGeometry, tuple[InstanceHeader, ...]]:
    """The grid that `load_ct_series` would give, and the headers of its slices, without pixels.

    Raises
    ------
    SeriesRejected, UnreadableInstance
        As `load_ct_series`.
    """
    by_uid = _read_headers(paths)
    geometry, _ = accept_geometry(
        [header for header, _ in by_uid.values()], allow_incomplete, limits
    )
    if geometry.affine is None:
        raise SeriesRejected("no_geometry", "the slices form no regular grid")
    return geometry, tuple(by_uid[uid][0] for uid in geometry.sop_instance_uids)


def _read_headers(paths: Sequence[Path]) -> dict[str, tuple[InstanceHeader, Path]]:
    by_uid: dict[str, tuple[InstanceHeader, Path]] = {}
    for path in paths:
        header = read_header(path)
        if header.truncated:
            raise SeriesRejected(
                "truncated", f"{_named(header)} is cut short: {header.problems[-1]}"
            )
        if header.sop_class_uid == EnhancedCTImageStorage:
            raise SeriesRejected(
                "enhanced_ct",
                f"{_named(header)} is Enhanced CT (multi-frame), which is not supported: "
                "route the classic CT series",
            )
        if header.sop_instance_uid in by_uid:
            _check_same(*by_uid[header.sop_instance_uid], header, path)
        by_uid[header.sop_instance_uid] = (header, path)
    return by_uid


def _check_same(known: InstanceHeader, place: Path, header: InstanceHeader, path: Path) -> None:
    """Refuse two files under one SOP Instance UID that are not the same image of one series."""
    uids = (known.series_instance_uid, header.series_instance_uid)
    if uids[0] != uids[1]:
        raise SeriesRejected(
            "mixed_series",
            f"{_named(header)} stands in two series: Series Instance UID {uids[0]} in "
            f"{place.name}, {uids[1]} in {path.name}",
        )
    if digests(place)[1] != digests(path)[1]:
        raise SeriesRejected(
            "conflicting_instances",
            f"{place.name} and {path.name} hold different pixels under one SOP Instance "
            f"UID {header.sop_instance_uid}",
        )


def _named(header: InstanceHeader) -> str:
    number = "?" if header.instance_number is None else header.instance_number
    return f"{header.sop_instance_uid} (instance {number})"


def named_by(ds: Dataset, otherwise: str) -> str:
    """How an instance is named in a reason; its own words may be unreadable."""
    try:
        return f"{ds.get('SOPInstanceUID', otherwise)} (instance {ds.get('InstanceNumber', '?')})"
    except MALFORMED:
        return otherwise


def accept_geometry(
    headers: Sequence[InstanceHeader], allow_incomplete: bool, limits: GeometryLimits
) -> tuple[SeriesGeometry, tuple[str, ...]]:
    """The grid to decode, and what is said of the holes that were tolerated.

    Raises
    ------
    SeriesRejected
        If the slices form none.
    """
    geometry = check_geometry(headers, limits=limits)
    holes = [problem for problem in geometry.problems if problem.code == "missing_slices"]
    if holes and allow_incomplete and len(holes) == len(geometry.problems):
        said = f"analysed although incomplete: {holes[0].why}"
        if geometry.grid_error_mm <= HOLE_ERROR_SLICES * (geometry.spacing_mm or 0.0):
            return geometry, (f"{said}; places are off by up to {geometry.grid_error_mm:.1f} mm",)
        part = longest_run(headers, limits=limits)
        geometry = check_geometry(part, limits=limits)
        z_mm = sorted((header.image_position_lps_mm or (0.0, 0.0, 0.0))[2] for header in part)
        said += (
            f"; only the longest part without a hole was analysed, {len(part)} of "
            f"{len(headers)} slices, z={z_mm[0]:.1f} to {z_mm[-1]:.1f} mm"
        )
        if not geometry.problems:
            return geometry, (said,)
        raise SeriesRejected(holes[0].code, f"{holes[0].why}; {geometry.problems[0].why}")
    if geometry.problems:
        why = "; ".join(problem.why for problem in geometry.problems)
        raise SeriesRejected(geometry.problems[0].code, why)
    return geometry, ()


def decode_slice(path: Path) -> NDArray[np.int16]:
    """One slice as `load_ct_series` would give it, HU, shape (H, W), without a look at the rest.

    Raises
    ------
    SeriesRejected, UnreadableInstance
        As there.
    """
    room = _room_for(read_header(path), slices=1)
    _decode(path, room[0])
    return room.reshape(room.shape[1:])


def _room_for(header: InstanceHeader, *, slices: int) -> NDArray[np.int16]:
    """An array for slices like this one, (D, H, W), HU.

    Raises
    ------
    SeriesRejected
        If they would be too much for any machine: compressed ones may claim what they like.
    """
    rows, columns = header.rows or 0, header.columns or 0
    if rows * columns > FRAME_PIXELS_AT_MOST or slices * rows * columns > VOXELS_AT_MOST:
        raise SeriesRejected(
            "too_large",
            f"{slices} slices of {rows} x {columns} pixels; at most {FRAME_PIXELS_AT_MOST} pixels "
            f"in a slice and {VOXELS_AT_MOST} in a series are analysed",
        )
    return np.empty((slices, rows, columns), dtype=np.int16)


def _decode(path: Path, out: NDArray[np.int16]) -> _Slice:
    """Decode one slice into `out` (H, W) as HU."""
    try:
        ds = read_with_pixels(path)
    except UnreadableInstance as error:
        raise SeriesRejected("undecodable", str(error)) from error
    named = named_by(ds, path.name)
    excess = find_excess(ds)
    if excess:
        raise SeriesRejected("undecodable", f"{named} cannot be decoded: {excess}")
    try:
        stored = decode_pixels(ds)
        slope, intercept = (
            float(default if ds.get(name) in (None, "") else ds[name].value)
            for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
        )
        padding = _padding(ds)
    except MALFORMED as error:
        if is_of_the_machine(error):
            raise
        why = " ".join(str(error).split())[:DECODER_WORDS]
        syntax = ds.file_meta.TransferSyntaxUID.name
        raise SeriesRejected(
            "undecodable", f"{named} cannot be decoded from {syntax}: {why}"
        ) from error
    if stored.shape != out.shape:
        raise SeriesRejected(
            "undecodable", f"{named} decodes to {stored.shape}, wanted {out.shape}"
        )
    if slope <= 0 or not np.isfinite([slope, intercept]).all():
        raise SeriesRejected(
            "wrong_rescale", f"{named} has Rescale Slope {slope:g}, must be above 0"
        )
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    is_padding = np.zeros(hu.shape, dtype=bool)
    warning = ""
    if padding is not None:
        padding_hu = padding[1] * slope + intercept
        if padding_hu <= PADDING_AT_MOST_HU:
            is_padding = (stored >= padding[0]) & (stored <= padding[1])
        else:
            warning = f"Pixel Padding Value means {padding_hu:.0f} HU, so it was not taken as such"
    densities = sample_densities(named, hu, is_padding)
    hu[is_padding] = AIR_HU
    np.clip(np.rint(hu), INT16.min, INT16.max, out=hu)
    out[...] = hu.astype(np.int16)
    return _Slice(header=_without_pixels(ds), densities=densities, warning=warning)


def _padding(ds: Dataset) -> tuple[int, int] | None:
    """Lowest and highest stored value that means "no image here" (PS3.3 C.7.5.1.1.2).

    Some scanners write a negative value as if it were unsigned (63536 for -2000).
    """
    values = [ds.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if values[0] is None:
        return None
    bits = 8 * int(ds.BitsAllocated // 8)
    wrap = 1 << bits if ds.PixelRepresentation == 1 else 0
    numbers = [int(value) for value in values if value is not None]
    signed = [value - wrap if wrap and value >= wrap // 2 else value for value in numbers]
    return min(signed), max(signed)


def _without_pixels(ds: Dataset) -> Dataset:
    """Drop Pixel Data, overlay planes and icons; whatever names patient or device stays."""
    for tag in [tag for tag in ds.keys() if tag.group in BULKY_GROUPS and tag.elem == OVERLAY_DATA]:  # noqa: SIM118 # iterating a Dataset gives elements, not tags
        del ds[tag]
    for keyword in ("PixelData", "IconImageSequence"):
        if keyword in ds:
            del ds[keyword]
    return ds


def scan_folder(folder: Path) -> FolderScan:
    """Sort the files below a folder by Series Instance UID; say why others are passed over."""
    series: dict[str, list[Path]] = defaultdict(list)
    ignored: list[tuple[Path, str]] = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        if path.name.upper() == "DICOMDIR":
            ignored.append((path, "a DICOMDIR lists files, it is no instance"))
            continue
        try:
            series[read_header(path).series_instance_uid].append(path)
        except UnreadableInstance as error:
            ignored.append((path, error.why))
        except OSError as error:
            ignored.append((path, f"it cannot be read from disk: {error.strerror}"))
    return FolderScan(series=dict(series), ignored=tuple(ignored))


def select_series(folder: Path) -> dict[str, list[Path]]:
    """Sort the DICOM files below a folder by Series Instance UID; see `scan_folder`."""
    return scan_folder(folder).series
