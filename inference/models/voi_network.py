"""One small 3-D network for a cube around a candidate: outline, solid core, nodule or not, type.

A U-shaped network (Ronneberger et al., arXiv 1505.04597) that does no convolution at full
resolution: 2 x 2 x 2 voxels go in as channels and come out again from the last layer (sub-pixel
convolution, Shi et al., arXiv 1609.05158). About 0.8 million parameters.

Deliberately absent: cutting cubes and pasting masks (`inference.voi`), and the LIDC attributes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

TYPES = ("solid", "part-solid", "ground-glass", "calcified")
"""Order of the type's channels."""
COARSEST_STRIDE = 8
"""Sides of what goes in must be multiples of it."""
MASK, CORE = 0, 1
"""Channels of the first answer."""
NODULE, FIRST_TYPE = 0, 1
"""Columns of the second answer; the type takes the four from `FIRST_TYPE` on."""
INPUTS = 4
DENSITIES = 16
"""Plain statistics that the judgement sees beside the learned features."""
PRIOR_PROBABILITY = 0.01
"""Of a voxel to be nodule, before training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiNetworkConfig:
    """What a set of weights was trained for; stored with them.

    Attributes
    ----------
    side : int
        Voxels along each side of the cube.
    least_spacing_mm, most_spacing_mm : float
        Bounds of the cubes' voxels.
    voxels_across : float
        Voxels that the candidate's diameter takes, between these bounds.
    lung_window_hu, dense_window_hu : (float, float)
        Densities mapped to -1 and 1 in the first and the second channel.
    widths : (int, int, int)
        Channels at strides 2, 4 and 8.
    """

    side: int = 48
    least_spacing_mm: float = 0.65
    most_spacing_mm: float = 1.4
    voxels_across: float = 20.0
    lung_window_hu: tuple[float, float] = (-1000.0, 200.0)
    dense_window_hu: tuple[float, float] = (-100.0, 800.0)
    widths: tuple[int, int, int] = (32, 64, 96)

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VoiNetworkConfig:
        """From JSON, where tuples are lists."""
        known: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in values.items()
        }
        return cls(**known)


class VoiNetwork(nn.Module):
    """Outline, core, nodule or not, and type.

    Shapes
    ------
    - input: (B, 4, D, H, W): lung window, dense window, and two constant channels (voxel size,
      slice spacing; see `inference.voi.to_channels`); D, H, W multiples of 8
    - first output: (B, 2, D, H, W), logits of the nodule's and the core's voxels
    - second output: (B, 5), the logit of being a nodule and those of the four `TYPES`
    """

    def __init__(self, config: VoiNetworkConfig | None = None) -> None:
        super().__init__()
        config = config or VoiNetworkConfig()
        self.config = config
        w2, w4, w8 = config.widths
        self.level2 = nn.Sequential(_conv(8 * INPUTS, w2), _conv(w2, w2))
        self.level4 = nn.Sequential(_conv(w2, w4, stride=2), _conv(w4, w4))
        self.level8 = nn.Sequential(_conv(w4, w8, stride=2), _conv(w8, w8))
        self.lateral4 = nn.Conv3d(w8, w4, 1)
        self.merge4 = _conv(w4, w4)
        self.lateral2 = nn.Conv3d(w4, w2, 1)
        self.merge2 = nn.Sequential(_conv(w2, w2), _conv(w2, w2))
        self.masks = nn.Conv3d(w2, 16, 1)
        self.evener = nn.LayerNorm(2 * w8 + 2 * w2)
        self.judge = nn.Sequential(
            nn.Linear(2 * w8 + 2 * w2 + DENSITIES, 64), nn.ReLU(), nn.Linear(64, 1 + len(TYPES))
        )
        with torch.no_grad():
            self.masks.weight *= 0.1
            assert self.masks.bias is not None  # noqa: S101 - Conv3d has one unless told otherwise
            self.masks.bias.fill_(-math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See the class for shapes."""
        fine = self.level2(_voxels_to_channels(image))  # (B, w2, D/2, H/2, W/2)
        middle = self.level4(fine)  # (B, w4, D/4, H/4, W/4)
        coarse = self.level8(middle)  # (B, w8, D/8, H/8, W/8)
        middle = self.merge4(middle + _grow(self.lateral4(coarse)))
        fine = self.merge2(fine + _grow(self.lateral2(middle)))
        masks = _channels_to_voxels(self.masks(fine))  # (B, 2, D, H, W)
        # The judgement looks at the whole cube, and at what lies inside the two outlines.
        inside = functional.avg_pool3d(torch.sigmoid(masks.detach()), 2)  # (B, 2, D/2, H/2, W/2)
        within = torch.einsum("bmdhw,bcdhw->bmc", inside, fine)
        within = within / (inside.sum(dim=(2, 3, 4)).unsqueeze(-1) + 1e-3)  # (B, 2, w2)
        pooled = torch.cat(
            [coarse.mean(dim=(2, 3, 4)), coarse.amax(dim=(2, 3, 4)), within.flatten(1)], dim=1
        )
        seen = torch.cat([self.evener(pooled), _densities(image, masks.detach())], dim=1)
        return masks, self.judge(seen)


def _densities(image: Tensor, masks: Tensor) -> Tensor:
    """Plain statistics of what lies inside the two outlines, which type depends on the most.

    Shapes
    ------
    - image: (B, 4, D, H, W); masks: (B, 2, D, H, W) logits
    - answer: (B, 16): mean, mean square and densest voxel of both windows in both outlines; the
      outlines' sizes; the constant channels
    """
    inside = torch.sigmoid(masks).flatten(2)  # (B, 2, N)
    windows = image[:, :2].flatten(2)  # (B, 2, N)
    size = inside.sum(dim=2, keepdim=True) + 1.0  # (B, 2, 1)
    mean = inside @ windows.transpose(1, 2) / size  # (B, 2, 2)
    square = inside @ (windows**2).transpose(1, 2) / size  # (B, 2, 2)
    # Windows run from -1 to 1: shifted, so that what lies outside cannot be the densest.
    densest = (inside.unsqueeze(2) * (windows.unsqueeze(1) + 1)).amax(dim=3)  # (B, 2, 2)
    return torch.cat(
        [
            mean.flatten(1),
            square.flatten(1),
            densest.flatten(1),
            torch.log(size).flatten(1) / 5,
            image[:, 2:, 0, 0, 0],
        ],
        dim=1,
    )


def _voxels_to_channels(image: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, 8 C, D/2, H/2, W/2)."""
    batch, channels, depth, height, width = image.shape
    d, h, w = depth // 2, height // 2, width // 2
    blocks = image.reshape(batch, channels, d, 2, h, 2, w, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return blocks.reshape(batch, 8 * channels, d, h, w)


def _channels_to_voxels(features: Tensor) -> Tensor:
    """(B, 8 C, D, H, W) -> (B, C, 2 D, 2 H, 2 W)."""
    batch, channels, d, h, w = features.shape
    blocks = features.reshape(batch, channels // 8, 2, 2, 2, d, h, w).permute(
        0, 1, 5, 2, 6, 3, 7, 4
    )
    return blocks.reshape(batch, channels // 8, 2 * d, 2 * h, 2 * w)


def _grow(coarse: Tensor) -> Tensor:
    return functional.interpolate(coarse, scale_factor=2.0, mode="nearest")


def _conv(inside: int, outside: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(outside),
        nn.ReLU(),
    )
