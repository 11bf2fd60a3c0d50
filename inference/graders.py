"""The trained grader: Encoder, graph, bank and calibration put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.cube_measures import measure_cube
from inference.deep_features import Encoder, cut_nodule, describe_cube, make_encoder
from inference.errors import WeightsRefused
from inference.findings import ClinicalContext, Nodule, NoduleGrade
from inference.grading.bank import Bank, load_bank
from inference.grading.calibration import Calibrator
from inference.grading.grader import make_grader
from inference.grading.judge import Judge
from inference.grading.stored import NAME, read_grader
from inference.image_row import FROM_PIXELS, describe_rows
from inference.weights import Weights, folder_with, load_weights

if TYPE_CHECKING:
    from inference.engine_options import EngineOptions
    from inference.volume import Volume

BANK_FILE = "bank.safetensors"
LIMITS = (
    (
        "the model level is learned from readers' opinion of nodules in simulated pictures, and "
        "was not validated on patients; it is no probability of cancer and no Lung-RADS category"
    ),
    "attributes such as spiculation are predicted as readers would rate them, not measured",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedGrading:
    """Implements `inference.pipeline.Grading`."""

    encoder: Encoder
    judge: Judge
    weights: Mapping[str, str]
    bank_version: str
    limits: tuple[str, ...] = LIMITS

    def grade(
        self, volume: Volume, nodules: Sequence[Nodule], context: ClinicalContext
    ) -> tuple[Nodule, ...]:
        """Describe and grade each nodule on its own."""
        del context  # the shipped grader knows no clinical modality
        if not nodules:
            return ()
        described, measures = [], []
        for nodule in nodules:
            cube, mask = cut_nodule(volume, nodule.voi)
            described.append(
                describe_cube(
                    cube.hu,
                    mask,
                    spacing_mm=cube.spacing_mm,
                    slice_spacing_mm=float(volume.spacing_mm[0]),
                    encoder=self.encoder,
                )
            )
            measures.append(measure_cube(cube.hu, mask, cube.spacing_mm))
        grades = self.judge.judge(describe_rows(described, np.array(measures)))
        return tuple(
            replace(
                nodule,
                attributes={} if one.beyond_training else dict(one.attributes),
                grade=_within(grade, one.beyond_training),
            )
            for nodule, one, grade in zip(nodules, described, grades, strict=True)
        )


def _within(grade: NoduleGrade, beyond: Sequence[str]) -> NoduleGrade:
    """The grade, unless the encoder was never trained on the like."""
    return NoduleGrade(withheld="; ".join(beyond)) if beyond else grade


def make_grading(
    options: EngineOptions | None = None,
    folder: Path | None = None,
    bank: Path | None = None,
) -> TrainedGrading:
    """The trained grader, made once per process.

    Parameters
    ----------
    options : EngineOptions, optional
        What the encoder shall run on.
    folder : Path, optional
        A site's own weights; see `inference.weights.folder_with`.
    bank : Path, optional
        A site's own typical cases; the ones beside the weights if absent.

    Raises
    ------
    inference.errors.WeightsRefused
        If weights are missing or were changed.
    inference.errors.BankRefused
        If the bank cannot be used.
    """
    return _trained(options, folder, bank)


@lru_cache(maxsize=2)
def _trained(
    options: EngineOptions | None, folder: Path | None, own_bank: Path | None
) -> TrainedGrading:
    encoder = make_encoder(options, folder)
    place = folder_with(NAME, folder)
    weights = load_weights(NAME, place)
    if weights.facts["encoder"] not in encoder.weights.values():
        raise WeightsRefused(NAME, "was trained with another encoder: train both anew")
    if own_bank is not None:
        bank = load_bank(own_bank)
    else:
        bank = load_bank(place / BANK_FILE, sha256=weights.facts["bank_sha256"])
    return TrainedGrading(
        encoder=encoder,
        judge=to_judge(weights, bank),
        weights={**encoder.weights, NAME: weights.sha256},
        bank_version=bank.version,
    )


def to_judge(weights: Weights, bank: Bank) -> Judge:
    """Checked weights and a bank, ready to judge."""
    networks, scale, softness = read_grader(weights)
    facts = weights.facts
    return Judge(
        grader=make_grader(networks, scale, bank.table, softness=softness),
        bank=bank,
        calibrators={
            tuple(one["present"]): Calibrator(
                temperature=one["temperature"], bias=np.array(one["bias"])
            )
            for one in facts["calibration"]
        },
        needed=FROM_PIXELS,
        ranged={name: (low, high) for name, (low, high) in facts["ranged"].items()},
        most_distance=facts["most_distance"],
    )
