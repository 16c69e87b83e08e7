"""What a kind of action is asked: the protocol that all kinds obey, and what they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import jax
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core.distributions import Distribution
from jaxmaze.core.types import Array, Params, PyTree

MAX_NAMED = 8
"""Parts of an action up to which each is logged on its own."""


class ActionSpace(Protocol):
    """A kind of action.

    Actions come in two forms. What networks, losses and rollouts hold is an array ``[..., *shape]``
    of ``dtype``, counted from 0. What the environment takes is its own: an array, or nested dicts
    and tuples of arrays, with a batch's axis in front. :meth:`to_env` and :meth:`from_env` turn one
    into the other.

    Attributes:
      kind: its name in files.
      shape: of one action inside.
      dtype: of an action in arrays.
      num_outputs: numbers that the policy's head gives for each observation.
      num_noise: random numbers that a sample takes.
      mask_size: entries of an action mask; 0 for kinds that have none.
      tally_shape: of what :meth:`tally` gives.
    """

    kind: ClassVar[str]

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> PyTree: ...
    @property
    def num_outputs(self) -> int: ...
    @property
    def num_noise(self) -> int: ...
    @property
    def mask_size(self) -> int: ...
    @property
    def tally_shape(self) -> tuple[int, ...]: ...

    def free_params(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the head's parameters beside its layer, by name; they start at 0."""

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        """The distribution ``[...]`` that outputs ``[..., num_outputs]`` stand for."""

    def masked(self, dist: PyTree, mask: Array) -> Distribution:
        """A distribution without the actions whose mask ``[..., mask_size]`` is 0."""

    def squashed(self) -> ActionSpace:
        """The same actions, with Gaussians squashed into their bounds by tanh.

        Raises:
          ValueError: if a dimension has no bounds.
        """

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        """Draw what ``Distribution.pick`` takes into ``out`` ``[..., num_noise]`` float32."""

    def project(self, params: Params) -> Params:
        """A policy's parameters put back into the range where they have a gradient."""

    def temper(self, params: Params, temperature: Array | float) -> Params:
        """A policy's parameters at a temperature, which moves no mode."""

    def entropy_of_share(self, share: float) -> float:
        """The entropy (nats) of a policy that explores a share of what it could."""

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        """Actions ``[..., *shape]`` out of float32 numbers ``[..., at least their size]``."""

    def to_env(self, action: PyTree) -> PyTree:
        """Actions ``[..., *shape]``, of numpy or JAX, as the environment takes them."""

    def from_env(self, actions: PyTree) -> np.ndarray:
        """Actions ``[N, *shape]`` out of such as the environment takes."""

    def each(self, actions: PyTree) -> Sequence[PyTree]:
        """A batch of what :meth:`to_env` gives, one by one for an environment's ``step``."""

    def leaves(self, actions: PyTree) -> list[tuple[str, Leaf, np.ndarray]]:
        """The arrays of a batch of the environment's actions, with their names and kinds.

        Raises:
          KeyError, TypeError, ValueError: if it has not the parts that the environment's have.
        """

    def build(self, arrays: Sequence[np.ndarray]) -> PyTree:
        """The inverse of :meth:`leaves`."""

    def accept(self, actions: PyTree) -> PyTree:
        """What a policy gave, with what an environment would mend anyway mended."""

    def problem(self, actions: PyTree, env: str) -> str:
        """What is wrong with actions ``[N, ...]`` for ``env``, in words; empty if nothing is."""

    def forbidden(self, actions: PyTree, mask: np.ndarray) -> np.ndarray:
        """Which actions of the environment a mask ``[N, mask_size]`` forbids, ``[N]``."""

    def blocked(self, mask: np.ndarray) -> np.ndarray:
        """Where a mask ``[N, mask_size]`` leaves nothing to choose, ``[N]``."""

    def agreement(self, dist: PyTree, action: Array, weight: Array) -> dict[str, Array]:
        """How well a distribution's mode agrees with actions ``[B, *shape]``, for the log."""

    def tally(self, actions: PyTree) -> np.ndarray:
        """Sums over the environment's actions, which can be added up, for :meth:`tallied`."""

    def tallied(self, sums: np.ndarray, count: int) -> str:
        """What the sums over ``count`` actions say of them, in words."""

    def uniform(
        self, rng: np.random.Generator, count: int, mask: np.ndarray | None = None
    ) -> PyTree:
        """The environment's actions ``[N, ...]`` drawn uniformly, as far as the space is bounded.

        Of those whose mask ``[N, mask_size]`` is not 0, if there is one.
        """

    def describe(self) -> str:
        """The space in words."""


class Leaf(ActionSpace, Protocol):
    """A kind whose actions are one array for the environment too.

    Attributes:
      env_shape: of one action as the environment takes it.
    """

    @property
    def env_shape(self) -> tuple[int, ...]: ...


class OneArray:
    """What the kinds have in common whose actions are one array for the environment too."""

    mask_size: ClassVar[int] = 0

    def leaves(self, actions: PyTree) -> list[tuple[str, Leaf, np.ndarray]]:
        if isinstance(actions, Mapping):
            raise TypeError("it is a dict")
        this: PyTree = self
        return [("", this, np.asarray(actions))]

    def build(self, arrays: Sequence[np.ndarray]) -> PyTree:
        return arrays[0]

    def free_params(self) -> dict[str, tuple[int, ...]]:
        return {}

    def masked(self, dist: PyTree, mask: Array) -> Distribution:
        raise TypeError(f"{type(self).__name__} actions have no masks")

    def forbidden(self, actions: PyTree, mask: np.ndarray) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} actions have no masks")

    def blocked(self, mask: np.ndarray) -> np.ndarray:
        return np.logical_not((np.asarray(mask) > 0).any(-1), dtype=bool)

    def project(self, params: Params) -> Params:
        return params

    def accept(self, actions: np.ndarray) -> np.ndarray:
        return actions


def flat(x: PyTree, dims: tuple[int, ...]) -> PyTree:
    """``[..., *dims]`` as ``[..., A]``."""
    if len(dims) == 1:
        return x
    lead = x.shape[: x.ndim - len(dims)]
    return x.reshape((*lead, math.prod(dims)))


def unflat(x: PyTree, dims: tuple[int, ...]) -> PyTree:
    """``[..., A]`` as ``[..., *dims]``."""
    return x if len(dims) == 1 else x.reshape((*x.shape[:-1], *dims))


def cast(x: PyTree, dtype: DTypeLike) -> PyTree:
    """``x`` as another type, or in JAX as the next that it has."""
    wanted = np.dtype(dtype)
    return x.astype(wanted if isinstance(x, np.ndarray) else jax.dtypes.canonicalize_dtype(wanted))


def divided_head(params: Params, temperature: Array | float) -> Params:
    """Parameters whose head's outputs, logits, are divided by a temperature.

    The head is linear, so that dividing it divides them exactly.
    """
    return {**params, "head": jax.tree.map(lambda x: x / temperature, params["head"])}
