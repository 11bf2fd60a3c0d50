"""Every entrant by name: baselines, the graph with its variants, and what other documents do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.evaluation.grading.baselines import (
    DIAMETER,
    Boosted,
    Columns,
    Forest,
    LateFusion,
    Linear,
    Mean,
    Perceptron,
    Regressed,
    WithDropout,
)
from inference.evaluation.grading.confidence_tiers import ConfidenceTiers
from inference.evaluation.grading.entrants import Entrant
from inference.evaluation.grading.graph_entrants import (
    INNER,
    VERSION,
    default_settings,
    graph_entrants,
    make_graph,
)
from inference.evaluation.grading.serology_text import (
    SEROLOGY_MODALITY,
    TEXT_MODALITY,
    SerologyInWords,
)
from inference.sentence_encoder import PACKAGE, REMEDY

STRENGTHS = (0.05, 0.005, 0.02, 0.2, 1.0)
TREES: Mapping[str, tuple[Any, ...]] = {
    "max_depth": (3, 2, 4),
    "learning_rate": (0.05, 0.03),
    "n_estimators": (150, 250, 400),
    "min_child_weight": (5, 10, 20),
    "colsample_bytree": (0.5, 0.3, 0.8),
    "subsample": (0.8, 0.6),
}
REGRESSION = {**TREES, "n_estimators": (300, 200, 500), "learning_rate": (0.03, 0.05)}
LATE_STRENGTHS = (0.2, 0.02, 1.0, 0.05, 5.0)


def baseline_entrants() -> dict[str, Entrant]:
    """What the graph has to beat, by name."""
    entrants = [
        Entrant(
            name="diameter",
            kind="baseline",
            make=lambda c: Columns(Linear(strength=c["strength"]), DIAMETER),
            space={"strength": STRENGTHS},
            modalities=("roi2d",),
        ),
        Entrant(
            name="lr",
            kind="baseline",
            make=lambda c: Linear(strength=c["strength"]),
            space={"strength": STRENGTHS},
        ),
        Entrant(
            name="ordinal_lr",
            kind="baseline",
            make=lambda c: Linear(strength=c["strength"], ordinal=True),
            space={"strength": STRENGTHS},
        ),
        Entrant(
            name="forest",
            kind="baseline",
            make=lambda c: Forest(trees=100, **c),
            space={"leaf": (4, 8), "columns": (0.15, 0.3)},
        ),
        Entrant(name="xgb", kind="baseline", make=lambda c: Boosted(**c), space=TREES),
        Entrant(name="reg_xgb", kind="baseline", make=lambda c: Regressed(**c), space=REGRESSION),
        Entrant(
            name="ridge",
            kind="baseline",
            make=lambda c: Regressed(ridge=c["ridge"]),
            space={"ridge": (30.0, 3.0, 300.0)},
        ),
        Entrant(
            name="mlp",
            kind="baseline",
            make=lambda c: Perceptron(**c),
            space={"decay": (3.0, 1.0, 0.3), "width": (32, 64), "epochs": (30, 15)},
        ),
        Entrant(
            name="late_fusion",
            kind="baseline",
            make=lambda c: LateFusion(lambda: Linear(strength=c["strength"])),
            space={"strength": LATE_STRENGTHS},
        ),
        Entrant(
            name="lr_xgb",
            kind="baseline",
            make=lambda c: Mean(
                [
                    Linear(strength=c["strength"]),
                    Boosted(**{name: c[name] for name in TREES}),
                ]
            ),
            space={**TREES, "strength": STRENGTHS},
        ),
        Entrant(
            name="lr_dropout",
            kind="baseline",
            make=lambda c: WithDropout(Linear(strength=c["strength"])),
            space={"strength": STRENGTHS},
        ),
        Entrant(
            name="xgb_dropout",
            kind="baseline",
            make=lambda c: WithDropout(Boosted(**c)),
            space=TREES,
        ),
        *(
            Entrant(
                name=f"only_{modality}",
                kind="baseline",
                make=lambda c: Linear(strength=c["strength"]),
                space={"strength": STRENGTHS},
                modalities=(modality,),
            )
            for modality in ("roi2d", "voi3d", "report", "context")
        ),
    ]
    return {entrant.name: entrant for entrant in entrants}


def document_entrants() -> dict[str, Entrant]:
    """Variants from the other documents that are no graph with something switched, by name."""
    entrants = [
        Entrant(
            name="confidence_tiers",
            kind="variant",
            make=lambda c: ConfidenceTiers(**c),
            space={"first_strength": (0.2,), "strength": (0.2,)},
        ),
        Entrant(
            name=TEXT_MODALITY,
            kind="variant",
            make=lambda c: SerologyInWords(make_graph(c)),
            inner=INNER,
            settings=default_settings(),
            needs=(SEROLOGY_MODALITY,),
            packages=("sentence_transformers", PACKAGE),
            remedy=f"--simulated and {REMEDY}",
            version=VERSION,
        ),
    ]
    return {entrant.name: entrant for entrant in entrants}


def all_entrants() -> dict[str, Entrant]:
    """Baselines first."""
    return baseline_entrants() | graph_entrants() | document_entrants()
