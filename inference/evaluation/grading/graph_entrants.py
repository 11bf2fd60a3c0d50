"""The graph, and the graph with one thing switched: the ablation table.

Variants from the other documents: ``branches`` (attention-weighted branches, summed losses and
L1 consistency, liver fibrosis), ``gated`` (gate over cross-attention, InfoNCE between
modalities, modality dropout of 30 %, PET/CT nodules), ``missing_criterion`` (the limit on what a
missing modality may cost, same document), ``region_gate`` (adaptive fusion at the input, PET/CT of
cervical cancer).

Every variant tries one configuration, and so does ``full``, which they are compared with: the graph
by its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from inference.evaluation.grading.entrants import Config, Entrant
from inference.grading.config import GraphConfig, TrainingConfig
from inference.training.grading.model import GraphModel

VERSION = "1"
FULL = "full"
SPACE: Mapping[str, tuple[Any, ...]] = {
    "regression_weight": (1.0, 0.3, 2.0),
}
INNER: Config = {"members": 1}
"""One network chooses and calibrates for two: half the time."""
GRAPH_KEYS = frozenset(GraphConfig.__dataclass_fields__)
VARIANTS: Mapping[str, Config] = {
    "no_edges": {"edges": False},
    "mean_fusion": {"fusion": "mean"},
    "weight_network": {"weight_network": 0.3},
    "no_semantic": {"semantic_weight": 0.0},
    "no_self_supervision": {"contrastive_weight": 0.0, "reconstruction_weight": 0.0},
    "no_views": {"views": 0},
    "no_modality_dropout": {"modality_dropout": 0.0},
    "no_typical_cases": {"typical_cases": False, "bank_labels": False},
    "no_bank_labels": {"bank_labels": False},
    "no_wide": {"wide": False},
    "vote": {"vote": 0.1},
    "vote_quarter": {"vote": 0.25},
    "gaussian": {"similarity": "gaussian"},
    "literal_patent": {
        "threshold": 0.5,
        "wide": False,
        "ordinal_weight": 0.0,
        "regression_weight": 0.0,
        "weight_network": 0.3,
        "modality_dropout": 0.0,
        "label_softness": 0.05,
        "bank_labels": False,
    },
    "branches": {"fusion": "branches"},
    "gated": {"fusion": "gated", "modality_dropout": 0.3},
    "missing_criterion": {"missing_weight": 1.0},
    "region_gate": {"region_gate": ["roi2d", "voi3d"]},
}
ADDED: Config = {"region_gate": (), "missing_weight": 0.0}
"""Settings younger than kept results: at these values a graph is as it was without them."""


def make_graph(config: Config) -> GraphModel:
    """A graph by the settings of `GraphConfig` and `TrainingConfig`; the others by default."""
    graph = {key: value for key, value in config.items() if key in GRAPH_KEYS}
    training = {key: value for key, value in config.items() if key not in GRAPH_KEYS}
    # Widths come from the table that it learns from.
    return GraphModel(
        graph=GraphConfig(widths={"any": 1}, **graph), training=TrainingConfig(**training)
    )


def default_settings() -> Config:
    """What holds where a configuration says nothing, without what makes no difference (`ADDED`)."""
    every = {**asdict(GraphConfig(widths={"any": 1})), **asdict(TrainingConfig())}
    return {key: value for key, value in every.items() if key not in ADDED or value != ADDED[key]}


def graph_entrants() -> dict[str, Entrant]:
    """The tuned graph under the name ``graph``, and its variants by what is switched."""
    settings = default_settings()
    graph = Entrant(
        name="graph",
        kind="graph",
        make=make_graph,
        space=SPACE,
        inner=INNER,
        settings=settings,
        version=VERSION,
    )
    variants = [
        Entrant(
            name=name,
            kind="variant",
            make=make_graph,
            space={key: (value,) for key, value in switched.items()},
            inner=INNER,
            settings=settings,
            version=VERSION,
        )
        for name, switched in {FULL: {}, **VARIANTS}.items()
    ]
    return {entrant.name: entrant for entrant in (graph, *variants)}
