"""Conversion of gymnasium's spaces to the kinds of observations and actions of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gymnasium as gym
import numpy as np

from jaxmaze.core.spaces import (
    MASK,
    ActionSpace,
    Box,
    Composite,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Spaces,
)
from jaxmaze.core.types import PyTree
from jaxmaze.envs.observation_spaces import observations_of
from jaxmaze.errors import UserError

WAYS_ROUND = {
    "Text": "wrap the environment so that it takes a number that stands for the text, as Discrete",
    "Graph": "wrap the environment so that it takes nodes and edges of a fixed number, as a Dict",
    "Sequence": "wrap the environment so that it takes a fixed number of them, as a Tuple",
    "OneOf": "wrap the environment so that it takes a Dict of the choice and of every alternative",
}
"""Advice for unsupported action spaces, by their class."""


def space_spec(
    observation_space: gym.Space, action_space: gym.Space, masked: bool | None = False
) -> Spaces:
    """Convert an environment's two spaces to the form that networks use.

    Args:
      observation_space: the environment's.
      action_space: the environment's.
      masked: whether the part ``action_mask`` of the observations is an action mask; None for if
        there is one of the right size.

    Raises:
      UserError: for spaces that are not supported.
    """
    action = actions_of(action_space)
    fits = bool(action.mask_size) and mask_length(observation_space) == action.mask_size
    return Spaces(observations_of(observation_space), action, fits if masked is None else masked)


def mask_length(observation_space: gym.Space) -> int | None:
    """Length of the part ``action_mask`` of observations; None if there is no such array."""
    if not isinstance(observation_space, gym.spaces.Dict) or MASK not in observation_space.spaces:
        return None
    space = observation_space.spaces[MASK]
    if not isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary) or len(space.shape) != 1:
        return None
    return int(space.shape[0])


def actions_of(space: gym.Space) -> ActionSpace:
    """The kind of a space's actions.

    Raises:
      UserError: for a space that is not supported.
    """
    if isinstance(space, gym.spaces.Discrete):
        return Discrete(int(space.n), int(space.start))
    if (
        isinstance(space, gym.spaces.Box)
        and space.dtype.kind in "iuf"
        and space.shape.count(0) == 0
    ):
        bounds = [tuple(float(x) for x in bound.ravel()) for bound in (space.low, space.high)]
        whole = str(space.dtype) if space.dtype.kind in "iu" else ""
        return Box(bounds[0], bounds[1], _dims(space), whole)
    if isinstance(space, gym.spaces.MultiDiscrete):
        nvec, start = (tuple(int(x) for x in np.ravel(v)) for v in (space.nvec, space.start))
        return MultiDiscrete(nvec, start if any(start) else (), _dims(space))
    if isinstance(space, gym.spaces.MultiBinary):
        return MultiBinary(int(np.prod(space.shape)), _dims(space))
    if isinstance(space, gym.spaces.Dict) and space.spaces:
        names = sorted(space.spaces)
        for name in names:
            if isinstance(name, str) and (not name or "\0" in name):
                raise UserError(
                    f"action space {space!r}: the key {name!r} is empty or has a null byte, so "
                    "that files cannot hold it; rename it with a wrapper (gymnasium.ActionWrapper)"
                )
        if all(isinstance(name, str) for name in names):
            return Composite(tuple(actions_of(space.spaces[n]) for n in names), tuple(names))
    if isinstance(space, gym.spaces.Tuple) and space.spaces:
        return Composite(tuple(actions_of(inner) for inner in space.spaces))
    kind = type(space).__name__
    way = WAYS_ROUND.get(kind, "wrap the environment so that it takes one of these")
    raise UserError(
        f"action space {space} is not supported: {kind} is none of Box, Discrete, MultiDiscrete, "
        f"MultiBinary, and Dict or Tuple of these; {way}"
    )


def _dims(space: gym.Space) -> tuple[int, ...] | None:
    """The shape of an array of actions; None for a single row."""
    shape = tuple(int(n) for n in space.shape or ())
    return None if len(shape) == 1 else shape


def _leaf_types(space: gym.Space) -> list[np.dtype]:
    if isinstance(space, gym.spaces.Dict):
        inner: Sequence[gym.Space] = [space.spaces[name] for name in sorted(space.spaces)]
    elif isinstance(space, gym.spaces.Tuple):
        inner = space.spaces
    else:
        return [np.dtype(space.dtype)]
    return [dtype for part in inner for dtype in _leaf_types(part)]


def action_types(space: gym.Space) -> list[np.dtype]:
    """Data types of an environment's action arrays, in the order of the leaves."""
    return _leaf_types(space)


def stack_actions(space: gym.Space, actions: Sequence[PyTree]) -> PyTree:
    """Stack actions to a batch ``[T, ...]`` in the space's own types."""
    if isinstance(space, gym.spaces.Dict):
        return {n: stack_actions(space[n], [a[n] for a in actions]) for n in sorted(space.spaces)}
    if isinstance(space, gym.spaces.Tuple):
        columns = range(len(space.spaces))
        return tuple(stack_actions(space[i], [a[i] for a in actions]) for i in columns)
    return np.array(actions, space.dtype)


def actions_from_groups(space: gym.Space, stored: PyTree) -> PyTree:
    """Convert the nested dicts that Minari's infos are read as to actions.

    Raises:
      KeyError, TypeError: if they do not match the space.
    """
    if isinstance(space, gym.spaces.Dict):
        return {n: actions_from_groups(space[n], stored[n]) for n in sorted(space.spaces)}
    if isinstance(space, gym.spaces.Tuple):
        columns = range(len(space.spaces))
        return tuple(actions_from_groups(space[i], stored[f"_index_{i}"]) for i in columns)
    if isinstance(stored, Mapping):
        raise TypeError("a group where an array should be")
    return np.asarray(stored)
