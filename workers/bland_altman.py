"""A Bland-Altman plot as PNG: difference against mean, with bias and 95 % limits of agreement.

Bland and Altman, Lancet 1986;327:307. Drawn with Pillow, which image processing brings along.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (900, 600)
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 60
INK, GRID, DOT, LINE = (30, 30, 30), (220, 220, 220), (31, 90, 160), (190, 40, 40)
TICKS = 6


def draw_bland_altman(pairs_mm: Sequence[tuple[float, float]], path: Path, *, title: str) -> None:
    """Draw pairs of (true, found) diameters, mm.

    Raises
    ------
    ValueError
        Without at least two pairs.
    """
    if len(pairs_mm) < 2:
        raise ValueError(f"a Bland-Altman plot needs two pairs, got {len(pairs_mm)}")
    true, found = np.array(pairs_mm).T
    mean, difference = (true + found) / 2, found - true
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    reach = max(1.0, 1.1 * float(np.abs(difference).max()), 1.1 * (abs(bias) + spread))
    high = 1.05 * float(mean.max())

    def to_pixel(x: float, y: float) -> tuple[float, float]:
        width, height = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM
        return LEFT + x / high * width, TOP + (reach - y) / (2 * reach) * height

    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    for tick in np.linspace(0, high, TICKS):
        x, y = to_pixel(float(tick), -reach)
        pen.line([(x, TOP), (x, y)], fill=GRID)
        pen.text((x - 10, y + 6), f"{tick:.1f}", fill=INK)
    for tick in np.linspace(-reach, reach, TICKS + 1):
        x, y = to_pixel(0, float(tick))
        pen.line([(x, y), (SIZE[0] - RIGHT, y)], fill=GRID)
        pen.text((8, y - 6), f"{tick:+.1f}", fill=INK)
    for value, name in ((bias, "bias"), (bias + spread, "+1.96 SD"), (bias - spread, "-1.96 SD")):
        x, y = to_pixel(0, value)
        pen.line([(x, y), (SIZE[0] - RIGHT, y)], fill=LINE, width=2)
        pen.text((SIZE[0] - RIGHT - 110, y - 14), f"{name} {value:+.2f}", fill=LINE)
    for x_mm, y_mm in zip(mean, difference, strict=True):
        x, y = to_pixel(float(x_mm), float(y_mm))
        pen.ellipse([(x - 3, y - 3), (x + 3, y + 3)], fill=DOT)
    pen.text((LEFT, 12), f"{title}: {len(pairs_mm)} nodules", fill=INK)
    pen.text((LEFT + 250, SIZE[1] - 24), "mean of true and found long axis, mm", fill=INK)
    pen.text((8, TOP - 20), "found - true, mm", fill=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
