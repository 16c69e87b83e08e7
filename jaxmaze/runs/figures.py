"""Figures of single runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxmaze.core.types import JsonMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS_AND_RETURN = Path("report") / "validation_loss_and_return.png"


def loss_and_return(lines: Sequence[JsonMap], members: int) -> Figure | None:
    """Evaluation return against validation loss: a point for each member and evaluation.

    A clone with a lower loss does not always act better; the rank correlation over all points shows
    how far the loss can be trusted here.

    Args:
      lines: a bc run's metrics.
      members: ``M``.

    Returns:
      The figure, or None with fewer than three points.
    """
    losses, returns = (
        _by_epoch(lines, name, members)
        for name in ("imitation/policy_loss", "rollout_stats/reward/mean")
    )
    epochs = sorted(set(losses) & set(returns))
    x, y = (np.array([values[e] for e in epochs], float) for values in (losses, returns))
    if x.size < 3:
        return None
    # Imported only where needed: the import takes longer than training a small clone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from scipy import stats

    fig = Figure(figsize=(6, 4.5), layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.add_subplot()
    points = axes.scatter(x, y, c=np.repeat(epochs, members), cmap="viridis", s=25)
    fig.colorbar(points, label="epoch")
    title = f"{members} members, {len(epochs)} epochs"
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        rank = stats.spearmanr(x.ravel(), y.ravel()).statistic
        title += f"; rank correlation {rank:.2f}"
    axes.set(xlabel="validation loss (nats)", ylabel="mean evaluation return", title=title)
    axes.grid(alpha=0.3)
    return fig


def _by_epoch(lines: Sequence[JsonMap], name: str, members: int) -> dict[int, list[float]]:
    """The members' values of an evaluation figure, by epoch."""
    return {
        line["step"]: line.get("members", {}).get(name, [line[name]] * members)
        for line in lines
        if line["split"] == "eval" and name in line
    }
