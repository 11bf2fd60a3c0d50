"""Two views of one nodule, 2-D radiomics and a 3-D cube, fused by attention into one description.

After paragraphs [0050] to [0054] of US 2025/0255568 A1:

- the *VOI view*: a 3-D CNN at strides 2, 4 and 8, whose levels are joined into tokens (local,
  multi-scale), and a Transformer over these tokens (global);
- the *ROI view*: a vector of standardised radiomics of the key slice, and a 2-D CNN on three
  orthogonal planes through the nodule;
- a *cross-view attention block*: the tokens of each view attend to those of the other, residual
  and behind a gate, so that an absent view changes nothing;
- beside it a plain linear path from the radiomics, the size and the densities, which begins as a
  regression (`begin_with`): what plain numbers tell need not be learned anew;
- the fused feature serves several tasks at once, which share it: malignancy grade, malignancy
  rating, calcification, and the readers' eight attributes. [0054] asks for a *consistency* of the
  feature with the CT semantic labels: `implied_rating`, a fixed map from the predicted attributes
  and the size to the rating, which training holds against the rating predicted from the feature.

Everything goes in as one image tensor (`inference.backend`): the numbers that belong to no voxel
lie at the start of the last channel. Deliberately absent: cutting cubes and computing radiomics
(`inference.deep_features`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.attributes import ATTRIBUTES, HIGHEST, MALIGNANCY
from inference.grading.table import GRADE_LIMITS

LUNG, DENSE, MASK, NUMBERS = range(4)
"""Channels: lung window, dense window, mask (0 or 1), numbers."""
INPUTS = 4
SIZES = 3
"""The first numbers: voxel size, slice spacing, logarithm of the mask's diameter (scaled)."""
LOG_DIAMETER = 2
"""Place of the last of these."""
PRESENT = SIZES
"""Place of the number that says whether radiomics are there (1) or not (0)."""
FIRST_RADIOMIC = SIZES + 1
COARSEST_STRIDE = 8
DENSITIES = 8
CUMULATIVE = 3
"""Logits of the rating lying above 2, 3 and 4 (`inference.grading.table.GRADE_LIMITS`)."""
TARGETS = len(ATTRIBUTES) + 2
"""Rating, attributes, calcium: what training begins with, a feature each."""
GRADE_WIDTH = 0.45
"""Of the logistic around a limit when training begins: about the error of a good regression."""
BEGIN_SCALE = 0.5
"""Standardised targets are halved: the hyperbolic tangent is nearly straight there."""
QUADRATIC = len(ATTRIBUTES) * 2 + 3
"""Terms of the implied rating: attributes, their squares, size, its square, one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossViewConfig:
    """What a set of weights was trained for; stored with them.

    Attributes
    ----------
    side : int
        Voxels along each side of the cube, a multiple of 8.
    radiomics : tuple of str
        Names of the ROI view's numbers, in order; may be empty.
    lung_window_hu, dense_window_hu : (float, float)
        Densities mapped to -1 and 1.
    widths : (int, int, int)
        Channels at strides 2, 4 and 8; the last is the tokens' width.
    layers, heads : int
        Of the Transformer; the heads also of the cross-view block.
    features : int
        Length of the fused feature, at least `TARGETS`.
    radiomic_tokens : int
        Into how many tokens the radiomics are projected.
    """

    side: int = 32
    radiomics: tuple[str, ...] = ()
    lung_window_hu: tuple[float, float] = (-1000.0, 200.0)
    dense_window_hu: tuple[float, float] = (-100.0, 800.0)
    widths: tuple[int, int, int] = (24, 48, 96)
    layers: int = 2
    heads: int = 4
    features: int = 32
    radiomic_tokens: int = 4

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CrossViewConfig:
        """From JSON, where tuples are lists."""
        known: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in values.items()
        }
        return cls(**known)


class CrossViewEncoder(nn.Module):
    """A nodule's fused feature, and what several heads read from it.

    Shapes
    ------
    - input: (B, 4, S, S, S), the channels `LUNG`, `DENSE`, `MASK`, `NUMBERS`
    - features: (B, F), each between -1 and 1
    - grade: (B, 3), logits of the rating lying above 2, 3 and 4
    - rating: (B, 1), malignancy 1 to 5
    - attributes: (B, 8), on LIDC's scales, in the order of `inference.attributes.ATTRIBUTES`
    - calcified: (B, 1), a logit
    - implied: (B, 1), the rating that the predicted attributes and the size imply
    """

    implied_weight: Tensor
    highest: Tensor
    radiomic_mean: Tensor
    radiomic_deviation: Tensor

    def __init__(self, config: CrossViewConfig | None = None) -> None:
        super().__init__()
        config = config or CrossViewConfig()
        if config.features < TARGETS:
            raise ValueError(f"{config.features} features, wanted at least {TARGETS}")
        self.config = config
        w2, w4, width = config.widths
        self.level2 = _conv3d(3 * 8, w2)
        self.level4 = nn.Sequential(_conv3d(w2, w4, stride=2), _conv3d(w4, w4))
        self.level8 = nn.Sequential(_conv3d(w4, width, stride=2), _conv3d(width, width))
        self.finer = nn.Linear(w2 + w4, width)
        tokens = (config.side // COARSEST_STRIDE) ** 3
        self.places = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.size = nn.Linear(SIZES + DENSITIES, width)
        self.transformer = nn.Sequential(
            *(_TransformerLayer(width, config.heads) for _ in range(config.layers))
        )
        self.planes = nn.Sequential(
            _conv2d(3, 16), _conv2d(16, 32), _conv2d(32, 48), nn.Conv3d(48, width, 1)
        )
        self.plane_places = nn.Parameter(torch.randn(1, 3, width) * 0.02)
        count = len(config.radiomics)
        self.radiomics = nn.Sequential(
            nn.Linear(max(1, count), width),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(width, config.radiomic_tokens * width),
        )
        self.to_voi = _CrossAttention(width, config.heads)
        self.to_roi = _CrossAttention(width, config.heads)
        self.fuse = nn.Sequential(
            nn.LayerNorm(4 * width), nn.Linear(4 * width, 64), nn.GELU(), nn.Dropout(0.1),
            nn.Linear(64, config.features),
        )  # fmt: skip
        self.plain = nn.Linear(max(1, count) + SIZES + DENSITIES, config.features)
        self.grade = nn.Linear(config.features, CUMULATIVE)
        self.rating = nn.Linear(config.features, 1)
        self.attributes = nn.Linear(config.features, len(ATTRIBUTES))
        self.calcified = nn.Linear(config.features, 1)
        self.register_buffer("implied_weight", torch.zeros(QUADRATIC))
        self.register_buffer("highest", torch.tensor(HIGHEST))
        # How radiomics are standardised before they come in; see `inference.deep_features`.
        self.register_buffer("radiomic_mean", torch.zeros(count))
        self.register_buffer("radiomic_deviation", torch.ones(count))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """See the class for shapes."""
        numbers = image[:, NUMBERS].flatten(1)  # (B, S**3)
        sizes = numbers[:, :SIZES]
        present = numbers[:, PRESENT : PRESENT + 1].clamp(0.0, 1.0)  # (B, 1)
        last = FIRST_RADIOMIC + max(1, len(self.config.radiomics))
        radiomics = numbers[:, FIRST_RADIOMIC:last] * present
        densities = _densities(image)
        voi = self._voi_tokens(image, torch.cat([sizes, densities], dim=1))  # (B, T + 1, W)
        planes = self._plane_tokens(image)  # (B, 3, W)
        batch, _, width = planes.shape
        numeric = self.radiomics(radiomics).reshape(batch, -1, width)  # (B, K, W)
        roi = torch.cat([planes, numeric * present.unsqueeze(-1)], dim=1)  # (B, 3 + K, W)
        there = torch.cat(
            [torch.ones_like(planes[:, :, 0]), present.expand(-1, numeric.shape[1])], dim=1
        )  # (B, 3 + K)
        seen_voi = self.to_voi(voi, roi, there)
        seen_roi = self.to_roi(roi, voi, None)
        weight = there.unsqueeze(-1)
        mean_roi = (seen_roi * weight).sum(dim=1) / weight.sum(dim=1)
        pooled = torch.cat(
            [seen_voi[:, 0], seen_voi[:, 1:].mean(dim=1), seen_voi[:, 1:].amax(dim=1), mean_roi],
            dim=1,
        )  # (B, 4 W)
        plain = self.plain(torch.cat([radiomics, sizes, densities], dim=1))
        features = torch.tanh(self.fuse(pooled) + plain)
        attributes = 1.0 + (self.highest - 1.0) * torch.sigmoid(self.attributes(features))
        low, high = MALIGNANCY
        rating = low + (high - low) * torch.sigmoid(self.rating(features))
        return (
            features,
            self.grade(features),
            rating,
            attributes,
            self.calcified(features),
            self.implied_rating(attributes, sizes[:, LOG_DIAMETER]),
        )

    def implied_rating(self, attributes: Tensor, log_diameter: Tensor) -> Tensor:
        """Rating that attributes (B, 8) and the scaled logarithm of the size (B,) imply: (B, 1)."""
        terms = implied_terms((attributes - 1.0) / (self.highest - 1.0), log_diameter)
        return (terms @ self.implied_weight).unsqueeze(1)

    @torch.no_grad()
    def begin_with(self, weight: Tensor, mean: Tensor, deviation: Tensor) -> None:
        """Begin training where a regression on plain numbers ends.

        The first features become what the regression says of rating, attributes and calcium, each
        standardised and halved, and the heads read it there; the deep views begin as a small
        correction. The other features begin at random.

        Parameters
        ----------
        weight : Tensor of shape (10, d + 4)
            From radiomics, sizes and one to the standardised targets: rating, `ATTRIBUTES`,
            calcified (0 or 1).
        mean, deviation : Tensor of shape (10,)
            Of these targets, the first nine as shares of their scales, 0 to 1.
        """
        targets = len(weight)
        columns = weight.shape[1] - 1
        self.plain.weight[:targets] = 0.0
        self.plain.weight[:targets, :columns] = BEGIN_SCALE * weight[:, :columns]
        self.plain.bias[:targets] = BEGIN_SCALE * weight[:, columns]
        last = self.fuse[-1]
        assert isinstance(last, nn.Linear)  # noqa: S101 - for the type checker
        last.weight[:targets] *= 0.1
        last.bias[:targets] = 0.0
        steep = deviation / (mean * (1.0 - mean)) / BEGIN_SCALE  # slope of the logit
        middle = torch.logit(mean)
        for head in (self.grade, self.rating, self.attributes, self.calcified):
            head.weight.zero_()
        self.rating.weight[0, 0], self.rating.bias[0] = steep[0], middle[0]
        for column in range(len(ATTRIBUTES)):
            self.attributes.weight[column, 1 + column] = steep[1 + column]
            self.attributes.bias[column] = middle[1 + column]
        self.calcified.weight[0, targets - 1] = steep[-1]
        self.calcified.bias[0] = middle[-1]
        low, high = MALIGNANCY
        for column, limit in enumerate(GRADE_LIMITS):
            self.grade.weight[column, 0] = deviation[0] * (high - low) / GRADE_WIDTH / BEGIN_SCALE
            self.grade.bias[column] = (low + (high - low) * mean[0] - limit) / GRADE_WIDTH

    def _voi_tokens(self, image: Tensor, numbers: Tensor) -> Tensor:
        """The cube's tokens, the one of size and density before the others."""
        fine = self.level2(_voxels_to_channels(image[:, :NUMBERS]))  # (B, w2, S/2, S/2, S/2)
        middle = self.level4(fine)  # (B, w4, S/4, S/4, S/4)
        coarse = self.level8(middle)  # (B, W, S/8, S/8, S/8)
        finer = torch.cat(
            [functional.avg_pool3d(fine, 4), functional.avg_pool3d(middle, 2)], dim=1
        )  # (B, w2 + w4, S/8, S/8, S/8)
        tokens = coarse.flatten(2).transpose(1, 2)  # (B, T, W)
        tokens = tokens + self.finer(finer.flatten(2).transpose(1, 2)) + self.places
        size = self.size(numbers).unsqueeze(1)
        tokens = torch.cat([size, tokens], dim=1)  # (B, T + 1, W)
        mixed: Tensor = self.transformer(tokens)
        return mixed

    def _plane_tokens(self, image: Tensor) -> Tensor:
        """Three planes through the middle, one token each."""
        at = self.config.side // 2
        views = image[:, :NUMBERS]
        planes = torch.stack(
            [views[:, :, at], views[:, :, :, at], views[:, :, :, :, at]], dim=2
        )  # (B, 3 channels, 3 planes, S, S)
        seen: Tensor = self.planes(planes).mean(dim=(3, 4))  # (B, W, 3)
        return seen.transpose(1, 2) + self.plane_places


