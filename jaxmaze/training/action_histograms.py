"""Which actions are taken: a histogram for each part of an action."""

from __future__ import annotations

import numpy as np

from jaxmaze.core.action_space import MAX_NAMED, ActionSpace
from jaxmaze.runs.metrics import MetricsWriter
from jaxmaze.runs.trackers import Histogram

BINS = 30
"""For real numbers, and for integers with more values than this."""


def write(
    writer: MetricsWriter, split: str, space: ActionSpace, rows: np.ndarray, step: int
) -> None:
    """Log histograms of actions, as ``<split>/actions`` or ``<split>/actions/<part>``.

    Args:
      writer: of a run's logs.
      split: ``"train"`` or ``"eval"``.
      space: what the actions are.
      rows: ``[..., *shape]`` in the internal form; shown as the environment gets them.
      step: environment steps (PPO) or epochs (BC) so far.
    """
    for name, histogram in of(space, rows.reshape(-1, *space.shape)).items():
        writer.add_histogram("/".join(filter(None, (split, "actions", name))), histogram, step)


def of(space: ActionSpace, rows: np.ndarray) -> dict[str, Histogram]:
    """Histograms of actions ``[R, *shape]`` by part: ``""`` for a single one, else name or index.

    A part with many numbers has one histogram of all of them.
    """
    found = {}
    for name, _, array in space.leaves(space.to_env(rows)):
        columns = np.asarray(array).reshape(len(rows), -1)
        if columns.shape[1] == 1 or columns.shape[1] > MAX_NAMED:
            found[name] = _histogram(columns)
            continue
        for i in range(columns.shape[1]):
            found[f"{name}/{i}" if name else str(i)] = _histogram(columns[:, i])
    return found


def _histogram(values: np.ndarray) -> Histogram:
    """A bin for each integer if these are few, else bins of equal width."""
    if values.dtype.kind in "biu":
        values = values.astype(np.int64)
        low, high = int(values.min()), int(values.max())
        if high - low < BINS:
            counts = np.bincount((values - low).ravel())
            return Histogram(counts, np.arange(low, high + 2) - 0.5)
    return Histogram(*np.histogram(values.astype(np.float64), bins=BINS))
