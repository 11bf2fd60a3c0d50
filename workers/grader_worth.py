"""What a trained grader is worth on the test patients, beside baselines from the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.evaluation.grading.baselines import Linear, Regressed
from inference.evaluation.grading.metrics import calibration_error, score
from inference.evaluation.grading.significance import bootstrap_figures, differences
from inference.grading.bank import Bank, CaseRecord
from inference.grading.calibration import Calibrator, fit_calibrator
from inference.grading.grader import Grader, make_grader
from inference.grading.table import GradeModel, ModalityTable
from inference.image_row import CT_IMAGE, FROM_PIXELS
from inference.known import CT_REPORT
from workers.described_nodules import Described

TWINS = 40


def use_of_the_bank(
    grader: Grader, bank: Bank, described: Described, softness: float
) -> dict[str, float]:
    """What edges and cases do to an answer: edges per nodule, and what a nodule's twin moves.

    The twin has the nodule's own features and a rating of 1 or 5; `twin` is the mean difference
    that it makes to the suspicion, before calibration.
    """
    test = described.of("test")
    test = test.masked([name for name in test.modalities if name not in FROM_PIXELS])
    some = test.rows(np.linspace(0, len(test) - 1, TWINS).astype(np.int64))
    moved = []
    for row in range(len(some)):
        one = some.rows(np.array([row]))
        suspicions = []
        for rating in (1.0, 5.0):
            record = CaseRecord(
                case_id="twin", patient="twin", rating=rating, evidence="reader-rated", source=""
            )
            with_twin = bank.with_cases([record], one, "twin")
            changed = make_grader(grader.networks, grader.scale, with_twin.table, softness=softness)
            suspicions.append(changed.grade(one).probabilities[0, 2:].sum())
        moved.append(suspicions[1] - suspicions[0])
    nodes = grader.scale.to_nodes(some)
    with torch.inference_mode():
        neighbours = [
            float((network(nodes, cases).adjacency > 0).sum(dim=1).float().mean())
            for network, cases in zip(grader.networks, grader.cases, strict=True)
        ]
    return {"edges": float(np.mean(neighbours)), "twin": float(np.mean(moved))}


def measure(
    described: Described,
    model: GradeModel,
    calibrators: Mapping[tuple[str, ...], Calibrator],
    *,
    seed: int,
) -> dict[str, Any]:
    """Figures on the test patients, beside baselines that learned from the same rows.

    All are calibrated on the tuning patients. Rows drawn by one reader have the others' opinion
    as truth and are the ones that count; those drawn by all show what the truth's own readers
    saw. The report is masked unless said.
    """
    train, tune, test = (described.of(part) for part in ("train", "tune", "test"))
    blind = test.masked([CT_REPORT])
    answers = {
        "graph": calibrators[FROM_PIXELS].apply(model.predict(blind)),
        "graph with report": calibrators[tuple(test.modalities)].apply(model.predict(test)),
    }
    for name in FROM_PIXELS:
        rest = tuple(other for other in FROM_PIXELS if other != name)
        answers[f"graph without {name}"] = calibrators[rest].apply(
            model.predict(blind.masked([name]))
        )
    for name, (other, modalities) in _baselines().items():
        other.fit(train.only(modalities), seed=seed)
        fitted = fit_calibrator(other.predict(tune.only(modalities)), tune.grades, with_bias=True)
        answers[name] = fitted.apply(other.predict(test.only(modalities)))
    fitted = fit_calibrator(_encoders_own(tune), tune.grades, with_bias=True)
    answers["encoder alone"] = fitted.apply(_encoders_own(test))
    by_everyone = described.by_everyone[described.part == "test"]
    return {
        "drawn by one reader": _figures(answers, test, ~by_everyone, seed),
        "drawn by all readers": _figures(answers, test, by_everyone, seed),
    }


def _baselines() -> dict[str, tuple[GradeModel, tuple[str, ...]]]:
    return {
        "lr": (Linear(strength=0.05), FROM_PIXELS),
        "reg_xgb": (
            Regressed(max_depth=3, learning_rate=0.05, n_estimators=300),
            FROM_PIXELS,
        ),
        "lr with report": (Linear(strength=0.05), (*FROM_PIXELS, CT_REPORT)),
    }


def _encoders_own(table: ModalityTable) -> NDArray[np.float64]:
    """The four shares that the encoder itself gives, (N, 4)."""
    names = ("predicted_above_2", "predicted_above_3", "predicted_above_4")
    at = [table.names[CT_IMAGE].index(name) for name in names]
    above = table.features[CT_IMAGE][:, at].astype(np.float64)
    ends = np.ones((len(table), 1))
    shares = np.concatenate([ends, above, 0 * ends], axis=1)
    return np.asarray(shares[:, :-1] - shares[:, 1:])


def _figures(
    answers: Mapping[str, NDArray[np.float64]],
    test: ModalityTable,
    chosen: NDArray[np.bool_],
    seed: int,
) -> dict[str, Any]:
    rows = test.rows(chosen)
    kept = {name: one[chosen] for name, one in answers.items()}
    boot = bootstrap_figures(
        {name: [one] for name, one in kept.items()}, rows.grades, rows.patients, seed=seed
    )
    return {
        "rows": len(rows),
        "nodules": len(np.unique(rows.nodules)),
        "patients": len(np.unique(rows.patients)),
        "models": {
            name: {
                **score(one, rows.grades, rows.rating),
                "ece": calibration_error(one, rows.grades),
            }
            for name, one in kept.items()
        },
        "graph_minus": {
            name: {
                key: asdict(value) for key, value in differences(boot["graph"], boot[name]).items()
            }
            for name in ("lr", "reg_xgb", "encoder alone")
        },
    }
