"""The encoder's data: rendered nodules by part of the patients, prepared once.

Training and tuning nodules lie in some lungs, test nodules in others that neither saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.cube_measures import MEASURES
from inference.models.voi_network import VoiNetworkConfig
from inference.training.encoder_loop import EncoderData
from inference.training.rated_nodules import load_rated_nodules
from inference.training.rendered_features import measures_of, roi_of
from inference.training.rendered_set import RenderedSet, SetPlan, make_set, open_set
from inference.training.shapes import Part
from workers.training_data import LesionEntry, scan_names
from workers.voi_training_data import prepare_voi_backgrounds

PARTS: tuple[Part, ...] = ("train", "tune", "test")
LESS_BY_EVERYONE = 1
"""Tuning and test nodules are drawn once less by all readers together."""
TEST_THORACES = (100,)
"""Seeds of the simulated thoraces that only test nodules lie in."""


def render_parts(
    data: Path,
    plan: SetPlan,
    folder: Path,
    *,
    unseen: Sequence[str],
    simulated: int,
    lesions: Mapping[str, Sequence[LesionEntry]],
    cache: Path,
    told: Callable[[str], None],
    parts: Sequence[Part] = PARTS,
) -> None:
    """Render what of the set is not there yet, one folder per part.

    Parameters
    ----------
    data : Path
        With ``lidc/`` and ``ct/``.
    unseen : sequence of str
        CT series for test nodules only; all others are for training and tuning ones.
    simulated : int
        Simulated thoraces for training and tuning nodules; one more is for the test.
    """
    names = scan_names(data)
    for part in parts:
        test = part == "test"
        used = [name for name in names if (name in unseen) == test]
        backgrounds = prepare_voi_backgrounds(
            data,
            used,
            lesions,
            simulated=TEST_THORACES if test else range(simulated),
            cache=cache,
            detector=None,
            told=told,
        )
        fewer = max(1, plan.by_everyone - LESS_BY_EVERYONE)
        make_set(
            load_rated_nodules(data / "lidc", parts=(part,)),
            backgrounds,
            plan if part == "train" else replace(plan, by_everyone=fewer),
            folder / part,
            config=VoiNetworkConfig(),
            told=told,
        )


def open_data(
    folder: Path, *, told: Callable[[str], None], parts: Sequence[Part] = PARTS
) -> EncoderData:
    """All parts of a rendered set with the radiomics of the key slices, computed where missing."""
    folders = [folder / part for part in parts]
    measures = measures_of(folders, told=told)
    volume = measures[:, MEASURES.index("volume_mm3")]
    return EncoderData(
        rows=open_set(folders),
        roi=roi_of(folders, told=told),
        diameter_mm=np.asarray((6 * volume / np.pi) ** (1 / 3), dtype=np.float32),
    )


def rows_of(rows: RenderedSet, part: Part) -> NDArray[np.int64]:
    """Numbers of a part's rows."""
    return np.flatnonzero(rows.part == part)


def split_folds(rows: RenderedSet, folds: int) -> list[NDArray[np.bool_]]:
    """For each fold, which rows are of its patients; by a hash, so it never changes."""
    if folds == 0:
        return []
    digests = {name: hashlib.sha256(f"fold {name}".encode()) for name in set(rows.patient.tolist())}
    number = np.array([int(digests[name].hexdigest(), 16) % folds for name in rows.patient])
    return [number == fold for fold in range(folds)]


def fold_folder(out: Path, number: int) -> Path:
    """Where the network that never saw a fold's patients is."""
    return out / f"fold-{number}"
