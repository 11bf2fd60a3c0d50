"""Stored files -> `CtSeries`: the one place where pixels are decoded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.errors import SeriesRejected, UnreadableInstance
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.geometry import GeometryProblem, check_geometry
from dicom_node.read.header import MALFORMED, InstanceHeader, read_header

AIR_HU = -1024
INT16 = np.iinfo(np.int16)
DECODING_THREADS = 2
AIR_AT_MOST_HU = -700.0
"""A chest CT holds air: its lowest percent lies near -1000 HU, lungs near -850."""
TISSUE_AT_LEAST_HU = -200.0
TISSUE_AT_MOST_HU = 1500.0
"""Its densest tenth is soft tissue or bone."""


def load_ct_series(paths: Sequence[Path], *, allow_incomplete: bool = False) -> CtSeries:
    """Read, check and decode a series.

    Parameters
    ----------
    paths : sequence of Path
        Every instance of one series, in any order.
    allow_incomplete : bool
        Take a series with holes; the affine then has the spacing of the slices that are
        there, so lengths along the body are wrong around the holes, and a warning says so.

    Raises
    ------
    SeriesRejected
        With the geometry's code, or ``truncated``, ``undecodable``, ``wrong_rescale``.
    UnreadableInstance
        If a file is no DICOM instance.
    """
    by_uid: dict[str, tuple[InstanceHeader, Path]] = {}
    for path in paths:
        header = read_header(path)
        if header.truncated:
            raise SeriesRejected(
                "truncated", f"{header.sop_instance_uid} is cut short: {header.problems[-1]}"
            )
        by_uid[header.sop_instance_uid] = (header, path)
    geometry = check_geometry([header for header, _ in by_uid.values()])
    tolerated = tuple(
        problem for problem in geometry.problems if allow_incomplete and _is_hole(problem)
    )
    fatal = [problem for problem in geometry.problems if problem not in tolerated]
    if fatal:
        raise SeriesRejected(fatal[0].code, "; ".join(problem.why for problem in fatal))
    if geometry.affine is None:
        raise SeriesRejected("no_geometry", "the slices form no regular grid")
    ordered = [by_uid[uid][1] for uid in geometry.sop_instance_uids]
    first = by_uid[geometry.sop_instance_uids[0]][0]
    hu = np.empty((len(ordered), first.rows or 0, first.columns or 0), dtype=np.int16)
    headers: list[Dataset] = [Dataset()] * len(ordered)

    def decode(k: int) -> None:
        headers[k] = _decode(ordered[k], hu[k])

    with ThreadPoolExecutor(max_workers=DECODING_THREADS) as pool:
        for done in [pool.submit(decode, k) for k in range(len(ordered))]:
            done.result()
    _check_rescale(hu)
    return CtSeries(
        hu=hu,
        affine=geometry.affine,
        headers=tuple(headers),
        warnings=(
            *geometry.warnings,
            *(f"analysed although incomplete: {problem.why}" for problem in tolerated),
        ),
    )


def _is_hole(problem: GeometryProblem) -> bool:
    return problem.code == "missing_slices"


def _decode(path: Path, out: NDArray[np.int16]) -> Dataset:
    """Decode one slice into `out` (H, W) as HU; returns its header without Pixel Data."""
    ds = dcmread(path)
    uid = ds.SOPInstanceUID
    try:
        stored = ds.pixel_array
    except MALFORMED as error:
        raise SeriesRejected(
            "undecodable",
            f"{uid} (instance {ds.get('InstanceNumber', '?')}) cannot be decoded: {error}",
        ) from error
    if stored.shape != out.shape:
        raise SeriesRejected("undecodable", f"{uid} decodes to {stored.shape}, wanted {out.shape}")
    slope = float(ds.get("RescaleSlope") or 1.0)
    intercept = float(ds.get("RescaleIntercept") or 0.0)
    hu = stored.astype(np.float32) * slope + intercept
    padding = ds.get("PixelPaddingValue")
    if padding is not None:
        hu[stored == int(padding)] = AIR_HU
    np.clip(np.rint(hu), INT16.min, INT16.max, out=hu)
    out[...] = hu.astype(np.int16)
    del ds.PixelData
    return ds


def _check_rescale(hu: NDArray[np.int16]) -> None:
    """Refuse densities that no chest CT has, whatever the header says of them."""
    sample = hu[:: max(1, len(hu) // 20), ::4, ::4]
    low, high = (float(value) for value in np.percentile(sample, (1, 90)))
    if low > AIR_AT_MOST_HU or not TISSUE_AT_LEAST_HU <= high <= TISSUE_AT_MOST_HU:
        raise SeriesRejected(
            "wrong_rescale",
            f"densities are not those of a chest CT: 1st percentile {low:.0f} HU (air expected, "
            f"at most {AIR_AT_MOST_HU:.0f}), 90th {high:.0f} HU (tissue expected, "
            f"{TISSUE_AT_LEAST_HU:.0f} to {TISSUE_AT_MOST_HU:.0f}); check Rescale Slope and "
            "Intercept at the source",
        )


def select_series(folder: Path) -> dict[str, list[Path]]:
    """Sort the DICOM files below a folder by Series Instance UID; others are passed over."""
    series: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name == "DICOMDIR":
            continue
        try:
            series[read_header(path).series_instance_uid].append(path)
        except UnreadableInstance:
            continue
    return dict(series)
