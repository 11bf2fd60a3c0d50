"""Small charts as SVG, drawn here: no script, no style attribute, words for whoever sees none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from workers.usecases.overview import Trend

WIDTH, HEIGHT = 480.0, 120.0
TOP, BOTTOM, LEFT, RIGHT = 14.0, 16.0, 30.0, 14.0
ROUND = (1, 2, 5)


def trend_chart(trend: Trend, *, label: str, marks: str, every: int) -> Markup:
    """Received, arrived and stopped over time: one group of bars for each part.

    Parameters
    ----------
    label : str
        What it shows, for whoever sees no picture.
    marks : str
        `strftime` format of the labels below.
    every : int
        Parts from one label to the next, counted from the newest.
    """
    top = ceiling(max((*trend.received, *trend.arrived, *trend.stopped), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(trend.starts))
    parts = [_scale(top)]
    for index, start in enumerate(trend.starts):
        x = LEFT + index * step
        counts = (trend.received[index], trend.arrived[index], trend.stopped[index])
        parts.append(_group(x, step, counts, top, f"{start:{marks}}"))
        if (len(trend.starts) - 1 - index) % every == 0:
            parts.append(
                Markup(
                    '<text class="mark" x="{:.1f}" y="{:.0f}" text-anchor="middle">{}</text>'
                ).format(x + step / 2, HEIGHT - 3, f"{start:{marks}}")
            )
    said = (
        f"{label}: {sum(trend.received)} received, {sum(trend.arrived)} arrived, "
        f"{sum(trend.stopped)} stopped"
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, said, Markup("").join(parts))


def share_bar(shares: Sequence[float], *, label: str, kind: str = "level") -> Markup:
    """One bar whose pieces are shares of a whole, each of its own shade (class ``KIND-N``)."""
    whole = sum(shares)
    x, pieces = 0.0, []
    for number, share in enumerate(shares, start=1):
        width = 100 * share / whole if whole else 0.0
        pieces.append(
            Markup('<rect class="{}-{}" x="{:.2f}" y="0" width="{:.2f}" height="10"/>').format(
                kind, number, x, width
            )
        )
        x += width
    return Markup(
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><rect class="rest" width="100" height="10"/>{}</svg>'
    ).format(label, Markup("").join(pieces))


def meter(share: float, *, label: str, kind: str = "") -> Markup:
    """A bar that is filled to a share between 0 and 1; below 0 it is empty."""
    filled = 100 * min(1.0, max(0.0, share))
    return Markup(
        '<svg class="share meter {}" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><rect class="rest" width="100" height="10"/>'
        '<rect class="filled" width="{:.2f}" height="10"/></svg>'
    ).format(kind, label, filled)


def signed_meter(value: float, largest: float, *, label: str) -> Markup:
    """A bar from the middle: to the right what raises, to the left what lowers."""
    half = 50 * min(1.0, abs(value) / largest) if largest else 0.0
    return Markup(
        '<svg class="share meter {}" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><rect class="rest" width="100" height="10"/>'
        '<rect class="filled" x="{:.2f}" width="{:.2f}" height="10"/>'
        '<rect class="middle" x="49.7" width=".6" height="10"/></svg>'
    ).format("raises" if value >= 0 else "lowers", label, 50.0 if value >= 0 else 50 - half, half)


def ceiling(value: float) -> int:
    """The smallest of 1, 2, 5, 10, 20 ... that is not below a value."""
    size = 1
    while True:
        for step in ROUND:
            if step * size >= value:
                return step * size
        size *= 10


def day_of(start: datetime) -> str:
    """A day as the charts name it."""
    return f"{start:%d.%m.}"


def _scale(top: int) -> Markup:
    return Markup("").join(
        Markup(
            '<line class="grid" x1="{:.0f}" x2="{:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            '<text class="mark" x="{:.0f}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, LEFT - 4, _y(value, top) + 3, f"{value:g}", y=_y(value, top))
        for value in ((0, top) if top % 2 else (0, top // 2, top))
    )


def _group(x: float, step: float, counts: tuple[int, int, int], top: int, when: str) -> Markup:
    received, arrived, stopped = counts
    said = f"{when}: {received} received, {arrived} arrived, {stopped} stopped"
    inner = step * 0.8
    left = x + (step - inner) / 2
    bars = [
        _bar("received", left, inner, received, top),
        _bar("arrived", left + inner * 0.18, inner * 0.64, arrived, top),
    ]
    if stopped:
        bars.append(_bar("stopped", left + inner * 0.36, inner * 0.28, stopped, top))
    hit = Markup('<rect class="hit" x="{:.1f}" y="{:.0f}" width="{:.1f}" height="{:.0f}"/>').format(
        x, TOP, step, HEIGHT - TOP - BOTTOM
    )
    return Markup("<g><title>{}</title>{}{}</g>").format(said, hit, Markup("").join(bars))


def _bar(kind: str, x: float, width: float, value: int, top: int) -> Markup:
    y = _y(value, top)
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        kind, x, y, width, max(0.0, HEIGHT - BOTTOM - y)
    )


def _y(value: float, top: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
