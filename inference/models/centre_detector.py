"""A 3-D centre-heatmap detector: one anchor-free head at a quarter of the resolution.

Follows CenterNet (Zhou et al., "Objects as Points", arXiv 1904.07850) in three dimensions: a
nodule is the peak of a heatmap, with its diameter and the place between the cells beside it.
About 1.3 million parameters, convolutions only, so that it runs on a CPU and exports plainly.

Deliberately absent: anchors, non-maximum suppression and I/O (`inference.centre_detection`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreDetectorConfig:
    """What a set of weights was trained for; stored with them.

    Attributes
    ----------
    spacing_mm : float
        Edge of the cubic voxels that the network sees.
    window_hu : (float, float)
        Densities mapped to -1 and 1; beyond them clipped.
    widths : (int, int, int, int)
        Channels at strides 2, 4, 8 and 16.
    blocks : (int, int, int)
        Residual blocks at strides 4, 8 and 16.
    """

    spacing_mm: float = 1.25
    window_hu: tuple[float, float] = (-1000.0, 300.0)
    widths: tuple[int, int, int, int] = (16, 40, 64, 80)
    blocks: tuple[int, int, int] = (2, 2, 1)

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CentreDetectorConfig:
        """From JSON, where tuples are lists."""
        known: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in values.items()
        }
        return cls(**known)


STRIDE = 4
"""Voxels per cell of the heatmap."""
COARSEST_STRIDE = 16
"""Sides of what goes in must be multiples of it."""
PRIOR_PROBABILITY = 0.01
"""Of a cell before training (Lin et al., "Focal loss", arXiv 1708.02002, section 3.3)."""
DIAMETER_UNIT_MM = 10.0
"""The head answers ln(diameter / this)."""


class CentreDetector(nn.Module):
    """Heatmap, diameter and offset of nodules.

    Shapes
    ------
    - input: (B, 1, D, H, W), windowed to -1 to 1; D, H, W multiples of 16
    - output: (B, 5, D/4, H/4, W/4): logit of the heatmap; ln(diameter / 10 mm); offset along
      k, j, i from the cell's middle, in cells
    """

    def __init__(self, config: CentreDetectorConfig | None = None) -> None:
        super().__init__()
        config = config or CentreDetectorConfig()
        self.config = config
        w2, w4, w8, w16 = config.widths
        n4, n8, n16 = config.blocks
        self.stem = nn.Sequential(_conv(1, w2, stride=2), _conv(w2, w4, stride=2))
        self.level4 = nn.Sequential(*(_Residual(w4) for _ in range(n4)))
        self.down8 = _conv(w4, w8, stride=2)
        self.level8 = nn.Sequential(*(_Residual(w8) for _ in range(n8)))
        self.down16 = _conv(w8, w16, stride=2)
        self.level16 = nn.Sequential(*(_Residual(w16) for _ in range(n16)))
        self.lateral8 = nn.Conv3d(w16, w8, 1)
        self.merge8 = _conv(w8, w8)
        self.lateral4 = nn.Conv3d(w8, w4, 1)
        self.merge4 = _conv(w4, w4)
        self.head = nn.Conv3d(w4, 5, 1)
        with torch.no_grad():
            self.head.weight[1:] *= 0.1
            assert self.head.bias is not None  # noqa: S101 - Conv3d has one unless told otherwise
            self.head.bias.zero_()
            self.head.bias[0] = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)

    def forward(self, image: Tensor) -> Tensor:
        """See the class for shapes."""
        fine = self.level4(self.stem(image))  # (B, w4, D/4, H/4, W/4)
        middle = self.level8(self.down8(fine))  # (B, w8, D/8, H/8, W/8)
        coarse = self.level16(self.down16(middle))  # (B, w16, D/16, H/16, W/16)
        middle = self.merge8(middle + _grow(self.lateral8(coarse)))
        fine = self.merge4(fine + _grow(self.lateral4(middle)))
        answer: Tensor = self.head(fine)
        return answer


def _grow(coarse: Tensor) -> Tensor:
    return functional.interpolate(coarse, scale_factor=2.0, mode="nearest")


def _conv(inside: int, outside: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(outside),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    """Two convolutions beside a skip (He et al., arXiv 1512.03385); shape unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(
            nn.Conv3d(width, width, 3, padding=1, bias=False), nn.BatchNorm3d(width)
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.second(self.first(features)))
