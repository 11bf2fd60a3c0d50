"""MONAI's own detection code to compare with, importable beside a torch without CUDA.

``monai.apps.detection`` imports torchvision, whose published wheels need CUDA's libraries. Two
small things of it are used; they stand in for it here, in tests only, and are taken away again.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

from torch import Tensor, nn

from tests.conftest import missing

NAMES = (
    "torchvision",
    "torchvision.models",
    "torchvision.models._utils",
    "torchvision.models.detection",
    "torchvision.models.detection.backbone_utils",
)


class LayerGetter(nn.ModuleDict):
    """Runs a model's children in order up to the last wanted one; keeps the wanted answers."""

    def __init__(self, model: nn.Module, return_layers: dict[str, str]) -> None:
        children = list(model.named_children())
        last = max(place for place, (name, _) in enumerate(children) if name in return_layers)
        super().__init__(dict(children[: last + 1]))
        self.return_layers = dict(return_layers)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        answers = {}
        for name, module in self.items():
            x = module(x)
            if name in self.return_layers:
                answers[self.return_layers[name]] = x
        return answers


@contextmanager
def _stand_in() -> Iterator[None]:
    modules: dict[str, Any] = {}
    for name in NAMES:
        modules[name] = types.ModuleType(name)
        modules[name].__spec__ = ModuleSpec(name, None)
        modules[name].__path__ = []
        modules[name].__file__ = "stand-in"
        modules[name].__version__ = "0"
    modules["torchvision"].models = modules["torchvision.models"]
    modules["torchvision.models"]._utils = modules["torchvision.models._utils"]
    modules["torchvision.models._utils"].IntermediateLayerGetter = LayerGetter
    modules["torchvision.models.detection.backbone_utils"]._validate_trainable_layers = (
        lambda _pretrained, _layers, max_value, **_: max_value
    )
    before = {name: sys.modules.get(name) for name in NAMES}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def reference(module: str) -> Any:
    """A module of ``monai``."""
    if importlib.util.find_spec("monai") is None:  # not imported yet: that needs the stand-in
        missing("monai")
    with _stand_in(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"monai.{module}")


def reference_network() -> nn.Module:
    """The bundle's network as its own configuration builds it."""
    resnet = reference("networks.nets.resnet")
    retina = reference("apps.detection.networks.retinanet_network")
    backbone = resnet.resnet50(
        spatial_dims=3, n_input_channels=1, conv1_t_stride=[2, 2, 1], conv1_t_size=[7, 7, 7]
    )
    extractor = retina.resnet_fpn_feature_extractor(backbone, 3, False, [1, 2], None)
    network: nn.Module = retina.RetinaNet(
        spatial_dims=3,
        num_classes=1,
        num_anchors=3,
        feature_extractor=extractor,
        size_divisible=[16, 16, 8],
    )
    return network.eval()
