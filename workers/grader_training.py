"""Described nodules -> a trained grader with its bank, calibration, limits and worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from inference.graders import BANK_FILE
from inference.grading.bank import Bank, CaseRecord, make_bank, save_bank
from inference.grading.calibration import Calibrator, fit_calibrator
from inference.grading.config import GraphConfig, TrainingConfig
from inference.grading.grader import Grader, make_grader
from inference.grading.stored import save_grader
from inference.grading.table import GradeModel, ModalityTable
from inference.image_row import FROM_PIXELS
from inference.training.grading.model import GraphModel
from workers.described_nodules import Described
from workers.grader_worth import measure, use_of_the_bank
from workers.modality_worth import measure_sets

RANGED = ("log_mean_diameter_mm", "mean_hu")
UNLIKE_SHARE = 0.005
"""So many of the tuning nodules are further from any case than what is still graded."""
LAST_STEPS = 100
SOURCE = "LIDC-IDRI readings (CC BY 3.0), rendered"
Told = Callable[[str], None]


def train_grader(
    described: Described,
    out: Path,
    *,
    seed: int,
    graph: GraphConfig,
    training: TrainingConfig,
    told: Told,
    simulated: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Train, calibrate on the tuning patients, measure on the test patients, and write all.

    Writes ``grader.safetensors``, ``manifest.json`` and the bank; returns the figures.
    `simulated` are modalities of `described` whose values are made up.
    """
    rows = described.of("train")
    told(f"training on {len(rows)} rows of {len(np.unique(rows.patients))} patients")
    model = GraphModel(graph=graph, training=training)
    model.fit(rows, seed=seed)
    if model.grader is None:
        raise RuntimeError("fit leaves a grader")
    bank = choose_cases(described, training.bank_size, seed=seed, simulated=simulated)
    grader = make_grader(
        model.grader.networks, model.grader.scale, bank.table, softness=training.label_softness
    )
    model.grader = grader
    tune = described.of("tune")
    # With many modalities there are too many sets; a grade always has what comes from pixels.
    calibrators = calibrate(model, tune, always=FROM_PIXELS if simulated else ())
    distances = grader.distance(tune.only(FROM_PIXELS))
    out.mkdir(parents=True, exist_ok=True)
    bank_sha256 = save_bank(bank, out / BANK_FILE)
    told("measuring on the test patients")
    facts: dict[str, Any] = {
        "seed": seed,
        "training": asdict(training),
        "label_softness": training.label_softness,
        "described": described.digest,
        "encoder": described.encoder,
        "bank_sha256": bank_sha256,
        "bank_cases": len(bank),
        "calibration": [
            {
                "present": list(present),
                "temperature": one.temperature,
                "bias": [float(value) for value in one.bias],
            }
            for present, one in calibrators.items()
        ],
        "ranged": _ranges(grader),
        "most_distance": float(np.quantile(distances, 1 - UNLIKE_SHARE)),
        "mu": {
            name: [[layer.mu_1.item(), layer.mu_2.item()] for layer in extraction.layers]  # type: ignore[union-attr]
            for name, extraction in grader.networks[0].extraction.items()
        },
        "loss": {
            name: float(np.mean([step[name] for step in model.told[-LAST_STEPS:] if name in step]))
            for name in sorted({name for step in model.told[-LAST_STEPS:] for name in step})
        },
        "use_of_the_bank": use_of_the_bank(grader, bank, described, training.label_softness),
    }
    if simulated:
        rows = described.honest("test")
        facts["simulated"] = list(simulated)
        facts["worth"] = {"drawn by one reader": measure_sets(grader, calibrators, rows)}
    else:
        facts["worth"] = measure(described, model, calibrators, seed=seed)
    save_grader(
        grader.networks,
        grader.scale,
        out,
        version=f"seed{seed}-steps{training.steps}",
        facts=facts,
    )
    return facts


def choose_cases(
    described: Described, size: int, *, seed: int, simulated: tuple[str, ...] = ()
) -> Bank:
    """Typical cases of the training patients: one row per nodule, as all readers see it.

    Every grade gives as many as it has, up to an even share; the rest is filled at random.
    """
    random = np.random.default_rng((seed, 11))
    rows = np.flatnonzero((described.part == "train") & described.by_everyone)
    order = random.permutation(rows)
    _, first = np.unique(described.table.nodules[order], return_index=True)
    single = order[np.sort(first)]
    grades = described.table.grades[single]
    share = size // 4
    chosen = np.concatenate([single[grades == grade][:share] for grade in range(4)])
    rest = np.setdiff1d(single, chosen, assume_unique=True)
    chosen = np.sort(np.concatenate([chosen, random.permutation(rest)[: size - len(chosen)]]))
    table = described.table.rows(chosen)
    source = SOURCE + (f"; {', '.join(simulated)} SIMULATED" if simulated else "")
    records = [
        CaseRecord(
            case_id=str(nodule),
            patient=str(patient),
            rating=float(rating),
            evidence="reader-rated",
            source=source,
        )
        for nodule, patient, rating in zip(table.nodules, table.patients, table.rating, strict=True)
    ]
    version = f"{'simulated' if simulated else 'shipped'}-{described.digest[:8]}"
    return make_bank(version, records, table, encoder=described.encoder)


def calibrate(
    model: GradeModel, tune: ModalityTable, *, always: tuple[str, ...] = ()
) -> dict[tuple[str, ...], Calibrator]:
    """A calibrator for every set of modalities that may be present and holds `always`."""
    found = {}
    for count in range(len(tune.modalities), 0, -1):
        for present in combinations(tune.modalities, count):
            if not set(always) <= set(present):
                continue
            absent = [name for name in tune.modalities if name not in present]
            answers = model.predict(tune.masked(absent))
            found[present] = fit_calibrator(answers, tune.grades, with_bias=True)
    return found


def _ranges(grader: Grader) -> dict[str, list[float]]:
    ranges = {}
    for one in grader.scale.modalities.values():
        for name in RANGED:
            if name in one.names:
                column = one.names.index(name)
                ranges[name] = [float(one.low[column]), float(one.high[column])]
    return ranges