class _TransformerLayer(nn.Module):
    """Self-attention and a feed-forward part, both residual, each normalised before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.mixed = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.forth = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        query, key, value = self.mixed(self.before(tokens)).chunk(3, dim=-1)
        tokens = tokens + self.out(_attend(query, key, value, self.heads, None))
        further: Tensor = self.forth(self.between(tokens))
        return tokens + further


class _CrossAttention(nn.Module):
    """Tokens of one view look at those of another; what they take passes a gate.

    Shapes
    ------
    - tokens: (B, T, W); others: (B, U, W); there: (B, U), 1 for tokens that are there, else 0
    - answer: (B, T, W)
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.own = nn.LayerNorm(width)
        self.other = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.gate = nn.Linear(2 * width, width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, others: Tensor, there: Tensor | None) -> Tensor:
        """See the class for shapes."""
        own = self.own(tokens)
        key, value = self.key_value(self.other(others)).chunk(2, dim=-1)
        taken: Tensor = self.out(_attend(self.query(own), key, value, self.heads, there))
        gate = torch.sigmoid(self.gate(torch.cat([own, taken], dim=-1)))
        return tokens + gate * taken


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, there: Tensor | None) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., arXiv 1706.03762), written out.

    Shapes
    ------
    - query: (B, T, W); key, value: (B, U, W); there: (B, U)
    """
    batch, _, width = query.shape
    q, k, v = (
        item.reshape(batch, -1, heads, width // heads).transpose(1, 2)
        for item in (query, key, value)
    )  # (B, H, T or U, W / H)
    scores = q @ k.transpose(2, 3) * (width // heads) ** -0.5  # (B, H, T, U)
    if there is not None:
        scores = scores - 1e4 * (1.0 - there[:, None, None, :])
    mixed = torch.softmax(scores, dim=-1) @ v  # (B, H, T, W / H)
    return mixed.transpose(1, 2).reshape(batch, -1, width)


def implied_terms(shares: Tensor, log_diameter: Tensor) -> Tensor:
    """Attributes as shares of their scales (B, 8) and size (B,) -> terms (B, `QUADRATIC`)."""
    size = log_diameter.unsqueeze(1)
    return torch.cat([shares, shares**2, size, size**2, torch.ones_like(size)], dim=1)


def _densities(image: Tensor) -> Tensor:
    """Plain statistics inside the mask: mean, deviation, least and most of both windows, (B, 8)."""
    mask = image[:, MASK : MASK + 1].flatten(2).clamp(0.0, 1.0)  # (B, 1, N)
    windows = image[:, [LUNG, DENSE]].flatten(2)  # (B, 2, N)
    count = mask.sum(dim=2).clamp(min=1.0)  # (B, 1)
    mean = (windows * mask).sum(dim=2) / count  # (B, 2)
    square = (windows**2 * mask).sum(dim=2) / count
    deviation = torch.sqrt(torch.clamp(square - mean**2, min=1e-6))
    # Windows run from -1 to 1: shifted, so that what lies outside is neither least nor most.
    most = ((windows + 1.0) * mask).amax(dim=2)
    least = ((1.0 - windows) * mask).amax(dim=2)
    return torch.cat([mean, deviation, most, least], dim=1)


def _voxels_to_channels(image: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, 8 C, D/2, H/2, W/2)."""
    batch, channels, depth, height, width = image.shape
    d, h, w = depth // 2, height // 2, width // 2
    blocks = image.reshape(batch, channels, d, 2, h, 2, w, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return blocks.reshape(batch, 8 * channels, d, h, w)


def _conv3d(inside: int, outside: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(outside),
        nn.ReLU(),
    )


def _conv2d(inside: int, outside: int) -> nn.Sequential:
    """A convolution within planes that lie along the third axis; the same one for each."""
    return nn.Sequential(
        nn.Conv3d(inside, outside, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False),
        nn.BatchNorm3d(outside),
        nn.ReLU(),
    )
