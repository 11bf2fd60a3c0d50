"""Reported nodules as vectors of a sentence encoder, whatever language the report was in.

The encoder knows English only, so it reads a sentence that is made of the facts found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.report_text.facts import LOBE_NAMES, ReportedNodule
from inference.sentence_encoder import Encode, load_encoder


def say_in_english(nodule: ReportedNodule) -> str:
    """One sentence with all that is told of a nodule."""
    kind = f"{nodule.type} nodule" if nodule.type else "nodule"
    if nodule.count is not None:
        kind = f"{nodule.count} {kind}s"
    words = [f"possible {kind}" if nodule.certainty == "possible" else kind]
    if nodule.lobe:
        words.append(f"in the {LOBE_NAMES[nodule.lobe]}")
    elif nodule.laterality == "bilateral":
        words.append("in both lungs")
    elif nodule.laterality:
        words.append(f"in the {nodule.laterality} lung")
    if nodule.size_mm is not None:
        words.append(f"of {nodule.size_mm:g} mm")
    parts = [" ".join(words)]
    if nodule.solid_part_mm is not None:
        parts.append(f"solid part {nodule.solid_part_mm:g} mm")
    parts += [f"{name} margin" for name in nodule.margin]
    for name in ("spiculation", "lobulation", "calcification", "cavity"):
        told = getattr(nodule, name)
        if told is not None:
            parts.append({"absent": "no ", "possible": "possible ", "present": ""}[told] + name)
    if nodule.change is not None:
        parts.append(nodule.change)
    return ", ".join(parts)


def embed_nodules(
    nodules: Sequence[ReportedNodule], encode: Encode | None = None
) -> NDArray[np.float32]:
    """One vector per nodule.

    Parameters
    ----------
    encode : callable, optional
        Texts -> (N, width); `load_encoder` if absent.

    Returns
    -------
    ndarray of shape (N, width), dtype float32
        384 wide with the packaged encoder.

    Raises
    ------
    EngineUnavailable
        If the extra ``sentences`` is not installed.
    """
    return (encode or load_encoder())([say_in_english(nodule) for nodule in nodules])
