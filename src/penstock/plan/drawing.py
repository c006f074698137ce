"""A small SVG writer: panels with axes, lines, bands and stacked bars. Knows nothing of plans."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

WIDTH, HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 26, 44, 48
COLOURS = ("#1b6ca8", "#d1495b", "#3c8d40", "#8a5fbf", "#c77c11", "#5c6773")
"""Told apart by people who see red and green alike, by lightness."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through `points`; `low` and `high` are the edges of its band, if it has any."""

    label: str
    points: Sequence[tuple[float, float]]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over two axes that begin at 0; `mark` is a point of x worth a vertical line."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    mark: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """One bar made of parts, (label, size) each; the sum is `whole`."""

    title: str
    unit: str
    parts: Sequence[tuple[str, float]]

    @property
    def whole(self) -> float:
        """All parts together."""
        return sum(size for _, size in self.parts)


def page(panels: Sequence[Chart | Stack], title: str, note: str = "") -> str:
    """An SVG document with the panels below each other, and a note at the foot."""
    tall = [HEIGHT if isinstance(panel, Chart) else 150 for panel in panels]
    body, top = [], 40
    for panel, height in zip(panels, tall, strict=True):
        drawn = _chart(panel) if isinstance(panel, Chart) else _stack(panel)
        body.append(f'<g transform="translate(0,{top})">{drawn}</g>')
        top += height
    if note:
        top += 24
        body.append(_text(_RIGHT, top - 12, note, size=10))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{_text(WIDTH / 2, 26, title, 'middle', 15)}{''.join(body)}</svg>\n"
    )


def ticks(most: float) -> list[float]:
    """Four to eight round numbers from 0 that reach `most`."""
    if most < 1e-9:
        return [0.0, 1.0]
    step = 10.0 ** floor(log10(most / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if most / (step * factor) <= 6)
    count = int(most / step + 0.999999)
    return [step * number for number in range(count + 1)]


def _chart(chart: Chart) -> str:
    highest = [
        value for line in chart.lines for value in (*line.high, *(y for _, y in line.points))
    ]
    across = ticks(max((x for line in chart.lines for x, _ in line.points), default=1))
    up = ticks(max(highest, default=1))
    wide, tall = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> str:
        return f"{_LEFT + x / across[-1] * wide:.1f},{_TOP + tall - y / up[-1] * tall:.1f}"

    drawn = [_text(_LEFT, 16, chart.title, size=13), _axes(chart, across, up)]
    for line, colour in zip(chart.lines, COLOURS, strict=False):
        xs = [x for x, _ in line.points]
        if line.low:
            edge = [at(x, y) for x, y in zip(xs, line.high, strict=True)]
            edge += [at(x, y) for x, y in zip(reversed(xs), reversed(line.low), strict=True)]
            drawn.append(f'<polygon points="{" ".join(edge)}" fill="{colour}" opacity="0.15"/>')
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        path = " ".join(at(x, y) for x, y in line.points)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )
    if chart.mark:
        x, name = chart.mark
        top, foot = at(x, up[-1]), at(x, 0)
        drawn.append(f'<path d="M{top}L{foot}" stroke="#888" stroke-dasharray="2 3"/>')
        drawn.append(_text(float(top.split(",")[0]) + 4, _TOP + 10, name, size=11))
    return "".join(drawn) + _legend(chart)


def _axes(chart: Chart, across: Sequence[float], up: Sequence[float]) -> str:
    wide, tall = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    foot = _TOP + tall
    drawn = []
    for value in up:
        y = foot - value / up[-1] * tall
        drawn.append(f'<path d="M{_LEFT} {y:.1f}h{wide}" stroke="#ddd"/>')
        drawn.append(_text(_LEFT - 6, y + 4, _number(value), "end", 11))
    for value in across:
        x = _LEFT + value / across[-1] * wide
        drawn.append(_text(x, foot + 16, _number(value), "middle", 11))
    drawn.append(f'<path d="M{_LEFT} {_TOP}V{foot}H{WIDTH - _RIGHT}" stroke="#333" fill="none"/>')
    drawn.append(_text(_LEFT + wide / 2, foot + 34, chart.x, "middle"))
    drawn.append(
        f'<text transform="translate(14,{_TOP + tall / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(chart.y)}</text>"
    )
    return "".join(drawn)


def _legend(chart: Chart) -> str:
    drawn, x = [], float(_LEFT)
    for line, colour in zip(chart.lines, COLOURS, strict=False):
        drawn.append(f'<path d="M{x:.0f} 30h16" stroke="{colour}" stroke-width="3"/>')
        drawn.append(_text(x + 20, 34, line.label, size=11))
        x += 34 + 6.4 * len(line.label)
    return "".join(drawn)


def _stack(stack: Stack) -> str:
    wide, x = WIDTH - 2 * _RIGHT, float(_RIGHT)
    drawn = [_text(_RIGHT, 16, stack.title, size=13)]
    for number, (label, size) in enumerate(stack.parts):
        colour = COLOURS[number % len(COLOURS)]
        long = max(size, 0) / stack.whole * wide
        drawn.append(f'<rect x="{x:.1f}" y="28" width="{long:.1f}" height="34" fill="{colour}"/>')
        x += long
        row, column = divmod(number, 3)
        left = _RIGHT + column * wide / 3
        drawn.append(
            f'<rect x="{left:.0f}" y="{76 + row * 20}" width="11" height="11" fill="{colour}"/>'
        )
        told = f"{label} {size:.1f} {stack.unit}"
        drawn.append(_text(left + 17, 86 + row * 20, told, size=11))
    return "".join(drawn)


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(words)}</text>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"
