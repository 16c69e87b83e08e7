"""Conversion of teachers' outputs to the environment's actions: arrays or nested structures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jaxmaze.core.action_space import ActionSpace
from jaxmaze.core.types import PyTree
from jaxmaze.teachers.adapters import numbers


def batch(space: ActionSpace, given: object, rows: int) -> PyTree:
    """Actions ``[N, ...]``, from a teacher's output for ``N`` observations.

    Raises:
      KeyError, TypeError, ValueError: if the structure or a shape differs from the space's.
    """
    shape = getattr(space, "env_shape", None)
    if shape is not None:
        return numbers.shaped(given, (rows, *shape))
    parts = space.leaves(_arrays(given))
    return space.build([numbers.shaped(x, (rows, *leaf.env_shape)) for _, leaf, x in parts])


def one(space: ActionSpace, given: object) -> PyTree:
    """One action, from a teacher's output for one observation.

    Raises:
      KeyError, TypeError, ValueError: as :func:`batch`.
    """
    shape = getattr(space, "env_shape", None)
    if shape is not None:
        return _one(given, shape)
    return space.build([_one(x, leaf.env_shape) for _, leaf, x in space.leaves(_arrays(given))])


def _one(given: object, shape: tuple[int, ...]) -> np.ndarray:
    action = numbers.to_numpy(given)
    if action.shape != shape and action.size == np.prod(shape, dtype=int) and action.ndim <= 1:
        return action.reshape(shape)
    if action.shape != shape:
        raise ValueError(f"gave shape {action.shape} instead of {shape}")
    return action


def _arrays(given: object) -> PyTree:
    """Convert the numbers in nested dicts and tuples to arrays."""
    if isinstance(given, Mapping):
        return {name: _arrays(x) for name, x in given.items()}
    if isinstance(given, tuple):
        return tuple(map(_arrays, given))
    return numbers.to_numpy(given)
