"""Conversion of teachers' outputs to the environment's actions: arrays or nested structures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jaxmaze.core.action_space import ActionSpace, Leaf
from jaxmaze.core.types import PyTree
from jaxmaze.teachers.adapters import numbers
from jaxmaze.teachers.adapters.numbers import NotAnActionError


def batch(space: ActionSpace, given: object, rows: int) -> PyTree:
    """Actions ``[N, ...]``, from a teacher's output for ``N`` observations.

    Raises:
      NotAnActionError: if the structure or a shape differs from the space's.
    """
    shape = getattr(space, "env_shape", None)
    if shape is not None:
        return numbers.shaped(given, (rows, *shape))
    parts = _parts(space, given)
    return space.build(
        [numbers.shaped(x, (rows, *leaf.env_shape), name) for name, leaf, x in parts]
    )


def one(space: ActionSpace, given: object) -> PyTree:
    """One action, from a teacher's output for one observation.

    Raises:
      NotAnActionError: as :func:`batch`.
    """
    shape = getattr(space, "env_shape", None)
    if shape is not None:
        return _one(given, shape)
    parts = _parts(space, given)
    return space.build([_one(x, leaf.env_shape, name) for name, leaf, x in parts])


def _one(given: object, shape: tuple[int, ...], part: str = "") -> np.ndarray:
    action = numbers.to_numpy(given, part)
    if action.shape != shape and action.size == np.prod(shape, dtype=int) and action.ndim <= 1:
        return action.reshape(shape)
    if action.shape != shape:
        raise NotAnActionError(f"shape {action.shape} instead of {shape}", part)
    return action


def _parts(space: ActionSpace, given: object) -> list[tuple[str, Leaf, np.ndarray]]:
    """The arrays in nested dicts and tuples, with their names and kinds.

    Raises:
      NotAnActionError: if the structure differs from the space's.
    """
    arrays = _arrays(given)
    try:
        return space.leaves(arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise NotAnActionError(f"{numbers.shown(given)}, but {error.args[0]}") from error


def _arrays(given: object, name: str = "") -> PyTree:
    """Convert the numbers in nested dicts and tuples to arrays."""
    below = f"{name}." if name else ""
    if isinstance(given, Mapping):
        return {key: _arrays(x, f"{below}{key}") for key, x in given.items()}
    if isinstance(given, tuple):
        return tuple(_arrays(x, f"{below}{i}") for i, x in enumerate(given))
    return numbers.to_numpy(given, name)
