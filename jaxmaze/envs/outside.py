"""Observations outside of the bounds that an environment declares: usable, and said once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import gymnasium as gym
import numpy as np

from jaxmaze.envs.leaves import Leaf, leaves_of

TOLERANCE = 1e-5
"""What counts as rounding, relative to a bound above 1."""
_noted: set[str] = set()
"""Environments of which it has been said in this process."""


def note(
    name: str,
    space: gym.Space,
    observations: Mapping[str, np.ndarray],
    say: Callable[[str], None],
) -> None:
    """Say once for each environment that observations are outside of their bounds.

    Args:
      name: the environment's.
      space: its observation space.
      observations: arrays ``[T, ...]`` by their names in :func:`jaxmaze.envs.leaves.leaves_of`.
      say: prints a line.
    """
    if name in _noted:
        return
    for leaf in leaves_of(space):
        found = _outside(leaf, observations[leaf.name])
        if found:
            _noted.add(name)
            say(
                f"warning: {name} gives observations outside of the bounds of its "
                f"observation_space: {found}; they are used as they are, but the bounds, or the "
                "environment, should be corrected"
            )
            return


def _outside(leaf: Leaf, array: np.ndarray) -> str:
    """The number that is farthest outside of its bounds, in words; empty if there is none."""
    if leaf.discrete or not array.size or _holds_all(leaf, array.dtype):
        return ""
    below = leaf.low - TOLERANCE * np.maximum(1.0, np.abs(leaf.low)) - array.min(0)
    above = array.max(0) - leaf.high - TOLERANCE * np.maximum(1.0, np.abs(leaf.high))
    far = np.maximum(below, above)
    if not (far > 0).any():
        return ""
    index = tuple(int(i) for i in np.unravel_index(np.nanargmax(far), far.shape))
    value = (array.min(0) if below[index] > above[index] else array.max(0))[index]
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return (
        f"observations{'.' * bool(leaf.name)}{leaf.name}{place} = {value:g}, declared from "
        f"{leaf.low[index]:g} to {leaf.high[index]:g}"
    )


def _holds_all(leaf: Leaf, dtype: np.dtype) -> bool:
    """Whether no number of this type is outside of the bounds, as in an image."""
    if dtype.kind not in "iu":
        return bool(dtype.kind == "b")
    limits = np.iinfo(dtype)
    return bool((leaf.low <= limits.min).all() and (leaf.high >= limits.max).all())
