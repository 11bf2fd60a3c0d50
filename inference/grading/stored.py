"""A grader on disk: networks and scale in one safetensors file, what else it is in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.grading.config import GraphConfig
from inference.grading.network import GraphGrader
from inference.grading.scaling import ModalityScale, Scale
from inference.weights import Weights, save_weights

NAME = "grader"
SCALE_FIELDS = ("centre", "spread", "low", "high")


def save_grader(
    networks: tuple[GraphGrader, ...],
    scale: Scale,
    folder: Path,
    *,
    version: str,
    facts: Mapping[str, Any],
) -> str:
    """Write networks and scale; returns the sha256."""
    tensors: dict[str, Tensor] = {}
    for number, network in enumerate(networks):
        tensors |= {f"network{number}.{key}": value for key, value in network.state_dict().items()}
    for name, one in scale.modalities.items():
        tensors |= {
            f"scale.{name}.{field}": torch.from_numpy(getattr(one, field)) for field in SCALE_FIELDS
        }
    config = {
        "networks": len(networks),
        "graph": asdict(networks[0].config),
        "order": list(scale.modalities),
        "columns": {name: list(one.names) for name, one in scale.modalities.items()},
    }
    return save_weights(NAME, tensors, folder, version=version, config=config, facts=dict(facts))


def read_grader(weights: Weights) -> tuple[tuple[GraphGrader, ...], Scale, float]:
    """Networks, scale, and the softness of what typical cases tell.

    Raises
    ------
    RuntimeError
        If the tensors are not those of the configuration.
    """
    config = weights.config
    # The manifest sorts its keys; the networks go by the order of the modalities.
    order = config["order"]
    widths = {name: config["graph"]["widths"][name] for name in order}
    graph = GraphConfig(**{**config["graph"], "widths": widths})
    networks = []
    for number in range(config["networks"]):
        network = GraphGrader(graph)
        prefix = f"network{number}."
        network.load_state_dict(
            {
                key.removeprefix(prefix): value
                for key, value in weights.tensors.items()
                if key.startswith(prefix)
            }
        )
        networks.append(network.eval())
    scales = {}
    for name in order:
        columns = config["columns"][name]
        values = {
            field: np.asarray(weights.tensors[f"scale.{name}.{field}"]) for field in SCALE_FIELDS
        }
        scales[name] = ModalityScale(names=tuple(columns), **values)
    return tuple(networks), Scale(modalities=scales), float(weights.facts["label_softness"])
