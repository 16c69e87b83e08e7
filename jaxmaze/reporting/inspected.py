"""What is told of inspected data: the checks, and charts of the numbers beside its figures."""

from __future__ import annotations

import csv

import numpy as np

from jaxmaze.core.words import counted
from jaxmaze.inspection.survey import ENDS
from jaxmaze.reporting.blocks import Block, Section, Table, Tile
from jaxmaze.reporting.charts import Axes, Chart, Line, chart, true_minus
from jaxmaze.reporting.facts import Facts
from jaxmaze.reporting.story import Story, some
from jaxmaze.runs import palette

TEACHERS = -1
COLOURS = (0, 1, 2, TEACHERS)
"""By how an episode ended, as in the figures."""
BINS = 20
SMOOTH_FROM = 20
"""Episodes from which on a moving average is drawn."""


def story(facts: Facts) -> Story:
    """Recorded episodes, inspected."""
    s = facts.summary
    rows = [(name, c["verdict"], true_minus(c["says"])) for name, c in s.get("checks", {}).items()]
    table = Table("", ("check", "verdict", "what it means"), rows, left=(0, 1, 2))
    tiles = []
    if s:
        held = counted(s["data"]["episodes"], "episode", ",")
        tiles = [Tile("verdict", s["verdict"], f"{held}, {s['data']['steps']:,} steps")]
    drawn = {
        "Episodes": [*_by_episode(facts, "returns"), *_by_episode(facts, "lengths")],
        "Actions": _actions(facts),
        "Numbers of the observation": _features(facts),
    }
    return Story(
        f"Recorded episodes in {facts.about.get('data')}, inspected.",
        tiles,
        [Section("Checks", [table]), *(Section(title, found) for title, found in drawn.items())],
    )


def _numbers(facts: Facts, name: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a figure's CSV; empty if it is not there, or damaged."""
    path = facts.run / "report" / f"{name}.csv"
    try:
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error):
        return [], []
    return header, [row for row in rows if len(row) == len(header)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _column(rows: list[list[str]], place: int) -> np.ndarray:
    """A column's numbers ``[R]``, NaN where there is none, or an infinite one."""
    found = np.array([_number(row[place]) for row in rows])
    return np.where(np.isfinite(found), found, np.nan)


def _by_episode(facts: Facts, name: str) -> list[Block]:
    """Each episode's return or length by how it ended, and how many have which."""
    header, rows = _numbers(facts, name)
    if len(header) != 3 or not rows:
        return []
    what = {"return": "return", "length": "length, steps"}.get(header[1], header[1])
    episode, values = _column(rows, 0), _column(rows, 1)
    known = np.isfinite(values)
    lines = [
        Line(end, episode, np.where([row[2] == end for row in rows], values, np.nan), colour=colour)
        for end, colour in zip(ENDS, COLOURS, strict=True)
    ]
    median = [("median", float(np.median(values[known])))] if known.any() else []
    lines = [line._replace(style="dots") for line in lines]
    left = len(values) - int(known.sum())
    note = f"{counted(left, 'episode')} without a finite number left out." if left else ""
    axes = Axes("episode, in the order of recording", what, median, whole=True)
    each = chart(f"{header[1].capitalize()} of each episode", lines, axes, note)
    return some(each, _histogram(values[known], header[1], what))


def _histogram(values: np.ndarray, name: str, what: str) -> Chart | None:
    """How many episodes have which return or length."""
    if not len(values):
        return None
    count, edges = np.histogram(values, min(BINS, max(5, len(values) // 3)))
    middle, width = (edges[1:] + edges[:-1]) / 2, float(edges[1] - edges[0])
    bars = Line("", middle, count.astype(float), style="bars", width=width)
    return chart(f"How many episodes have which {name}", [bars], Axes(what, "episodes"))


def _actions(facts: Facts) -> list[Block]:
    """How often each action was taken."""
    header, rows = _numbers(facts, "actions")
    if len(header) != 4:
        return []
    found: list[Chart | None] = []
    for name in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == name]
        low, high, share = (_column(mine, place) for place in (1, 2, 3))
        discrete = bool((low == high).all())
        width = 1.0 if discrete else float(high[0] - low[0])
        bars = Line("", (low + high) / 2, share, style="bars", width=width)
        axes = Axes("action" if discrete else "value", "% of the steps", whole=discrete)
        found.append(chart(name, [bars], axes))
    return some(*found)


def _features(facts: Facts) -> list[Block]:
    """The mean of each number of the observation in each episode."""
    header, rows = _numbers(facts, "features")
    episode, many = _column(rows, 0) if rows else np.zeros(0), len(rows) >= SMOOTH_FROM
    found: list[Chart | None] = []
    for place, name in enumerate(header[1:], 1):
        values = _column(rows, place)
        lines = [Line("mean of each episode", episode, values, style="dots")]
        if many:
            width = len(rows) // 10
            smooth = np.convolve(values, np.full(width, 1 / width), "valid")
            at = episode[width // 2 :][: len(smooth)]
            orange = palette.COLOURS.index(palette.KNOWN["from_scratch"])
            lines.append(Line("moving average over a tenth of them", at, smooth, colour=orange))
        axes = Axes("episode, in the order of recording", "mean", whole=True)
        found.append(chart(name, lines, axes))
    return some(*found)
