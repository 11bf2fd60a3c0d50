"""MONAI's bundle ``lung_nodule_ct_detection`` in a folder of the site -> a detector.

Only ``models/model.pt`` is needed, read without running any code in it; ``configs/metadata.json``
gives the version where it is there. The bundle is not shipped: its licence (Apache-2.0) and that
of its training data (LUNA16) are the site's to check.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference.backend import Backend
from inference.engine_options import EngineOptions
from inference.engines import make_backend
from inference.errors import WeightsRefused
from inference.models.retina_net import SIZE_DIVISIBLE, RetinaNet
from inference.retina_detection import RetinaDetector

NAME = "monai lung_nodule_ct_detection"
WEIGHTS, METADATA = "models/model.pt", "configs/metadata.json"
WRAPPERS = ("model", "state_dict", "network")
"""Keys under which training scripts save a state dict."""
NAMES_AT_MOST = 3


def load_bundle_detector(
    folder: Path, *, report_from: float = 0.5, options: EngineOptions | None = None
) -> RetinaDetector:
    """A detector with the bundle's weights.

    Raises
    ------
    WeightsRefused
        If ``models/model.pt`` is missing, cannot be read without running code, or is not of this
        network.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsRefused(
            NAME, f"{path} is missing: unpack the bundle so that this file is there"
        )
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    network = RetinaNet()
    _fill(network, _read_state(data, path), path)
    return RetinaDetector(
        _in_torch(network, options),
        version=_version(folder, digest),
        weights={NAME: digest},
        report_from=report_from,
    )


def untrained_detector(seed: int = 0, *, options: EngineOptions | None = None) -> RetinaDetector:
    """The same network with random weights: for measuring its time where no bundle is at hand."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = RetinaNet()
    return RetinaDetector(
        _in_torch(network, options), version=f"untrained {seed}", weights={}, report_from=0.5
    )


def _in_torch(network: RetinaNet, options: EngineOptions | None) -> Backend:
    """Torch on the device of the options: converted to other engines it was never compared."""
    wanted = replace(options or EngineOptions(), backend="torch")
    return make_backend(network, (1, 1, *SIZE_DIVISIBLE), wanted)


def _read_state(data: bytes, path: Path) -> Mapping[str, Tensor]:
    try:
        read: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsRefused(
            NAME,
            f"{path} is no state dict that can be read without running code in it ({why}): "
            "take the bundle's models/model.pt, not model.ts, or save network.state_dict()",
        ) from error
    for key in WRAPPERS:
        if isinstance(read, Mapping) and isinstance(read.get(key), Mapping):
            read = read[key]
    if not isinstance(read, Mapping) or not all(isinstance(item, Tensor) for item in read.values()):
        raise WeightsRefused(NAME, f"{path} holds {type(read).__name__}, no state dict of tensors")
    return read


def _fill(network: RetinaNet, state: Mapping[str, Tensor], path: Path) -> None:
    """Put a state dict into the network, or say how it differs."""
    own = network.state_dict()
    differences = [
        *_named("lacks", [name for name in own if name not in state]),
        *_named("has unknown", [name for name in state if name not in own]),
        *_named(
            "has other shapes in",
            [name for name in own if name in state and state[name].shape != own[name].shape],
        ),
    ]
    if differences:
        raise WeightsRefused(
            NAME,
            f"{path} is not of this network: it {'; it '.join(differences)}: take the bundle "
            "lung_nodule_ct_detection (ResNet-50, three anchors) as it is published",
        )
    network.load_state_dict(dict(state))


def _named(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - NAMES_AT_MOST} more" if len(names) > NAMES_AT_MOST else ""
    return [f"{what} {', '.join(names[:NAMES_AT_MOST])}{more}"]


def _version(folder: Path, digest: str) -> str:
    path = folder / METADATA
    try:
        return str(json.loads(path.read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return digest[:12]
