"""Small pictures of typical cases, for the console: nothing else of a case leaves its folder.

Shipped cases have drawn pictures, all in one file beside the bank (`workers.bank_drawing` makes
it); a site's own case has one that was cut out of its CT when it was offered. Both are square,
windowed for the lung, without any text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy import ndimage

from inference.errors import BankRefused
from inference.grading.stored import NAME
from inference.pictures.tile import to_grey
from inference.weights import folder_with
from workers.bank.folder import OWN_CASE, BankFolder, put
from workers.settings import Settings

SHIPPED_FILE = "bank_pictures.safetensors"
FORMAT, FACTS = "pulmonode-bank-pictures-1", "pictures"
SIDE_PX = 48
WIDER = 2.4
"""Side of a picture in diameters of the nodule."""
LEAST_MM = 16.0

Picture = NDArray[np.uint8]


def cut_picture(
    hu: NDArray[np.int16],
    centre_ji: tuple[float, float],
    diameter_mm: float,
    pixel_spacing_mm: tuple[float, float],
) -> Picture:
    """The square around a nodule of one slice, `SIDE_PX` pixels a side, 8 bits.

    Parameters
    ----------
    hu : ndarray of shape (H, W)
        A slice, HU.
    centre_ji : tuple of float
        Row and column of the middle.
    diameter_mm : float
        Of the nodule.
    pixel_spacing_mm : tuple of float
        Between rows, between columns.
    """
    step_mm = max(WIDER * diameter_mm, LEAST_MM) / SIDE_PX
    step = step_mm / np.array(pixel_spacing_mm)
    corner = np.array(centre_ji) - (SIDE_PX - 1) / 2 * step
    cut = ndimage.affine_transform(
        hu.astype(np.float32),
        step,
        corner,
        output_shape=(SIDE_PX, SIDE_PX),
        order=1,
        mode="nearest",
    )
    return to_grey(cut)


def to_png(picture: Picture) -> bytes:
    """As browsers show it."""
    held = io.BytesIO()
    Image.fromarray(picture).save(held, "PNG", optimize=True)
    return held.getvalue()


def keep_picture(folder: BankFolder, case_id: str, picture: Picture) -> None:
    """Keep the picture of a site's candidate; it stays with the candidate's file."""
    folder.pictures_dir.mkdir(parents=True, exist_ok=True)
    put(folder.pictures_dir / f"{case_id}.png", to_png(picture))


def find_picture(settings: Settings, case_id: str) -> bytes | None:
    """The PNG of a case, the site's own or a shipped one; `None` where none is kept of it.

    Raises
    ------
    BankRefused
        If the file of the shipped pictures is damaged.
    """
    if settings.bank_dir is not None and OWN_CASE.fullmatch(case_id):
        kept = BankFolder(settings.bank_dir).pictures_dir / f"{case_id}.png"
        if kept.is_file():
            return kept.read_bytes()
    path = folder_with(NAME, settings.weights_dir) / SHIPPED_FILE
    if not path.is_file():
        return None
    picture = read_pictures(path).get(case_id)
    return None if picture is None else to_png(picture)


def save_pictures(pictures: Mapping[str, Picture], path: Path, *, how: str) -> None:
    """Write the pictures of many cases into one file.

    Parameters
    ----------
    how : str
        What they show and how they were made; kept in the file.
    """
    facts = {"format": FORMAT, "cases": list(pictures), "how": how}
    data = save({"pictures": np.stack(list(pictures.values()))}, {FACTS: json.dumps(facts)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)


@lru_cache(maxsize=2)
def read_pictures(path: Path) -> dict[str, Picture]:
    """Pictures by case, read once per process.

    Raises
    ------
    BankRefused
        If the file is damaged or of another format.
    """
    try:
        with safe_open(str(path), framework="numpy") as held:
            facts = json.loads((held.metadata() or {}).get(FACTS, "{}"))
            if facts.get("format") != FORMAT:
                raise BankRefused(str(path), f"holds no pictures of format {FORMAT}")
            pictures = held.get_tensor("pictures")
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise BankRefused(str(path), f"cannot be read: {error}") from error
    return dict(zip(facts["cases"], pictures, strict=True))
