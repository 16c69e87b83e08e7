"""Units in which policies work, so that learning does not depend on the environment's units.

In these, the two bounds of a dimension are -1 and 1. Where a dimension is not bounded on both
sides, demonstrated actions have mean 0 and standard deviation 1; without any demonstrations, the
unit is the environment's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ENDLESS = 2.0**30
"""Bounds of this size count as none: they are only the type's, or stand for infinity."""
CONSTANT = 1e-6
"""Actions that deviate less from their mean, relative to it, count as constant."""


class Units(NamedTuple):
    """Units of ``A`` dimensions.

    Attributes:
      middle: the environment's action that is 0 for policies.
      scale: the size of the unit, in the environment's units.
    """

    middle: tuple[float, ...]
    scale: tuple[float, ...]


def bounded(low: float, high: float) -> bool:
    """Whether a dimension is bounded on both sides."""
    return max(abs(low), abs(high)) < ENDLESS


def between(
    low: Sequence[float], high: Sequence[float], actions: np.ndarray | None = None
) -> Units | None:
    """The units of actions between bounds; None if they are the environment's.

    Args:
      low: the ``A`` lower bounds.
      high: the upper bounds.
      actions: demonstrated actions ``[R, A]`` in the environment's units, if there are any.
    """
    pairs = list(zip(low, high, strict=True))
    finite = np.array([bounded(*pair) for pair in pairs])
    ends = np.where(finite[:, None], np.array(pairs), (-1.0, 1.0))
    middle, scale = ends.mean(1), 0.5 * (ends[:, 1] - ends[:, 0])
    if actions is not None and len(actions):
        rows = np.asarray(actions, np.float64)
        mean, std = rows.mean(0), rows.std(0)
        std = np.where(std <= CONSTANT * np.abs(mean), np.abs(mean), std)
        middle, scale = np.where(finite, (middle, scale), (mean, std))
    scale[scale == 0] = 1.0  # always the same action
    if (middle == 0).all() and (scale == 1).all():
        return None
    return Units(tuple(middle.tolist()), tuple(scale.tolist()))


def to_policy(units: Units, actions: np.ndarray) -> np.ndarray:
    """Convert the environment's actions ``[..., A]`` to float32 in the units of policies."""
    # In double precision, as the difference of large numbers may be small.
    found: np.ndarray = ((actions - np.array(units.middle)) / np.array(units.scale)).astype(
        np.float32
    )
    return found
