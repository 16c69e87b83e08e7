"""Charts as SVG that follow the page: its colours in light and dark, its type, any width.

Drawn here rather than by matplotlib: a report is written at the end of every run, and loading
matplotlib alone takes longer than many of them; its drawings have fixed colours and sizes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

from jaxmaze.reporting.blocks import Chart, Key
from jaxmaze.runs import palette

SERIES = len(palette.COLOURS)
"""Colours in the page's style."""
MOST = 300
"""Points drawn of a line; longer ones are averaged, and their ends kept. Of more than twice as many
dots, the lowest and the highest of each stretch are drawn."""
SMALL, WIDE, NARROW = (400, 220), (900, 330), (360, 250)
_TOP, _RIGHT, _BOTTOM = 10, 14, 40


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
      name: in the legend; lines without one are not listed.
      x: ``[P]``.
      y: ``[P]``; NaN where there is nothing.
      low: ``[P]`` lower end of a band around it, if there is one.
      high: ``[P]`` upper end.
      each: ``[M, P]`` thin lines beside it, such as one per seed.
      colour: the place of its colour in the palette, -1 for that of the text.
      style: ``""``, ``"dashed"``, ``"dots"`` or ``"bars"``.
      width: of bars, along x.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    each: np.ndarray | None = None
    colour: int = 0
    style: str = ""
    width: float = 0.0


class Axes(NamedTuple):
    """What the axes say, and the levels across the chart, by name."""

    x: str
    y: str
    levels: Sequence[tuple[str, float]] = ()
    log: bool = False
    whole: bool = False  # only whole numbers are written along x


def chart(
    title: str, lines: Sequence[Line], axes: Axes, note: str = "", wide: bool = False
) -> Chart | None:
    """A chart of lines; None if there is nothing to draw."""
    known = [line for line in map(_thinned, lines) if np.isfinite(line.y).any()]
    if not known:
        return None
    keys = [Key(x.name, f"{_colour(x)} {x.style}".strip()) for x in known if x.name]
    keys += [
        Key(f"{name}: {number(level)}", _level(i)) for i, (name, level) in enumerate(axes.levels)
    ]
    if len(keys) == 1:  # the title says it
        keys = [] if known[0].name else keys
    if not wide:
        return Chart(title, _svg(title, known, axes, SMALL), keys, note)
    narrow = _svg(title, known, axes, NARROW)
    return Chart(title, _svg(title, known, axes, WIDE), keys, note, narrow)


def number(x: float) -> str:
    """A number as people write it: some three digits, with thousands apart."""
    if not math.isfinite(x):
        return "-"
    if x and abs(x) < 1e-3:
        return f"{x:.1e}".replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(abs(x)))) if x else 0
    text = f"{x:,.{min(digits, 4)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def true_minus(text: str) -> str:
    """A text whose negative numbers have the minus sign of :func:`number`."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def _short(x: float) -> str:
    """A number beside an axis."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(x) >= size:
            return f"{x / (1e3 if unit == 'k' else size):.10g}{unit}".replace("-", "−")
    return f"{x:.6g}".replace("-", "−")


