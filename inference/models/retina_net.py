"""The network of MONAI's bundle ``lung_nodule_ct_detection``: a 3-D ResNet-50 pyramid RetinaNet.

Built here from torch alone, with the names of parameters that the bundle's state dict has, so
that a hospital's weights can be read without MONAI and without torchvision. No weights of it are
shipped.

References
----------
Lin et al., arXiv 1708.02002 (RetinaNet), arXiv 1612.03144 (feature pyramids); He et al., arXiv
1512.03385 (ResNet).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

EXPANSION = 4
"""Channels that leave a bottleneck, over those inside."""
GROUPS = 8
PRIOR = 0.01
"""Probability that an untrained network answers everywhere (arXiv 1708.02002, section 4.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetinaNetConfig:
    """Shape of the network; the defaults are the bundle's.

    Attributes
    ----------
    blocks : tuple of int
        Bottlenecks of the first and of the second stage; both feed the pyramid.
    stem_channels, pyramid_channels : int
        After the first convolution; of every level of the pyramid.
    anchors : int
        Boxes at each place.
    """

    blocks: tuple[int, int] = (3, 4)
    stem_channels: int = 64
    pyramid_channels: int = 256
    anchors: int = 3


STRIDES = ((4, 4, 2), (8, 8, 4), (16, 16, 8))
"""Voxels between the places of each level, along x, y, z."""
SIZE_DIVISIBLE = STRIDES[-1]
CODES = 6
"""Numbers that move and stretch an anchor."""


class _Bottleneck(nn.Module):
    def __init__(self, before: int, inside: int, stride: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        after = inside * EXPANSION
        self.conv1 = nn.Conv3d(before, inside, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(inside)
        self.conv2 = nn.Conv3d(inside, inside, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(inside)
        self.conv3 = nn.Conv3d(inside, after, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(after)
        self.downsample = (
            nn.Sequential(nn.Conv3d(before, after, 1, stride=stride), nn.BatchNorm3d(after))
            if shortcut
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return functional.relu(inner + (x if self.downsample is None else self.downsample(x)))


def _stage(before: int, inside: int, count: int, stride: int) -> nn.Sequential:
    first = _Bottleneck(before, inside, stride, shortcut=True)
    rest = (_Bottleneck(inside * EXPANSION, inside) for _ in range(count - 1))
    return nn.Sequential(first, *rest)


class _Body(nn.Module):
    """ResNet's stem and first two stages."""

    def __init__(self, config: RetinaNetConfig) -> None:
        super().__init__()
        stem = config.stem_channels
        self.conv1 = nn.Conv3d(1, stem, 7, stride=(2, 2, 1), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(stem)
        self.layer1 = _stage(stem, stem, config.blocks[0], 1)
        self.layer2 = _stage(stem * EXPANSION, 2 * stem, config.blocks[1], 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.relu(self.bn1(self.conv1(x)))
        first = self.layer1(functional.max_pool3d(x, 3, stride=2, padding=1))
        return first, self.layer2(first)


class _Pyramid(nn.Module):
    """Two levels, the coarse one added to the fine one, and a third by leaving out places."""

    def __init__(self, config: RetinaNetConfig) -> None:
        super().__init__()
        inputs = [config.stem_channels * EXPANSION, 2 * config.stem_channels * EXPANSION]
        width = config.pyramid_channels
        self.inner_blocks = nn.ModuleList(nn.Conv3d(channels, width, 1) for channels in inputs)
        self.layer_blocks = nn.ModuleList(nn.Conv3d(width, width, 3, padding=1) for _ in inputs)

    def forward(self, fine: Tensor, coarse: Tensor) -> list[Tensor]:
        upper = self.inner_blocks[1](coarse)
        lateral = self.inner_blocks[0](fine)
        lower = lateral + functional.interpolate(upper, size=lateral.shape[2:], mode="nearest")
        levels = [self.layer_blocks[0](lower), self.layer_blocks[1](upper)]
        return [*levels, functional.max_pool3d(levels[-1], 1, stride=2)]


class _Extractor(nn.Module):
    def __init__(self, config: RetinaNetConfig) -> None:
        super().__init__()
        self.body = _Body(config)
        self.fpn = _Pyramid(config)

    def forward(self, x: Tensor) -> list[Tensor]:
        levels: list[Tensor] = self.fpn(*self.body(x))
        return levels


def _tower(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [
            nn.Conv3d(channels, channels, 3, padding=1),
            nn.GroupNorm(GROUPS, channels),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class _ClassificationHead(nn.Module):
    def __init__(self, config: RetinaNetConfig) -> None:
        super().__init__()
        self.conv = _tower(config.pyramid_channels)
        self.cls_logits = nn.Conv3d(config.pyramid_channels, config.anchors, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.cls_logits(self.conv(x))
        return logits


class _RegressionHead(nn.Module):
    def __init__(self, config: RetinaNetConfig) -> None:
        super().__init__()
        self.conv = _tower(config.pyramid_channels)
        self.bbox_reg = nn.Conv3d(config.pyramid_channels, config.anchors * CODES, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        codes: Tensor = self.bbox_reg(self.conv(x))
        return codes


class RetinaNet(nn.Module):
    """One class, anchors at three levels.

    Shapes
    ------
    - input: (B, 1, X, Y, Z), 0 to 1; sizes divisible by `SIZE_DIVISIBLE`
    - output: (B, N, 7): logit, then the six codes of the box; N counts levels, then x, y, z, then
      anchors, the last fastest (the order of `inference.retina_boxes.make_anchors`)
    """

    def __init__(self, config: RetinaNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or RetinaNetConfig()
        self.feature_extractor = _Extractor(self.config)
        self.classification_head = _ClassificationHead(self.config)
        self.regression_head = _RegressionHead(self.config)
        for head in (self.classification_head, self.regression_head):
            for layer in head.modules():
                if isinstance(layer, nn.Conv3d):
                    nn.init.normal_(layer.weight, std=0.01)
                    nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # every one has a bias
        nn.init.constant_(
            self.classification_head.cls_logits.bias,  # type: ignore[arg-type] # it has one
            -math.log((1 - PRIOR) / PRIOR),
        )

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        levels = self.feature_extractor(images)
        logits = _rows([self.classification_head(level) for level in levels], self.config.anchors)
        codes = _rows([self.regression_head(level) for level in levels], self.config.anchors)
        return torch.cat([logits, codes], dim=2)


def _rows(maps: Sequence[Tensor], anchors: int) -> Tensor:
    """Maps (B, A * C, X, Y, Z) of all levels as rows (B, N, C)."""
    rows = []
    for item in maps:
        batch, channels, *size = item.shape
        split = item.reshape(batch, anchors, channels // anchors, *size)
        rows.append(split.permute(0, 3, 4, 5, 1, 2).reshape(batch, -1, channels // anchors))
    return torch.cat(rows, dim=1)
