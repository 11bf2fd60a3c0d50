"""The trained grader: Encoder, graph, bank and calibration put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.cube_measures import measure_cube
from inference.deep_features import (
    Encoder,
    NoduleDescription,
    cut_nodule,
    describe_cube,
    make_encoder,
)
from inference.errors import BankRefused, WeightsRefused
from inference.findings import ClinicalContext, Nodule, NoduleGrade, VoiMask
from inference.grading.bank import Bank, load_bank
from inference.grading.calibration import read_calibrators
from inference.grading.grader import make_grader
from inference.grading.judge import Judge
from inference.grading.stored import NAME, read_grader
from inference.grading.table import ModalityTable
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
        """Describe and grade each nodule on its own, and keep what it was graded by."""
        del context  # the shipped grader knows no clinical modality
        if not nodules:
            return ()
        rows, described = self.describe(volume, [nodule.voi for nodule in nodules])
        grades = self.judge.judge(rows)
        return tuple(
            replace(
                nodule,
                attributes={} if one.beyond_training else dict(one.attributes),
                features={} if one.beyond_training else rows.values_of(row),
                grade=_within(grade, one.beyond_training),
            )
            for row, (nodule, one, grade) in enumerate(zip(nodules, described, grades, strict=True))
        )

    def describe(
        self, volume: Volume, outlines: Sequence[VoiMask]
    ) -> tuple[ModalityTable, list[NoduleDescription]]:
        """What the judge is given of each outline, and what the encoder said: at least one."""
        described, measures = [], []
        for voi in outlines:
            cube, mask = cut_nodule(volume, voi)
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
        return describe_rows(described, np.array(measures)), described

    def grade_outline(self, volume: Volume, voi: VoiMask) -> NoduleGrade:
        """The grade of an outline that is no finding of the pipeline's."""
        rows, (described,) = self.describe(volume, [voi])
        return _within(self.judge.judge(rows)[0], described.beyond_training)


def _within(grade: NoduleGrade, beyond: Sequence[str]) -> NoduleGrade:
    """The grade, unless the encoder was never trained on the like."""
    return NoduleGrade(withheld="; ".join(beyond)) if beyond else grade


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedJudge:
    """A trained grader beside a bank, without its encoder: for rows that are described already.

    Attributes
    ----------
    judge : Judge
    sha256 : str
        Of the grader's weights.
    encoder : str
        sha256 of the encoder that it was trained with.
    """

    judge: Judge
    sha256: str
    encoder: str


def make_grading(
    options: EngineOptions | None = None,
    folder: Path | None = None,
    bank: Path | None = None,
    bank_sha256: str | None = None,
) -> TrainedGrading:
    """The trained grader, made once per process and version of the bank.

    Parameters
    ----------
    options : EngineOptions, optional
        What the encoder shall run on.
    folder : Path, optional
        A site's own weights; see `inference.weights.folder_with`.
    bank : Path, optional
        A site's own typical cases; the ones beside the weights if absent.
    bank_sha256 : str, optional
        What the site's file must have: another one is read anew.

    Raises
    ------
    inference.errors.WeightsRefused
        If weights are missing or were changed.
    inference.errors.BankRefused
        If the bank cannot be used.
    """
    encoder = make_encoder(options, folder)
    loaded = load_judge(folder, bank, bank_sha256)
    if loaded.encoder not in encoder.weights.values():
        raise WeightsRefused(NAME, "was trained with another encoder: train both anew")
    return TrainedGrading(
        encoder=encoder,
        judge=loaded.judge,
        weights={**encoder.weights, NAME: loaded.sha256},
        bank_version=loaded.judge.bank.version,
    )


@lru_cache(maxsize=2)
def load_judge(
    folder: Path | None = None, bank: Path | None = None, bank_sha256: str | None = None
) -> LoadedJudge:
    """As `make_grading`, without the encoder; made once per process and version of the bank."""
    place = folder_with(NAME, folder)
    weights = load_weights(NAME, place)
    if bank is not None:
        cases = load_bank(bank, sha256=bank_sha256)
    else:
        cases = load_bank(place / BANK_FILE, sha256=weights.facts["bank_sha256"])
    return LoadedJudge(
        judge=to_judge(weights, cases), sha256=weights.sha256, encoder=weights.facts["encoder"]
    )


def to_judge(weights: Weights, bank: Bank) -> Judge:
    """Checked weights and a bank, ready to judge.

    Raises
    ------
    inference.errors.BankRefused
        If the bank has other columns than the grader was trained on.
    """
    networks, scale, softness = read_grader(weights)
    facts = weights.facts
    if bank.encoder and bank.encoder != facts["encoder"]:
        raise BankRefused(
            bank.version, "was described by another encoder: analyse its cases anew with this one"
        )
    absent = [name for name in scale.modalities if name not in bank.table.features]
    if absent:
        raise BankRefused(bank.version, f"does not fit the trained grader: no modality {absent[0]}")
    try:
        grader = make_grader(networks, scale, bank.table, softness=softness)
    except ValueError as error:
        raise BankRefused(bank.version, f"does not fit the trained grader: {error}") from error
    return Judge(
        grader=grader,
        bank=bank,
        calibrators=read_calibrators(facts),
        needed=FROM_PIXELS,
        ranged={name: (low, high) for name, (low, high) in facts["ranged"].items()},
        most_distance=facts["most_distance"],
    )
