"""Pictures of the shipped typical cases: LIDC's outlines and ratings, drawn into a simulated lung.

The bank knows these nodules by readers' outlines and ratings; no pixel of a patient is in it, and
none is in the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from inference.grading.bank import load_bank
from inference.models.voi_network import VoiNetworkConfig
from inference.training.rated_nodules import EVERY_READER, load_rated_nodules
from inference.training.rated_samples import Rendering, render
from workers.bank.pictures import WIDER, Picture, cut_picture, save_pictures
from workers.voi_training_data import prepare_voi_backgrounds

TRIES = 8
"""Numbers of renderings that are tried until a place is found."""
HOW = (
    "drawn: the outline and the mean ratings of LIDC-IDRI's readers (CC BY 3.0) in a simulated "
    "lung; no patient's pixels"
)


def draw_bank(
    bank_file: Path,
    lidc: Path,
    out: Path,
    *,
    seed: int,
    cache: Path,
    told: Callable[[str], None],
) -> int:
    """Draw every case of a bank that LIDC's tables know; returns how many.

    Parameters
    ----------
    bank_file : Path
        A bank whose case names are those of LIDC's nodules.
    lidc : Path
        Folder with LIDC's tables.
    out : Path
        The file of pictures.
    seed : int
        Same seed, same pictures.
    cache : Path
        Folder for the simulated lung.

    Raises
    ------
    BankRefused
        If the bank cannot be read.
    """
    wanted = {record.case_id for record in load_bank(bank_file).records}
    nodules = [
        item
        for item in load_rated_nodules(lidc, parts=("train", "tune", "test"))
        if item.shape.nodule_id in wanted
    ]
    backgrounds = prepare_voi_backgrounds(
        lidc.parent, (), {}, simulated=(seed,), cache=cache, detector=None, told=told
    )
    config = VoiNetworkConfig()
    pictures: dict[str, Picture] = {}
    for item in nodules:
        for number in range(TRIES):
            asked = Rendering(nodule=item, reader=EVERY_READER, number=number)
            made = render(asked, backgrounds, config=config, seed=seed)
            if made is not None:
                break
        else:
            told(f"{item.shape.nodule_id}: no place found, no picture")
            continue
        middle = np.argwhere(made.mask).mean(axis=0)
        pictures[item.shape.nodule_id] = cut_picture(
            np.rint(made.hu[round(middle[0])]).astype(np.int16),
            (float(middle[1]), float(middle[2])),
            min(item.shape.diameter_mm, len(made.hu) * made.spacing_mm / WIDER),
            (made.spacing_mm, made.spacing_mm),
        )
    save_pictures(pictures, out, how=HOW)
    return len(pictures)
