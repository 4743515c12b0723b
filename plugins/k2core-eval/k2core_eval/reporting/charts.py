"""Charts as inline SVG. Positions are percentages and sizes pixels, so that they fit any width while their text keeps its size.

Every chart stands beside a table with the same figures; its label says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from .text import line, plain, shown

HEIGHT = 320
"""Pixels of a plot."""

SHAPES = 4
"""Forms of dots, so that series differ by more than colour."""


class Point(NamedTuple):
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""


class Series(NamedTuple):
    """`points` are dots with their intervals; `path` is a dashed line through points without."""

    name: str
    points: Sequence[Point]
    path: Sequence[Point] = ()


def svg(height: int, label: str, body: str | Markup) -> Markup:
    return Markup('<svg height="{}" role="img" aria-label="{}" focusable="false">{}</svg>').format(
        height, plain(label), Markup(body)
    )


def interval(value: float, low: float, high: float, axis: tuple[float, float], label: str, claim: float | None = None) -> Markup:
    """A dot with its interval on `axis`, for a cell of a table; `claim` is a published score, drawn as a stroke."""
    at = _scale(*axis)
    body = '<line class="grid" x1="0%" x2="100%" y1="10" y2="10"/>'
    body += f'<line class="whisker" x1="{at(low)}" x2="{at(high)}" y1="10" y2="10"/>'
    body += f'<circle class="dot" cx="{at(value)}" cy="10" r="4.5"/>'
    if claim is not None:
        body += f'<line class="claim" x1="{at(claim)}" x2="{at(claim)}" y1="2" y2="18"/>'
    return svg(20, label, body)


def difference(value: float, low: float, high: float, reach: float, label: str) -> Markup:
    """An interval of a difference around a line at zero."""
    zero = Markup('<line class="axis" x1="50%" x2="50%" y1="0" y2="20"/>')
    return zero_first(interval(value, low, high, (-reach, reach), label), zero)


def zero_first(chart: Markup, zero: Markup) -> Markup:
    at = chart.index(">") + 1
    return Markup(chart[:at] + zero + chart[at:])


def stacked(parts: Sequence[tuple[str, float]], label: str) -> Markup:
    """One bar of shares, each of a class that has a colour, with a gap between neighbours."""
    total = sum(size for _, size in parts) or 1
    at, body = 0.0, ""
    for name, size in parts:
        share = 100 * size / total
        body += (
            f'<rect class="{escape(name)}" x="{_n(at)}%" y="2" width="{_n(max(share - 0.25, share * 0.7))}%" height="14"/>'
            if size
            else ""
        )
        at += share
    return svg(18, label, body)


def bars(counts: Sequence[int], top: int, kind: str, label: str) -> Markup:
    """A histogram with bins of equal width; `kind` is the class of their colour."""
    width = 100 / max(1, len(counts))
    body = '<line class="axis" x1="0%" x2="100%" y1="44" y2="44"/>'
    for i, count in enumerate(counts):
        height = _n(42 * count / max(1, top)) if count else "0"
        if count:
            place = f'x="{_n(i * width + 0.15)}%" y="{_n(44 - float(height))}" width="{_n(width - 0.3)}%" height="{height}"'
            body += f'<rect class="{escape(kind)}" {place}/>'
    return svg(46, label, body)


def scatter(series: Sequence[Series], label: str, x_title: str, y_title: str) -> Markup:
    """Accuracy (0..1) against tokens; the x axis is logarithmic where the points span more than a factor of 4."""
    points = [p for s in series for p in (*s.points, *s.path)]
    xs = [p.x for p in points if p.x > 0] or [1.0]
    logarithmic = max(xs) > 4 * min(xs)
    x_ticks, x_at = _x_axis(min(xs), max(xs), logarithmic)
    low, high = bounds([v for p in points for v in (p.y, p.low, p.high) if v is not None])
    y_at = _scale(high, low)
    body = ""
    for tick in ticks(low, high):
        body += f'<line class="grid" x1="0%" x2="100%" y1="{y_at(tick)}" y2="{y_at(tick)}"/>'
        body += f'<text x="-6" y="{y_at(tick)}" dy="4" text-anchor="end">{_n(100 * tick)}</text>'
    for tick in x_ticks:
        body += f'<line class="grid" x1="{x_at(tick)}" x2="{x_at(tick)}" y1="0%" y2="100%"/>'
        body += f'<text x="{x_at(tick)}" y="100%" dy="18" text-anchor="middle">{short(tick)}</text>'
    body += f'<text x="100%" y="100%" dy="36" text-anchor="end">{escape(x_title)}{", logarithmic" if logarithmic else ""}</text>'
    body += f'<text x="-46" y="-8">{escape(y_title)}</text>'
    for number, one in enumerate(series):
        body += _series(one, number, x_at, y_at)
    return svg(HEIGHT, label, body + _labels(series, x_at, y_at))


def _series(series: Series, number: int, x_at: _Scale, y_at: _Scale) -> str:
    body = f'<g class="s{number % 8}">'
    for a, b in zip(series.path, series.path[1:], strict=False):
        body += f'<line class="path" x1="{x_at(a.x)}" y1="{y_at(a.y)}" x2="{x_at(b.x)}" y2="{y_at(b.y)}"/>'
    for p in series.path[1:]:
        body += f'<circle class="dot" cx="{x_at(p.x)}" cy="{y_at(p.y)}" r="2.5"/>'
    for p in series.points:
        x = x_at(p.x)
        if p.low is not None and p.high is not None:
            body += f'<line class="whisker" x1="{x}" x2="{x}" y1="{y_at(p.low)}" y2="{y_at(p.high)}"/>'
        body += mark(number, x, y_at(p.y))
    return body + "</g>"


def _labels(series: Sequence[Series], x_at: _Scale, y_at: _Scale) -> str:
    """Names beside the dots, above everything, each moved down until it covers no other on a narrow screen."""
    body = ""
    taken: list[tuple[float, float]] = []
    for point in sorted((p for s in series for p in s.points), key=lambda p: -p.y):
        x, y = float(x_at(point.x)[:-1]), float(y_at(point.y)[:-1]) * HEIGHT / 100
        while any(abs(y - other) < 15 and abs(x - at) < 45 for at, other in taken):
            y += 3
        taken.append((x, y))
        left = x > 60
        place = f'dx="{-11 if left else 11}" dy="4" text-anchor="{"end" if left else "start"}"'
        body += f'<text class="label" x="{_n(x)}%" y="{_n(y)}" {place}>{shown(line(point.label, 40))}</text>'
    return body


def mark(number: int, x: str, y: str) -> str:
    """The dot of a series: circle, square, diamond, triangle in turn; nested, as only viewports are placed by percentages."""
    form = (
        '<circle class="dot" r="5.5"/>',
        '<rect class="dot" x="-5" y="-5" width="10" height="10"/>',
        '<path class="dot" d="M0-7 7 0 0 7-7 0Z"/>',
        '<path class="dot" d="M0-6.5 6.5 5.5H-6.5Z"/>',
    )[number % SHAPES]
    return f'<svg x="{x}" y="{y}" width="1" height="1">{form}</svg>'


class _Scale:
    """Maps values to percentages."""

    def __init__(self, low: float, high: float, logarithmic: bool = False) -> None:
        self.logarithmic = logarithmic
        self.low, self.high = (math.log(low), math.log(high)) if logarithmic else (low, high)

    def __call__(self, value: float) -> str:
        value = math.log(max(value, 1e-9)) if self.logarithmic else value
        return f"{_n(100 * (value - self.low) / ((self.high - self.low) or 1))}%"


def _scale(low: float, high: float) -> _Scale:
    return _Scale(low, high)


def _x_axis(low: float, high: float, logarithmic: bool) -> tuple[list[float], _Scale]:
    if not logarithmic:
        at = ticks(0, high * 1.12, 5)
        return at, _Scale(0, max(at[-1], high * 1.12))
    low, high = low * 0.75, high * 1.5
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    at = [step * 10.0**d for d in decades for step in (1, 2, 5) if low <= step * 10.0**d <= high]
    return (at if len(at) <= 6 else [t for t in at if str(int(t)).startswith("1")]), _Scale(low, high, logarithmic=True)


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """The part of 0..1 that an axis shows: all values with some room, in steps of 0.1."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return max(0.0, math.floor(low * 10 - 0.2) / 10), min(1.0, math.ceil(high * 10 + 0.2) / 10)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values between `low` and `high`, at most `most` + 1."""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9)))
    step = next((s for s in (step / 10, step / 5, step / 2, step, step * 2) if (high - low) / s <= most), step * 5)
    return [round(i * step, 10) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def short(number: float) -> str:
    """1234567 as 1.23 M: three digits."""
    for size, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{name}"
    return f"{number:.3g}"


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".") if math.isfinite(number) else "0"
