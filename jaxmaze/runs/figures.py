"""Figures of single runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxmaze.core.types import JsonMap
from jaxmaze.runs import palette, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS_AND_RETURN = Path("report") / "validation_loss_and_return.png"


class LossAndReturn(NamedTuple):
    """Validation loss and return of each evaluation of a clone.

    Attributes:
      epochs: ``[P]``.
      loss: ``[P, M]`` validation loss of each member, in nats.
      returns: ``[P, M]`` mean return.
    """

    epochs: np.ndarray
    loss: np.ndarray
    returns: np.ndarray

    def table(self) -> style.Table:
        """Its numbers, a row a point of the figure."""
        rows = [
            (int(epoch), m, float(self.loss[i, m]), float(self.returns[i, m]))
            for i, epoch in enumerate(self.epochs)
            for m in range(self.loss.shape[1])
        ]
        return style.Table(("epoch", "member", "validation_loss", "mean_return"), rows)


def losses_and_returns(lines: Sequence[JsonMap], members: int) -> LossAndReturn | None:
    """The evaluations in a bc run's metrics; None with fewer than three points.

    Args:
      lines: the metrics.
      members: ``M``.
    """
    losses, returns = (
        _by_epoch(lines, name, members)
        for name in ("imitation/policy_loss", "rollout_stats/reward/mean")
    )
    epochs = sorted(set(losses) & set(returns))
    x, y = (np.array([values[e] for e in epochs], float) for values in (losses, returns))
    return None if x.size < 3 else LossAndReturn(np.array(epochs), x, y)


def loss_and_return(found: LossAndReturn) -> Figure:
    """Evaluation return against validation loss: a line a member, through its evaluations.

    A clone with a lower loss does not always act better; the rank correlation over all points shows
    how far the loss can be trusted here.
    """
    from scipy import stats

    epochs, x, y = found
    text = (
        f"A point an evaluation, a colour a seed ({x.shape[1]}); filled: the last one. Loss on "
        "held-out episodes, in nats; return: sum of rewards, mean of the evaluation's episodes."
    )
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        rank = float(stats.spearmanr(x.ravel(), y.ravel()).statistic)
        text += f" Rank correlation over all points: {rank:.2f}".replace("-", "−")
        text += " (−1 if a lower loss always acts better)."
    with style.styled():
        fig, ((axes,),) = style.new()
        for m in range(x.shape[1]):
            colour = palette.COLOURS[m % len(palette.COLOURS)]
            axes.plot(x[:, m], y[:, m], color=colour, lw=0.8, alpha=0.6)
            axes.scatter(x[:-1, m], y[:-1, m], 26, "white", edgecolors=colour, zorder=3)
            axes.scatter(x[-1:, m], y[-1:, m], 34, colour, zorder=3)
        for i in sorted({0, len(epochs) - 1}):
            axes.annotate(
                f"epoch {epochs[i]:,}",
                (x[i, 0], y[i, 0]),
                (6, 5),
                textcoords="offset points",
                fontsize=style.SMALL,
                color=style.MUTED,
            )
        axes.set_title("Does a lower loss act better?")
        axes.set(xlabel="validation loss (nats)", ylabel="mean evaluation return")
        style.caption(fig, text)
    return fig


def _by_epoch(lines: Sequence[JsonMap], name: str, members: int) -> dict[int, list[float]]:
    """The members' values of an evaluation figure, by epoch."""
    return {
        line["step"]: line.get("members", {}).get(name, [line[name]] * members)
        for line in lines
        if line["split"] == "eval" and name in line
    }
