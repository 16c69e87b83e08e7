"""Clones against the number of episodes: a table, a figure and a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxmaze.core.types import Json, JsonMap
from jaxmaze.runs import intervals, report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLONES, TEACHER = "#0072B2", "#D55E00"  # Okabe & Ito (2008): told apart by all eyes
HEADER = (
    "episodes",
    "steps",
    "draws x seeds",
    "return: IQM [95 %]",
    "gain on the row above [95 %]",
)
COLUMNS = ("episodes", "draw", "seed", "steps", "mean_return", "std_return", "test_episodes")


class Point(NamedTuple):
    """Clones of one number of episodes, which were drawn ``D`` times.

    Attributes:
      episodes: the number of episodes.
      steps: ``[D]`` steps in them.
      seeds: ``[D, M]`` of the clones.
      returns: ``[D, M, E]`` on the test episodes.
    """

    episodes: int
    steps: np.ndarray
    seeds: np.ndarray
    returns: np.ndarray

    def table(self) -> np.ndarray:
        """Returns as :func:`jaxmaze.runs.intervals.estimate` takes them.

        Clones of one draw share their episodes, so that each draw counts as one sample; with a
        single draw, each clone does.
        """
        return self.returns.mean(1) if len(self.returns) > 1 else self.returns[0]


def summary(points: Sequence[Point]) -> list[Json]:
    """The block of each point in summary.json, in order of the number of episodes."""
    blocks: list[Json] = []
    for i, point in enumerate(points):
        # Paired: the test episodes are the same, and each draw contains the smaller one's episodes.
        gained = None if i == 0 else intervals.estimate(point.table() - points[i - 1].table())
        blocks.append(
            {
                "episodes": point.episodes,
                "steps": float(point.steps.mean()),
                "draws": len(point.returns),
                "members": point.returns.shape[1],
                **report.block(intervals.estimate(point.table())),
                "gain": None if gained is None else report.block(gained),
                "of_draws": point.returns.mean((1, 2)).tolist(),
            }
        )
    return blocks


def rows(blocks: Sequence[JsonMap]) -> list[tuple[str, ...]]:
    """The table, one row per number of episodes."""
    return [
        (
            str(b["episodes"]),
            f"{b['steps']:,.0f}",
            f"{b['draws']} x {b['members']}",
            report.span(b),
            report.span(b["gain"]),
        )
        for b in blocks
    ]


def write_csv(path: Path, points: Sequence[Point]) -> None:
    """Write one line per clone."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for p in points:
            for d, m in np.ndindex(*p.seeds.shape):
                x = p.returns[d, m]
                first = (p.episodes, d, int(p.seeds[d, m]), int(p.steps[d]))
                writer.writerow((*first, float(x.mean()), float(x.std()), len(x)))


def figure(blocks: Sequence[JsonMap], teacher: float, title: str) -> Figure:
    """Returns against episodes: the interquartile mean, its interval, each draw, the teacher."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.add_subplot()
    x = [b["episodes"] for b in blocks]
    value, low, high = (np.array([b[k] for b in blocks]) for k in ("iqm", "iqm_low", "iqm_high"))
    axes.fill_between(x, low, high, color=CLONES, alpha=0.2, lw=0, label="95 % interval")
    axes.plot(x, value, "o-", color=CLONES, label="clones: IQM")
    draws = [(b["episodes"], y) for b in blocks for y in b["of_draws"]]
    if len(draws) > len(x):
        axes.plot(*zip(*draws, strict=True), "x", color=CLONES, ms=5, alpha=0.6, label="each draw")
    axes.axhline(teacher, color=TEACHER, ls="--", lw=1.5, label="teacher, as recorded")
    # Scale by the draws, not the interval: with two draws it is so wide that it hides the rest.
    shown = [*(y for _, y in draws), teacher]
    margin = 0.15 * max(max(shown) - min(shown), 1e-6)
    axes.set_ylim(min(shown) - margin, max(shown) + margin)
    if max(x) >= 10 * min(x):
        axes.set_xscale("log")
    axes.set_xticks(x, [str(n) for n in x])
    axes.minorticks_off()
    axes.set(xlabel="recorded episodes", ylabel="return on the test episodes", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    return fig
