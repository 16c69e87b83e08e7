"""Clones against the number of episodes: a table, a figure and a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxmaze.core.types import Json, JsonMap
from jaxmaze.runs import intervals, palette, report, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def figure(blocks: Sequence[JsonMap], teacher: float, played: str) -> Figure:
    """Returns against episodes: the interquartile mean, its interval, each draw, the teacher.

    Args:
      blocks: of the points, as in summary.json.
      teacher: its mean return, as recorded.
      played: how many draws, seeds and test episodes, in words.
    """
    x = [b["episodes"] for b in blocks]
    value, low, high = (np.array([b[k] for b in blocks]) for k in ("iqm", "iqm_low", "iqm_high"))
    draws = [(b["episodes"], y) for b in blocks for y in b["of_draws"]]
    clones, taught = palette.KNOWN["clone"], palette.TEACHER
    text = f"Line: interquartile mean over {played}; band: its 95 % interval."
    with style.styled():
        fig, ((axes,),) = style.new()
        axes.fill_between(x, low, high, color=clones, alpha=0.18, lw=0)
        axes.plot(x, value, "o-", color=clones, clip_on=False, zorder=3)
        if len(draws) > len(x):
            axes.plot(*zip(*draws, strict=True), "x", color=clones, ms=5, alpha=0.6, clip_on=False)
            text += " Crosses: each draw of the episodes, its seeds together."
        axes.axhline(teacher, color=taught, ls="--", lw=1.2)
        text += " Dashed: the teacher's mean over all recorded episodes."
        # Scale by the draws, not the interval: with two draws it is so wide that it hides the rest.
        shown = [*(y for _, y in draws), teacher]
        margin = 0.15 * max(max(shown) - min(shown), 1e-6)
        bottom, top = min(shown) - margin, max(shown) + margin
        axes.set_ylim(bottom, top)
        if min(low) < bottom or max(high) > top:
            text += " The band goes on outside of the plot."
        if max(x) >= 10 * min(x):
            axes.set_xscale("log")
        axes.set_xticks(x, [f"{n:,}" for n in x])
        axes.minorticks_off()
        axes.set_title("What a demonstration is worth")
        axes.set(xlabel="recorded episodes cloned from", ylabel="return on the test episodes")
        axes.set_xlim(right=max(x))
        names = [("clones", float(value[-1]), clones), ("teacher", teacher, taught)]
        style.name_lines(axes, [style.Label(*each) for each in names])
        style.caption(fig, text)
    return fig


def table(points: Sequence[Point]) -> style.Table:
    """One row per clone."""
    rows: list[tuple[float, ...]] = []
    for p in points:
        for d, m in np.ndindex(*p.seeds.shape):
            x = p.returns[d, m]
            first = (p.episodes, d, int(p.seeds[d, m]), int(p.steps[d]))
            rows.append((*first, float(x.mean()), float(x.std()), len(x)))
    return style.Table(COLUMNS, rows)
