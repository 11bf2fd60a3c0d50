"""The trained grader: Encoder, graph, bank and calibration put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inference.beside_pixels import NAMES, rows_beside
from inference.cube_measures import measure_cube
from inference.deep_features import (
    Encoder,
    NoduleDescription,
    cut_nodule,
    describe_cube,
    make_encoder,
)
from inference.errors import BankRefused, WeightsRefused
from inference.findings import ClinicalContext, Nodule, VoiMask
from inference.grade_values import ModalityShare, NoduleGrade
from inference.grading.bank import Bank, load_bank
from inference.grading.calibration import read_calibrators
from inference.grading.grader import make_grader
from inference.grading.judge import Judge
from inference.grading.stored import NAME, read_grader
from inference.grading.table import ModalityTable
from inference.image_row import FROM_PIXELS, REPORT_COLUMNS, describe_rows
from inference.known import BESIDE_PIXELS, BY_DEFAULT, CT_REPORT, KnownContext
from inference.weights import Weights, folder_with, load_weights, multimodal_folder

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
SIMULATED_LIMIT = (
    "the site lets model levels rest on {modalities}: the weights for it learned from SIMULATED "
    "patients, never from real ones, and nothing is known of what such a level is worth"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedGrading:
    """Implements `inference.pipeline.Grading`.

    Attributes
    ----------
    by : tuple of str
        Modalities of `BESIDE_PIXELS` that may count; what else is known is masked.
    simulated : frozenset of str
        Modalities of the grader whose meaning was learned from simulated patients.
    """

    encoder: Encoder
    judge: Judge
    weights: Mapping[str, str]
    bank_version: str
    limits: tuple[str, ...] = LIMITS
    by: tuple[str, ...] = BY_DEFAULT
    simulated: frozenset[str] = frozenset()

    def grade(
        self,
        volume: Volume,
        nodules: Sequence[Nodule],
        context: ClinicalContext,
        known: KnownContext | None = None,
    ) -> tuple[Nodule, ...]:
        """Describe and grade each nodule on its own, and keep what it was graded by.

        What is kept are the columns that describe the nodule; those of its patient stay in the
        context that they came from.
        """
        if not nodules:
            return ()
        reported = np.array(
            [[nodule.reported.get(name, np.nan) for name in REPORT_COLUMNS] for nodule in nodules],
            dtype=np.float32,
        )
        report = reported if CT_REPORT in self.by else None
        rows, described = self.describe(volume, [nodule.voi for nodule in nodules], report)
        beside = rows_beside(nodules, context, known)
        grades = self.judge.judge(_with_modalities(rows, beside, self.by))
        values = {CT_REPORT: reported, **beside}
        return tuple(
            replace(
                nodule,
                attributes={} if one.beyond_training else dict(one.attributes),
                features={} if one.beyond_training else rows.values_of(row),
                grade=_within(
                    self._told(grade, {name: values[name][row] for name in BESIDE_PIXELS}),
                    one.beyond_training,
                ),
            )
            for row, (nodule, one, grade) in enumerate(zip(nodules, described, grades, strict=True))
        )

    def _told(self, grade: NoduleGrade, known: Mapping[str, NDArray[np.float32]]) -> NoduleGrade:
        """The grade with what is known and may not count, and with what was simulated."""
        if grade.withheld is not None:
            return grade
        shares = {
            name: replace(share, simulated=share.present and name in self.simulated)
            for name, share in grade.modalities.items()
        }
        for name, values in known.items():
            if name not in self.by and np.isfinite(values).any():
                shares[name] = ModalityShare(present=True, masked=True)
        return replace(grade, modalities=shares)

    def describe(
        self,
        volume: Volume,
        outlines: Sequence[VoiMask],
        report: NDArray[np.float32] | None = None,
    ) -> tuple[ModalityTable, list[NoduleDescription]]:
        """What the judge is given of each outline, and what the encoder said: at least one.

        `report`, of shape (N, 8), is what a report says of them (`REPORT_COLUMNS`).
        """
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
        return describe_rows(described, np.array(measures), report), described

    def grade_outline(self, volume: Volume, voi: VoiMask) -> NoduleGrade:
        """The grade of an outline that is no finding of the pipeline's."""
        rows, (described,) = self.describe(volume, [voi])
        return _within(self.judge.judge(rows)[0], described.beyond_training)


def _with_modalities(
    rows: ModalityTable, more: Mapping[str, NDArray[np.float32]], names: Collection[str]
) -> ModalityTable:
    """Rows with some modalities of `NAMES` more."""
    added = {name: values for name, values in more.items() if name in names}
    return replace(
        rows,
        features={**rows.features, **added},
        names={**rows.names, **{name: NAMES[name] for name in added}},
    )


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
    simulated : frozenset of str
        Modalities that it learned from simulated patients.
    """

    judge: Judge
    sha256: str
    encoder: str
    simulated: frozenset[str]


def make_grading(
    options: EngineOptions | None = None,
    folder: Path | None = None,
    bank: Path | None = None,
    bank_sha256: str | None = None,
    by: Sequence[str] = BY_DEFAULT,
) -> TrainedGrading:
    """The trained grader, made once per process and version of the bank.

    Where `by` names more than the report, it is the grader of all modalities, which learned
    these from simulated patients, beside its own typical cases.

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
    by : sequence of str
        Of `BESIDE_PIXELS`: what may count beside the pixels.

    Raises
    ------
    inference.errors.WeightsRefused
        If weights are missing or were changed.
    inference.errors.BankRefused
        If the bank cannot be used, or a site's own is given for the grader of all modalities.
    """
    every = tuple(name for name in BESIDE_PIXELS if name in by)
    beyond = [name for name in every if name not in BY_DEFAULT]
    if beyond and bank is not None:
        raise BankRefused(str(bank), f"has no columns of {', '.join(beyond)}")
    encoder = make_encoder(options, folder)
    loaded = load_judge(folder, bank, bank_sha256, multimodal=bool(beyond))
    if loaded.encoder not in encoder.weights.values():
        raise WeightsRefused(NAME, "was trained with another encoder: train both anew")
    return TrainedGrading(
        encoder=encoder,
        judge=loaded.judge,
        weights={**encoder.weights, NAME: loaded.sha256},
        bank_version=loaded.judge.bank.version,
        limits=_limits(every, loaded.simulated),
        by=every,
        simulated=loaded.simulated,
    )


def _limits(by: Sequence[str], simulated: Collection[str]) -> tuple[str, ...]:
    """What is said first: that levels may rest on what was simulated."""
    named = [name for name in by if name in simulated]
    if not named:
        return LIMITS
    return (SIMULATED_LIMIT.format(modalities=", ".join(named)), *LIMITS)


@lru_cache(maxsize=2)
def load_judge(
    folder: Path | None = None,
    bank: Path | None = None,
    bank_sha256: str | None = None,
    *,
    multimodal: bool = False,
) -> LoadedJudge:
    """As `make_grading`, without the encoder; made once per process and version of the bank."""
    place = multimodal_folder(folder) if multimodal else folder_with(NAME, folder)
    weights = load_weights(NAME, place)
    if bank is not None:
        cases = load_bank(bank, sha256=bank_sha256)
    else:
        cases = load_bank(place / BANK_FILE, sha256=weights.facts["bank_sha256"])
    return LoadedJudge(
        judge=to_judge(weights, cases),
        sha256=weights.sha256,
        encoder=weights.facts["encoder"],
        simulated=frozenset(weights.facts.get("simulated", ())),
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