def _thinned(line: Line) -> Line:
    """At most ``MOST`` points, each the mean of those it stands for."""
    count = len(line.x)
    if count <= MOST or line.style == "bars":
        return line
    if line.style == "dots":
        return _extremes(line)
    edges = np.linspace(0, count, MOST + 1).astype(int)
    sizes = np.diff(edges)

    def mean(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        return np.add.reduceat(np.asarray(values, float), edges[:-1], -1) / sizes

    low, high, each = mean(line.low), mean(line.high), mean(line.each)
    x, y = (np.add.reduceat(np.asarray(v, float), edges[:-1]) / sizes for v in (line.x, line.y))
    x[0], x[-1] = line.x[0], line.x[-1]
    return line._replace(x=x, y=y, low=low, high=high, each=each)


def _extremes(line: Line) -> Line:
    """The lowest and the highest dot of each stretch."""
    known = np.flatnonzero(np.isfinite(line.y))
    if len(known) > 2 * MOST:
        stretches = np.array_split(known, MOST)
        ends = [(s[line.y[s].argmin()], s[line.y[s].argmax()]) for s in stretches]
        known = np.unique(np.ravel(ends))
    return line._replace(x=line.x[known], y=line.y[known])


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most`` + 1 of them."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * k for k in (1, 2, 5, 10, 20) if span / (power * k) <= most)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [0.0 if i == 0 else float(f"{i * step:.12g}") for i in range(first, last + 1)]


class _Scale(NamedTuple):
    """From values to positions."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        v, low, high = np.asarray(values, float), self.low, self.high
        if self.log:
            v, low, high = np.log(v), math.log(low), math.log(high)
        span = (high - low) or 1.0
        return self.start + (v - low) / span * (self.end - self.start)


def _reach(lines: Sequence[Line], axes: Axes) -> tuple[float, float]:
    """The range of the values, with a margin.

    Bands do not count beyond twice the range of the lines: with two or three seeds they are so wide
    that nothing else would be seen.
    """
    inner = [np.ravel(x) for line in lines for x in (line.y, line.each) if x is not None]
    values = np.concatenate([*inner, [level for _, level in axes.levels]])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9 * max(abs(low), abs(high)):  # the same number, but for rounding
        high = low
    span = high - low
    for line in lines:
        if line.low is not None and line.high is not None and np.isfinite(line.low).any():
            low = max(min(low, float(np.nanmin(line.low))), low - span / 2)
            high = min(max(high, float(np.nanmax(line.high))), high + span / 2)
    if any(line.style == "bars" for line in lines):  # they stand on 0
        return 0.0, 1.06 * high or 1.0
    margin = 0.06 * (high - low) or max(abs(high) * 0.05, 0.5)
    return low - margin, high + margin


def _svg(title: str, lines: Sequence[Line], axes: Axes, size: tuple[int, int]) -> Markup:
    """The drawing."""
    width, height = size
    low, high = _reach(lines, axes)
    marks = ticks(low, high, 5)
    left = 26 + 7 * max(len(_short(t)) for t in marks)
    ends = [np.asarray(line.x, float) for line in lines]
    half = max(line.width for line in lines) / 2
    first = min(float(x.min()) for x in ends) - half
    last = max(float(x.max()) for x in ends) + half
    if not half and not axes.log and 0 < first < 0.1 * last:
        first = 0.0
    if first == last:
        first, last = (first / 2, last * 2) if axes.log else (first - 0.5, last + 0.5)
    x = _Scale(first, last, left, width - _RIGHT, axes.log)
    y = _Scale(low, high, height - _BOTTOM, _TOP)
    parts = [*_frame(x, y, marks, axes, lines), *(_drawn(line, x, y) for line in lines)]
    for i, (_, level) in enumerate(axes.levels):
        parts.append(_path(_level(i), f"M{left},{float(y(level)):.1f}H{width - _RIGHT}"))
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, title, Markup("").join(parts)
    )


def _level(place: int) -> str:
    """The classes of a level across the chart; the second is dashed otherwise."""
    return "level" if place % 2 == 0 else "level other"


def _colour(line: Line) -> str:
    """The class of a line's colour; the teacher's, -1, is that of the text."""
    return "ink" if line.colour < 0 else f"series-{line.colour % SERIES}"


def _path(style: str, d: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(style, d)


def _text(x: float, y: float, anchor: str, text: str) -> Markup:
    form = '<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
    return Markup(form.format(x, y, anchor, escape(text)))


def _frame(
    x: _Scale, y: _Scale, marks: Sequence[float], axes: Axes, lines: Sequence[Line]
) -> list[Markup]:
    """Grid, numbers and names of both axes."""
    parts = []
    for mark in marks:
        at = float(y(mark))
        parts.append(_path("axis", f"M{x.start},{at:.1f}H{x.end}"))
        parts.append(_text(x.start - 6, at + 4, "end", _short(mark)))
    along = max(2, int((x.end - x.start) // 60))
    points = sorted({float(v) for v in lines[0].x}) if axes.log else ticks(x.low, x.high, along)
    for mark in points:
        if axes.whole and mark % 1:
            continue
        at = float(x(mark))
        parts.append(_text(at, y.start + 16, "middle", _short(mark)))
    middle = (x.start + x.end) / 2
    parts.append(_text(middle, y.start + 34, "middle", axes.x))
    turn = '<text transform="translate(13 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>'
    parts.append(Markup(turn.format((y.start + y.end) / 2, escape(axes.y))))
    return parts


def _drawn(line: Line, x: _Scale, y: _Scale) -> Markup:
    """A line with its band and its thin lines."""
    style, parts = _colour(line), []
    at = x(line.x)
    if line.low is not None and line.high is not None:
        ok = np.isfinite(line.low) & np.isfinite(line.high)
        low, high = (y(np.clip(v[ok], y.low, y.high)) for v in (line.low, line.high))
        if ok.sum() > 1:
            there = _points(at[ok], low)
            back = _points(at[ok][::-1], high[::-1])
            parts.append(_path(f"band {style}", f"M{there}L{back}Z"))
    for each in () if line.each is None else line.each:
        parts.append(_path(f"thin {style}", _run(at, y(each))))
    if line.style == "bars":
        return _bars(line, style, x, y)
    if line.style == "dots" or np.isfinite(line.y).sum() == 1:
        dot = '<circle class="fill {}" cx="{:.1f}" cy="{:.1f}" r="2.6"/>'
        ok = np.isfinite(line.y)
        parts += [Markup(dot.format(style, *xy)) for xy in zip(at[ok], y(line.y)[ok], strict=True)]
    if line.style != "dots":
        parts.append(_path(f"line {style} {line.style}".strip(), _run(at, y(line.y))))
    return Markup("").join(parts)


def _bars(line: Line, style: str, x: _Scale, y: _Scale) -> Markup:
    """Bars from 0 up, with a little room between them."""
    ok = np.isfinite(line.y)
    left, right = x(line.x[ok] - 0.46 * line.width), x(line.x[ok] + 0.46 * line.width)
    d = "".join(
        f"M{a:.1f},{y.start:.1f}V{top:.1f}H{b:.1f}V{y.start:.1f}Z"
        for a, b, top in zip(left, right, y(line.y[ok]), strict=True)
    )
    return _path(f"bar {style}", d)


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _run(x: np.ndarray, y: np.ndarray) -> str:
    """A path through the known points."""
    ok = np.isfinite(y)
    return f"M{_points(x[ok], y[ok])}" if ok.any() else "M0,0"
