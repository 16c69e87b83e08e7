"""Which episodes and which steps are worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.viewing.sources import Row

Measured: TypeAlias = Iterator[tuple[int, list[np.ndarray]]]
"""Episodes by number, each with its measures of disagreement ``[T]``."""
SHOWN = 30
"""Steps in the list."""
APART = 5
"""Steps this close to one with more disagreement are left out."""
MOST = 100_000
"""Steps that are compared; no further episode is begun after them."""


def peaks(values: np.ndarray, count: int = SHOWN) -> list[int]:
    """The steps with the largest values ``[T]``, largest first, none near another.

    Values that are not finite are left out.
    """
    order = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind="stable")
    free, found = np.isfinite(values), []
    for t in order.tolist():
        if free[t]:
            found.append(t)
            free[max(0, t - APART) : t + APART + 1] = False
            if len(found) == count:
                break
    return found


def over(measured: Measured, rows: Sequence[Row]) -> dict[int, Json]:
    """The steps of many episodes with the largest disagreement, by number of the measure.

    Args:
      measured: the episodes.
      rows: all there are.

    Returns:
      For each measure ``steps`` (``[episode, step, value]``, largest first) and ``compared``, the
      number of episodes that were looked at, and how many there are.
    """
    found: dict[int, list[tuple[float, int, int]]] = {}
    episodes = steps = 0
    for index, values in measured:
        episodes += 1
        steps += len(values[0]) if values else 0
        for k, each in enumerate(values):
            listed = found.setdefault(k, [])
            listed += [(float(each[t]), index, t) for t in peaks(each)]
            listed.sort(key=lambda entry: (-entry[0], *entry[1:]))
            del listed[SHOWN:]
        if steps > MOST:
            break
    return {
        k: {
            "steps": [[index, t, float(f"{value:.4g}")] for value, index, t in listed],
            "compared": episodes,
            "of": len(rows),
        }
        for k, listed in found.items()
    }


def spread(rows: Sequence[Row], count: int) -> list[int]:
    """Numbers of episodes spread evenly over the returns, the worst and the best among them."""
    whole = [row for row in rows if row.length]
    if len(whole) <= count:
        return [row.index for row in whole]
    ordered = sorted(whole, key=lambda row: (row.total is None, row.total or 0.0))
    chosen = np.unique(np.linspace(0, len(ordered) - 1, count).astype(int))
    return sorted(ordered[i].index for i in chosen.tolist())
