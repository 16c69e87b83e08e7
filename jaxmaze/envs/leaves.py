"""The named arrays that make up observations and actions of any space.

For data of any environment, including spaces that the networks do not support: a nested space
becomes a flat list of arrays with bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from jaxmaze.core.types import PyTree


class Leaf(NamedTuple):
    """One array of a space.

    Attributes:
      name: its path in the space, such as ``"position.0"``; empty if the space is this one array.
      shape: shape of one value.
      discrete: whether each number is a discrete choice.
      low: ``[*shape]`` lower bounds.
      high: ``[*shape]`` upper bounds.
    """

    name: str
    shape: tuple[int, ...]
    discrete: bool
    low: np.ndarray
    high: np.ndarray


def leaves_of(space: gym.Space, name: str = "") -> list[Leaf]:
    """The arrays of a space; text, graph and sequence spaces have none."""
    below = f"{name}." if name else ""
    if isinstance(space, gym.spaces.Dict):
        return [leaf for key, part in space.items() for leaf in leaves_of(part, f"{below}{key}")]
    if isinstance(space, gym.spaces.Tuple):
        listed = enumerate(space.spaces)
        return [leaf for i, part in listed for leaf in leaves_of(part, f"{below}{i}")]
    if isinstance(space, gym.spaces.Discrete):
        return [_choices(name, np.asarray(space.start), np.asarray(space.n))]
    if isinstance(space, gym.spaces.MultiDiscrete):
        return [_choices(name, np.asarray(space.start), np.asarray(space.nvec))]
    if isinstance(space, gym.spaces.MultiBinary):
        return [_choices(name, np.zeros(space.shape, int), np.full(space.shape, 2))]
    if isinstance(space, gym.spaces.Box):
        low, high = (np.asarray(x, np.float64) for x in (space.low, space.high))
        return [Leaf(name, space.shape, False, low, high)]
    return []


def _choices(name: str, start: np.ndarray, count: np.ndarray) -> Leaf:
    low = np.asarray(start, np.float64)
    return Leaf(name, low.shape, True, low, low + count - 1)


def arrays_of(value: PyTree, name: str = "") -> dict[str, np.ndarray]:
    """The arrays in nested dicts and tuples, by their names in :func:`leaves_of`."""
    below = f"{name}." if name else ""
    if isinstance(value, Mapping):
        items = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, tuple):
        items = [(str(i), part) for i, part in enumerate(value)]
    else:
        return {name: np.asarray(value)}
    return {k: v for key, part in items for k, v in arrays_of(part, f"{below}{key}").items()}
