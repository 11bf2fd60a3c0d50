"""Described nodules -> a trained grader with its bank, calibration, limits and worth.

Described nodules are what ``pulmonode evaluate encoder --describe`` writes: rendered nodules of
LIDC-IDRI with the encoder's answers, measurements, and readers' opinions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.baselines import Linear, Regressed
from inference.evaluation.grading.metrics import calibration_error, score
from inference.evaluation.grading.significance import bootstrap_figures, differences
from inference.graders import BANK_FILE
from inference.grading.bank import Bank, CaseRecord, make_bank, save_bank
from inference.grading.calibration import Calibrator, fit_calibrator
from inference.grading.config import GraphConfig, TrainingConfig
from inference.grading.grader import make_grader
from inference.grading.stored import save_grader
from inference.grading.table import GradeModel, ModalityTable
from inference.image_row import (
    CT_IMAGE,
    CT_REPORT,
    REPORT_COLUMNS,
    image_columns,
    image_values,
)
from inference.training.grading.model import GraphModel
from inference.training.shapes import EXCLUDED_PATIENTS
from workers.errors import DatasetRefused

RANGED = ("log_mean_diameter_mm", "mean_hu")
UNLIKE_SHARE = 0.005
"""So many of the tuning nodules are less like any case than what is still graded."""
BY_EVERYONE = -1
SOURCE = "LIDC-IDRI readings (CC BY 3.0), rendered"
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Rendered nodules as rows.

    Attributes
    ----------
    table : ModalityTable
        Modalities ``ct_image`` and ``ct_report``.
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
        image = image_values(
            features=arrays["features"],
            attributes=arrays["attributes"],
            answers=answers,
            measures=arrays["measures"],
        )
        table = ModalityTable(
            features={CT_IMAGE: image, CT_REPORT: arrays["rated_attributes"].astype(np.float32)},
            names={
                CT_IMAGE: image_columns(arrays["features"].shape[1]),
                CT_REPORT: REPORT_COLUMNS,
            },
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


def train_grader(
    described: Described,
    out: Path,
    *,
    seed: int,
    graph: GraphConfig,
    training: TrainingConfig,
    told: Told,
) -> dict[str, Any]:
    """Train, calibrate on the tuning patients, measure on the test patients, and write all.

    Writes ``grader.safetensors``, ``manifest.json`` and the bank; returns the figures.
    """
    rows = described.of("train")
    told(f"training on {len(rows)} rows of {len(np.unique(rows.patients))} patients")
    model = GraphModel(graph=graph, training=training)
    model.fit(rows, seed=seed)
    if model.grader is None:
        raise RuntimeError("fit leaves a grader")
    bank = choose_cases(described, training.bank_size, seed=seed)
    grader = make_grader(
        model.grader.networks, model.grader.scale, bank.table, softness=training.label_softness
    )
    model.grader = grader
    tune = described.of("tune")
    calibrator = fit_calibrator(_blind(model, tune), tune.grades, with_bias=True)
    nearest = grader.grade(tune.masked([CT_REPORT])).neighbours.max(axis=1)
    out.mkdir(parents=True, exist_ok=True)
    bank_sha256 = save_bank(bank, out / BANK_FILE)
    told("measuring on the test patients")
    worth = measure(described, model, calibrator, seed=seed)
    scale = grader.scale.modalities[CT_IMAGE]
    facts = {
        "seed": seed,
        "training": asdict(training),
        "label_softness": training.label_softness,
        "described": described.digest,
        "encoder": described.encoder,
        "bank_sha256": bank_sha256,
        "bank_cases": len(bank),
        "calibration": {
            "temperature": calibrator.temperature,
            "bias": [float(value) for value in calibrator.bias],
        },
        "ranged": {
            name: [
                float(scale.low[scale.names.index(name)]),
                float(scale.high[scale.names.index(name)]),
            ]
            for name in RANGED
        },
        "least_similarity": float(np.quantile(nearest, UNLIKE_SHARE)),
        "edges_per_case": float((grader.grade(tune).neighbours > 0).sum(axis=1).mean()),
        "mu": {
            name: [[layer.mu_1.item(), layer.mu_2.item()] for layer in extraction.layers]  # type: ignore[union-attr]
            for name, extraction in grader.networks[0].extraction.items()
        },
        "loss": model.told[-1],
        "worth": worth,
    }
    save_grader(
        grader.networks,
        grader.scale,
        out,
        version=f"seed{seed}-steps{training.steps}",
        facts=facts,
    )
    return facts


def choose_cases(described: Described, size: int, *, seed: int) -> Bank:
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
    records = [
        CaseRecord(
            case_id=str(nodule),
            patient=str(patient),
            rating=float(rating),
            evidence="reader-rated",
            source=SOURCE,
        )
        for nodule, patient, rating in zip(table.nodules, table.patients, table.rating, strict=True)
    ]
    return make_bank(f"shipped-{described.digest[:8]}", records, table)


def measure(
    described: Described, model: GraphModel, calibrator: Calibrator, *, seed: int
) -> dict[str, Any]:
    """Figures on the test patients, beside baselines that learned from the same rows.

    All are calibrated on the tuning patients. The report is masked unless said.
    """
    train, tune, test = (described.of(part) for part in ("train", "tune", "test"))
    answers = {"graph": calibrator.apply(_blind(model, test))}
    reported = fit_calibrator(model.predict(tune), tune.grades, with_bias=True)
    answers["graph with report"] = reported.apply(model.predict(test))
    image = [CT_IMAGE]
    others: Mapping[str, tuple[GradeModel, list[str]]] = {
        "lr": (Linear(strength=0.05), image),
        "reg_xgb": (Regressed(max_depth=3, learning_rate=0.05, n_estimators=300), image),
        "lr with report": (Linear(strength=0.05), [CT_IMAGE, CT_REPORT]),
    }
    for name, (other, modalities) in others.items():
        other.fit(train.only(modalities), seed=seed)
        fitted = fit_calibrator(other.predict(tune.only(modalities)), tune.grades, with_bias=True)
        answers[name] = fitted.apply(other.predict(test.only(modalities)))
    columns = list(test.names[CT_IMAGE])
    names = ("predicted_above_2", "predicted_above_3", "predicted_above_4")
    above = test.features[CT_IMAGE][:, [columns.index(name) for name in names]]
    ends = np.ones((len(test), 1))
    shares = np.concatenate([ends, above, 0 * ends], axis=1)
    answers["encoder alone"] = np.asarray(shares[:, :-1] - shares[:, 1:], dtype=np.float64)
    boot = bootstrap_figures(
        {name: [one] for name, one in answers.items()}, test.grades, test.patients, seed=seed
    )
    figures: dict[str, Any] = {}
    for name, one in answers.items():
        figures[name] = {
            **score(one, test.grades, test.rating),
            "ece": calibration_error(one, test.grades),
        }
    return {
        "rows": len(test),
        "nodules": len(np.unique(test.nodules)),
        "patients": len(np.unique(test.patients)),
        "models": figures,
        "graph_minus": {
            name: {
                key: asdict(value) for key, value in differences(boot["graph"], boot[name]).items()
            }
            for name in ("lr", "reg_xgb", "encoder alone")
        },
    }


def _blind(model: GraphModel, table: ModalityTable) -> NDArray[np.float64]:
    """Answers without the report: what a PACS route alone gives."""
    return model.predict(table.masked([CT_REPORT]))
