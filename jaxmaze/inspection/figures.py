"""Figures of a data set: returns, lengths, actions, features."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from jaxmaze.inspection.survey import ENDS, Survey

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008): a palette for colour-blind readers. Markers differ too.
COLOURS = ("#0072B2", "#E69F00", "#CC79A7", "#000000")
MARKERS = ("o", "s", "D", "x")
SHOWN = 12
"""Largest number of features or action dimensions in a figure."""


def _new(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.grid(alpha=0.3)
        each.set_axisbelow(True)
    return fig, axes


def _by_episode(s: Survey, values: np.ndarray, name: str, title: str) -> Figure:
    """A figure of one value per episode: in order, and as a histogram."""
    fig, axes = _new(1, 2, (9, 3.6))
    order, spread = axes[0]
    finite = np.isfinite(values)
    for end, (label, colour, marker) in enumerate(zip(ENDS, COLOURS, MARKERS, strict=True)):
        mine = finite & (s.ends == end)
        if mine.any():
            order.scatter(
                s.index[mine],
                values[mine],
                16,
                colour,
                marker=marker,
                alpha=0.7,
                label=label,
                lw=0.8,
            )
    order.set(xlabel="episode, in the order of recording", ylabel=name)
    order.legend(fontsize="small", title="how it ended", title_fontsize="small")
    if finite.any():
        spread.hist(values[finite], bins=min(40, max(5, finite.sum() // 3)), color=COLOURS[0])
        median = float(np.median(values[finite]))
        spread.axvline(median, color="black", ls="--", lw=1.2, label=f"median {median:.4g}")
        spread.legend(fontsize="small")
    spread.set(xlabel=name, ylabel="episodes")
    fig.suptitle(f"{title} of {len(values)} episodes")
    return fig


def returns(s: Survey) -> Figure:
    """Returns by episode."""
    return _by_episode(s, s.returns, "return", "Returns")


def lengths(s: Survey) -> Figure:
    """Lengths by episode."""
    return _by_episode(s, s.lengths.astype(np.float64), "length (steps)", "Lengths")


def _grid(names: list[str], draw: Callable[[Axes, int], None], title: str) -> Figure:
    """A small plot for each of the first few names."""
    shown = min(len(names), SHOWN)
    columns = min(4, max(shown, 1))
    rows = -(-max(shown, 1) // columns)
    fig, axes = _new(rows, columns, (max(2.6 * columns, 5), 2.2 * rows + 0.5))
    for i, each in enumerate(axes.flat):
        if i >= shown:
            each.set_visible(False)
            continue
        draw(each, i)
        each.set_title(names[i], fontsize="medium")
        each.tick_params(labelsize="small")
    more = f" (the first {shown} of {len(names)})" if shown < len(names) else ""
    fig.suptitle(title + more)
    return fig


def actions(s: Survey) -> Figure:
    """How often each action was taken, or the distribution of each action dimension."""

    def draw(axes: Axes, i: int) -> None:
        column, x = s.columns[i], s.actions[:, i]
        x = x[np.isfinite(x)]
        if column.discrete:
            choices, count = np.unique(x, return_counts=True)
            axes.bar(choices, 100 * count / max(len(x), 1), color=COLOURS[0])
            axes.set(xlabel="action", ylabel="% of the steps")
            axes.set_xlim(column.low - 0.6, column.high + 0.6)
            step = max(1, int(column.high - column.low) // 8)
            axes.set_xticks(range(int(column.low), int(column.high) + 1, step))
            return
        if len(x):
            weights = np.full(len(x), 100 / len(x))
            axes.hist(x, bins=40, weights=weights, color=COLOURS[0])
        for bound in (column.low, column.high):
            if np.isfinite(bound):
                axes.axvline(bound, color="black", ls="--", lw=1)
        axes.set(xlabel="value (dashed: bounds)", ylabel="% of the steps")

    return _grid([c.name for c in s.columns], draw, f"Actions of {len(s.actions):,} steps")


def features(s: Survey) -> Figure:
    """The mean of each observation feature per episode, in the order of the episodes."""

    def draw(axes: Axes, i: int) -> None:
        axes.plot(s.index, s.means[:, i], ".", ms=4, color=COLOURS[0])
        if len(s.index) >= 20:
            width = len(s.index) // 10
            smooth = np.convolve(s.means[:, i], np.full(width, 1 / width), "valid")
            axes.plot(s.index[width // 2 :][: len(smooth)], smooth, color=COLOURS[1], lw=1.8)
        axes.set(xlabel="episode", ylabel="mean in the episode")

    title = "Numbers of the observation over the order of episodes (line: moving average)"
    return _grid(s.features, draw, title)


ALL = {"returns": returns, "lengths": lengths, "actions": actions, "features": features}
"""The figures by file name."""
