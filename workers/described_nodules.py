"""Described nodules: what ``pulmonode evaluate encoder --described`` writes, as rows to grade.

Rendered nodules of LIDC-IDRI with the encoder's answers, measurements, and readers' opinions.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.grading.table import ModalityTable
from inference.image_row import columns, pixel_values
from inference.known import CT_REPORT
from inference.training.shapes import EXCLUDED_PATIENTS
from workers.errors import DatasetRefused

BY_EVERYONE = -1
"""In ``reader``: drawn by the ratings of all readers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Rendered nodules as rows.

    Attributes
    ----------
    table : ModalityTable
        Modalities ``ct_image``, ``ct_measures`` and ``ct_report``.
    part : ndarray of shape (N,), dtype str
        ``train``, ``tune`` or ``test``, by patient.
    by_everyone : ndarray of shape (N,), dtype bool
        Drawn by the ratings of all readers, and rated by all.
    encoder : str
        sha256 of the encoder that described them.
    digest : str
        sha256 of the file.
    """

    table: ModalityTable
    part: NDArray[np.str_]
    by_everyone: NDArray[np.bool_]
    encoder: str
    digest: str

    def of(self, part: str) -> ModalityTable:
        """Rows of a part."""
        return self.table.rows(self.part == part)

    def honest(self, part: str) -> ModalityTable:
        """Rows of a part whose truth is the opinion of other readers than who drew them."""
        return self.table.rows((self.part == part) & ~self.by_everyone)


def read_described(path: Path) -> Described:
    """Read what the encoder wrote.

    Raises
    ------
    DatasetRefused
        If it is no such file, its training rows were seen by the encoder that described them, or
        it holds a patient that must not be trained on.
    """
    wanted = "write it with: pulmonode evaluate encoder --describe FILE"
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        facts = json.loads(str(arrays["facts"]))
        if not arrays["out_of_fold"].all():
            raise DatasetRefused(
                str(path), "holds rows described by an encoder that trained on them", wanted
            )
        above = np.minimum.accumulate(arrays["above_2_3_4"], axis=1)
        answers = np.column_stack(
            [
                arrays["encoder_rating"],
                arrays["implied_rating"],
                above,
                arrays["calcified_probability"],
            ]
        )
        pixels = pixel_values(
            features=arrays["features"],
            attributes=arrays["attributes"],
            answers=answers,
            measures=arrays["measures"],
        )
        table = ModalityTable(
            features={**pixels, CT_REPORT: arrays["rated_attributes"].astype(np.float32)},
            names=columns(arrays["features"].shape[1]),
            patients=arrays["patient"],
            nodules=arrays["nodule"],
            rating=arrays["rating"].astype(np.float64),
        )
        part, by_everyone = arrays["part"], arrays["reader"] == BY_EVERYONE
    except (OSError, KeyError, ValueError) as error:
        raise DatasetRefused(
            str(path), f"is no file of described nodules: {error}", wanted
        ) from error
    kept_out = EXCLUDED_PATIENTS.intersection(table.patients.tolist())
    if kept_out:
        raise DatasetRefused(str(path), f"holds {min(kept_out)}, which is kept for others", wanted)
    return Described(
        table=table,
        part=part,
        by_everyone=by_everyone,
        encoder=facts["encoder"],
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
