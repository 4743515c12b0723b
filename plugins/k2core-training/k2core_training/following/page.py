"""Panels as one HTML page: drawn as SVG within it, light or dark as the reader's system, without any request to elsewhere."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from .series import Line, Panel

Place: TypeAlias = Callable[[float], float]

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 420, 240, 56, 24, 10, 10
DRAWN = 600
"""Points of a line at most; more are averaged."""
COLOURS = 8
STYLE = """
:root{color-scheme:light dark;--ink:#1c1e21;--paper:#fff;--faint:#d5d8dc;--c0:#2563ab;--c1:#b4441a;--c2:#2a7d46;--c3:#8a3fa0;
--c4:#a67c00;--c5:#0b7d86;--c6:#b0305c;--c7:#5b5f66}
@media(prefers-color-scheme:dark){:root{--ink:#e4e6e9;--paper:#16181b;--faint:#3a3e44;--c0:#7db3ee;--c1:#f0916a;--c2:#7bcf97;
--c3:#cf9ae0;--c4:#e0bb55;--c5:#66cdd6;--c6:#ef86ac;--c7:#a9aeb6}}
body{font:14px/1.5 system-ui,sans-serif;background:var(--paper);color:var(--ink);margin:1.5rem auto;max-width:90rem;padding:0 1rem}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(22rem,1fr));gap:1rem}
figure{margin:0}figcaption{font-weight:600}svg{width:100%;height:auto;overflow:visible}
text{fill:var(--ink);font-size:11px}.grid{stroke:var(--faint);stroke-width:1}polyline{fill:none;stroke-width:1.6}
.raw{opacity:.3;stroke-width:1}li{list-style:none}.key{display:inline-block;width:1em;height:.3em;margin-right:.5em;vertical-align:middle}
"""


def page(panels: Sequence[Panel], sources: Sequence[str]) -> str:
    """The page, with the names of what was read."""
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    colour = {label: f"var(--c{number % COLOURS})" for number, label in enumerate(labels)}
    keys = "".join(f'<li><span class="key" style="background:{colour[label]}"></span>{html.escape(label)}</li>' for label in labels)
    read = "".join(f"<li><code>{html.escape(source)}</code></li>" for source in sources)
    figures = "\n".join(_figure(panel, colour) for panel in panels)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Training</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>Training</h1><ul>{keys}</ul>\n<main>\n{figures}\n</main>\n"
        f"<h2>Read</h2><ul>{read}</ul></body></html>\n"
    )


def _figure(panel: Panel, colour: dict[str, str]) -> str:
    low, high = _range([value for line in panel.lines for value in line.values])
    first = min(line.steps[0] for line in panel.lines)
    last = max(max(line.steps[-1] for line in panel.lines), first + 1)
    name = html.escape(panel.name.replace("_", " "))

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    parts = [f'<figure><figcaption>{name}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">']
    for tick in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for step in (first, (first + last) // 2, last):
        parts.append(f'<text x="{x(step):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{step:,}</text>')
    for line in panel.lines:
        parts += _drawn(line, colour[line.label], x, y)
    return "".join([*parts, "</svg></figure>"])


def _drawn(line: Line, colour: str, x: Place, y: Place) -> Iterator[str]:
    points = list(_thinned(line))
    at = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
    smooth = list(_smoothed(points)) if len(points) >= 40 else []
    title = f"<title>{html.escape(line.label)}</title>"
    yield f'<polyline class="{"raw" if smooth else "line"}" stroke="{colour}" points="{at}">{title}</polyline>'
    if smooth:
        at = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in smooth)
        yield f'<polyline class="line" stroke="{colour}" points="{at}">{title}</polyline>'
    if len(points) < 30:
        yield from (f'<circle cx="{x(s):.1f}" cy="{y(v):.1f}" r="2" fill="{colour}"/>' for s, v in points)


def _thinned(line: Line) -> Iterator[tuple[float, float]]:
    """Averages of neighbours, where there are more points than can be seen."""
    step = -(-len(line.steps) // DRAWN)
    for at in range(0, len(line.steps), step):
        some, values = line.steps[at : at + step], line.values[at : at + step]
        yield sum(some) / len(some), sum(values) / len(values)


def _smoothed(points: Sequence[tuple[float, float]], keep: float = 0.9) -> Iterator[tuple[float, float]]:
    """Exponential mean, corrected for its start."""
    mean, share = 0.0, 0.0
    for step, value in points:
        mean, share = keep * mean + (1 - keep) * value, keep * share + 1 - keep
        yield step, mean / share


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high, tiny = min(values), max(values), 1e-280
    if high - low > 1e-12 * max(abs(low), abs(high), tiny):
        return low, high
    margin = 0.5 * (abs(low) if abs(low) > tiny else 1.0)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers within the range."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    start = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(start, math.floor(high / step + 1e-9) + 1)]
