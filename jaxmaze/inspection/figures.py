"""Figures of a data set: returns, lengths, actions, features."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from jaxmaze.core.words import agree, counted
from jaxmaze.inspection.survey import ENDS, Survey
from jaxmaze.runs import palette, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (*palette.COLOURS[:3], palette.TEACHER)
"""By how an episode ended. Markers differ too."""
MARKERS = ("o", "s", "D", "x")
SHOWN = 12
"""Largest number of features or action dimensions in a figure."""
MANY = 2000
"""Points from which on they are a picture in an SVG, which would be large otherwise."""
BLUE, ORANGE = palette.COLOURS[:2]

Drawn = tuple["Figure", style.Table]
"""A figure and its numbers."""


def _by_episode(s: Survey, values: np.ndarray, name: str, title: str) -> Drawn:
    """A figure of one value per episode: in order, and as a histogram."""
    finite = np.isfinite(values)
    with style.styled():
        fig, axes = style.new(1, 2, (9, 3.9))
        order, spread = axes[0]
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
                    label=f"{label} ({mine.sum():,})",
                    lw=0.8,
                    rasterized=bool(mine.sum() > MANY),
                )
        order.set(xlabel="episode, in the order of recording", ylabel=name)
        if finite.any():
            spread.hist(values[finite], bins=min(40, max(5, finite.sum() // 3)), color=BLUE)
            median = float(np.median(values[finite]))
            spread.axvline(median, color="black", ls="--", lw=1.2)
            spread.annotate(
                f"median {median:.4g}",
                (median, 1),
                (0, 3),
                ("data", "axes fraction"),
                "offset points",
                ha="center",
                fontsize=style.SMALL,
                annotation_clip=False,
            )
            fig.legend(loc="outside upper right", ncols=4, frameon=False, fontsize=style.SMALL)
        spread.set(xlabel=name, ylabel="episodes")
        order.set_title(title)
        left = len(values) - int(finite.sum())
        text = (
            f"{counted(len(values), 'episode', ',')}; left: each, by how it ended; right: how many."
        )
        text += f" {left:,} {agree(left, 'is', 'are')} not finite and left out." if left else ""
        style.caption(fig, text)
    ends = [ENDS[int(end)] for end in s.ends]
    rows = list(zip(s.index.tolist(), values.tolist(), ends, strict=True))
    return fig, style.Table(("episode", name.partition(" ")[0], "end"), rows)


def returns(s: Survey) -> Drawn:
    """Returns by episode."""
    return _by_episode(s, s.returns, "return (sum of rewards)", "Returns")


def lengths(s: Survey) -> Drawn:
    """Lengths by episode."""
    return _by_episode(s, s.lengths.astype(np.float64), "length (steps)", "Lengths")


def _grid(names: list[str], draw: Callable[[Axes, int], None], title: str, text: str) -> Figure:
    """A small plot for each of the first few names."""
    shown = min(len(names), SHOWN)
    columns = min(4, max(shown, 1))
    rows = -(-max(shown, 1) // columns)
    with style.styled():
        fig, axes = style.new(rows, columns, (max(2.6 * columns, 6), 2.3 * rows + 0.9))
        for i, each in enumerate(axes.flat):
            if i >= shown:
                each.set_visible(False)
                continue
            draw(each, i)
            each.set_title(names[i], fontsize=style.NORMAL, fontweight="normal")
            each.tick_params(labelsize=style.SMALL)
        fig.suptitle(title, x=0.01, ha="left", fontsize=style.LARGE, fontweight="bold")
        more = f" The first {shown} of {len(names)}." if shown < len(names) else ""
        style.caption(fig, text + more)
    return fig


def actions(s: Survey) -> Drawn:
    """How often each action was taken, or the distribution of each action dimension."""
    table: list[tuple[object, ...]] = []

    def draw(axes: Axes, i: int) -> None:
        column, x = s.columns[i], s.actions[:, i]
        x = x[np.isfinite(x)]
        if column.discrete:
            choices, count = np.unique(x, return_counts=True)
            share = 100 * count / max(len(x), 1)
            axes.bar(choices, share, color=BLUE)
            axes.set(xlabel="action", ylabel="% of the steps")
            axes.set_xlim(column.low - 0.6, column.high + 0.6)
            step = max(1, int(column.high - column.low) // 8)
            axes.set_xticks(range(int(column.low), int(column.high) + 1, step))
            for choice, part in zip(choices.tolist(), share.tolist(), strict=True):
                table.append((column.name, choice, choice, part))
            return
        if len(x):
            weights = np.full(len(x), 100 / len(x))
            found, edges, _ = axes.hist(x, bins=40, weights=weights, color=BLUE)
            shares = np.asarray(found, float).tolist()
            for low, high, part in zip(
                edges[:-1].tolist(), edges[1:].tolist(), shares, strict=True
            ):
                table.append((column.name, low, high, part))
        for bound in (column.low, column.high):
            if np.isfinite(bound):
                axes.axvline(bound, color="black", ls="--", lw=1)
        axes.set(xlabel="value", ylabel="% of the steps")

    text = f"{len(s.actions):,} steps."
    if any(not c.discrete for c in s.columns):
        text += " Dashed: the bounds of the action space."
    fig = _grid([c.name for c in s.columns], draw, "Actions", text)
    return fig, style.Table(("action", "from", "to", "percent"), table)


def features(s: Survey) -> Drawn:
    """The mean of each observation feature per episode, in the order of the episodes."""

    def draw(axes: Axes, i: int) -> None:
        many = len(s.index) > MANY
        axes.plot(s.index, s.means[:, i], ".", ms=4, color=BLUE, rasterized=many)
        if len(s.index) >= 20:
            width = len(s.index) // 10
            smooth = np.convolve(s.means[:, i], np.full(width, 1 / width), "valid")
            axes.plot(s.index[width // 2 :][: len(smooth)], smooth, color=ORANGE, lw=1.8)
        axes.set(xlabel="episode", ylabel="mean")

    text = f"Points: the mean over the steps of each of {len(s.index):,} episodes, in order."
    text += " Line: moving average over a tenth of them." if len(s.index) >= 20 else ""
    fig = _grid(s.features, draw, "Numbers of the observation", text)
    shown = s.features[:SHOWN]
    means = s.means[:, : len(shown)].tolist()
    rows = [(i, *row) for i, row in zip(s.index.tolist(), means, strict=True)]
    return fig, style.Table(("episode", *shown), rows)


ALL = {"returns": returns, "lengths": lengths, "actions": actions, "features": features}
"""The figures by file name."""
