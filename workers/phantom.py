"""`pulmonode phantom`: a simulated CT as DICOM files, with its truth beside them."""

from __future__ import annotations

import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dicom_node.compose.ct import CtIdentity, write_ct_series
from inference.findings import NoduleType
from inference.phantom import DEFAULT_NODULES, PhantomNodule, PhantomSpec, make_phantom

NODULE_TYPES: tuple[NoduleType, ...] = typing.get_args(NoduleType)


def parse_nodule(text: str) -> PhantomNodule:
    """Read ``TYPE:DIAMETER_MM`` or ``TYPE:DIAMETER_MM:pleura``.

    Raises
    ------
    ValueError
        If it is something else.
    """
    kind, _, rest = text.partition(":")
    size, _, place = rest.partition(":")
    wanted = f"nodule {text!r} is not TYPE:DIAMETER_MM[:pleura], TYPE one of {NODULE_TYPES}"
    nodule_type = next((item for item in NODULE_TYPES if item == kind), None)
    if nodule_type is None or place not in ("", "pleura"):
        raise ValueError(wanted)
    try:
        diameter_mm = float(size)
    except ValueError:
        raise ValueError(wanted) from None
    if not 2 <= diameter_mm <= 60:
        raise ValueError(f"nodule {text!r}: diameter must be 2 to 60 mm")
    return PhantomNodule(type=nodule_type, diameter_mm=diameter_mm, juxtapleural=place == "pleura")


def write_phantom(
    out: Path,
    *,
    seed: int = 0,
    slices: int = 130,
    spacing_mm: float = 2.5,
    pixels: int = 512,
    pixel_spacing_mm: float = 0.7,
    noise_hu: float = 20.0,
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    descending: bool = False,
    nodules: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Simulate a CT and write it.

    Returns
    -------
    dict
        The truth, as in ``truth.json``.

    Raises
    ------
    ValueError
        If a nodule is malformed or finds no place.
    """
    wanted = DEFAULT_NODULES if nodules is None else tuple(parse_nodule(item) for item in nodules)
    spec = PhantomSpec(
        seed=seed,
        slices=slices,
        pixels=pixels,
        slice_spacing_mm=spacing_mm,
        pixel_spacing_mm=pixel_spacing_mm,
        noise_hu=noise_hu,
        rotation_deg=rotation_deg,
        nodules=wanted,
    )
    phantom = make_phantom(spec)
    key = f"{spec!r}"
    write_ct_series(
        out,
        hu=phantom.volume.hu,
        affine=phantom.volume.affine,
        identity=CtIdentity(key=key, patient_id=f"PHANTOM{seed}"),
        descending=descending,
    )
    (out / "truth.json").write_text(json.dumps(phantom.truth, indent=2) + "\n")
    return phantom.truth
