"""The protocol that every kind of action implements, and helpers that the kinds share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core.distributions import Distribution
from jaxmaze.core.types import Array, Params, PyTree

MAX_NAMED = 8
"""The largest number of action parts for which each is logged separately."""

START_OF_CHOICES, START_OF_NUMBERS = 0.5, 0.3
"""How much a fine-tuned clone explores at first: share of entropy, or std / half the range.

Measured: with 0.5, clones of discrete LunarLander, CartPole and Pendulum end higher than with 0.3;
clones of continuous LunarLander, which are as good as their teacher, forget some of it on the way.
"""


def or_start(share: float | None) -> float:
    """The share, or that of choices at the start of fine-tuning if it is None."""
    return START_OF_CHOICES if share is None else share


class ActionSpace(Protocol):
    """A kind of action.

    Actions come in two forms. Networks, losses and rollouts use an array ``[..., *shape]`` of
    ``dtype``, counted from 0 (the internal form). The environment takes its own form: an array, or
    nested dicts and tuples of arrays, with a leading batch axis. :meth:`to_env` and
    :meth:`from_env` convert between the two.

    A space that describes an environment has the environment's units in both forms. That of a
    policy's networks (:meth:`in_units`) has units of its own in the internal form.

    Attributes:
      kind: the name used in saved files.
      shape: shape of one action in the internal form.
      dtype: data type of the internal form.
      num_outputs: number of outputs of the policy head for each observation.
      num_noise: number of random numbers needed to sample one action.
      mask_size: entries of an action mask; 0 for kinds without masks.
      tally_shape: shape of the array that :meth:`tally` returns.
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

    def in_units(self, actions: np.ndarray | None = None) -> ActionSpace:
        """The same actions with units for policies, see :mod:`jaxmaze.core.action_units`.

        Args:
          actions: demonstrated actions ``[R, *shape]`` in the environment's units; their mean and
            standard deviation set the units where bounds do not, which else are the environment's.
        """

    def bare(self) -> ActionSpace:
        """The same actions in the environment's units in both forms."""

    def needs_actions(self) -> bool:
        """Whether :meth:`in_units` makes use of actions."""

    def free_params(self) -> dict[str, tuple[int, ...]]:
        """Shapes, by name, of the head's parameters outside its dense layer; initialised to 0."""

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        """The distribution ``[...]`` parameterised by head outputs ``[..., num_outputs]``."""

    def masked(self, dist: PyTree, mask: Array) -> Distribution:
        """The distribution restricted to actions whose mask ``[..., mask_size]`` is not 0."""

    def squashed(self) -> ActionSpace:
        """The same actions, with Gaussians squashed into their bounds by tanh.

        Raises:
          ValueError: if a dimension has no bounds.
        """

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        """Fill ``out`` ``[..., num_noise]`` float32 with noise for ``Distribution.pick``."""

    def project(self, params: Params, most_std: Array | float = jnp.inf) -> Params:
        """Clip a policy's parameters to the range where they have a gradient.

        Standard deviations are clipped to ``most_std`` too.
        """

    def widest(self, params: Params) -> Array:
        """The largest standard deviation ``[...]`` of numbers; 0 without any."""

    def temper(self, params: Params, temperature: Array | float) -> Params:
        """A policy's parameters at a temperature, which leaves the mode unchanged."""

    @property
    def never_cooled(self) -> bool:
        """Whether fine-tuning starts with a temperature of at least 1, where no share is set.

        Clones of choices are unsure because their teacher was, and keep that. A standard deviation
        is large where cloning was short, too.
        """

    def entropy_of_share(self, share: float | None) -> float:
        """The entropy (nats) that corresponds to a share, from 0 to 1, of full exploration.

        None stands for the share that fine-tuning a clone of this kind of action begins with:
        :data:`START_OF_CHOICES` or :data:`START_OF_NUMBERS`.
        """

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        """Convert float32 numbers ``[..., at least their size]`` to actions ``[..., *shape]``."""

    def to_env(self, action: PyTree) -> PyTree:
        """Convert actions ``[..., *shape]`` (numpy or JAX) to the environment's form."""

    def from_env(self, actions: PyTree) -> np.ndarray:
        """Convert actions in the environment's form to actions ``[N, *shape]``."""

    def each(self, actions: PyTree) -> Sequence[PyTree]:
        """Split a batch returned by :meth:`to_env` into single actions for ``env.step``."""

    def leaves(self, actions: PyTree) -> list[tuple[str, Leaf, np.ndarray]]:
        """The arrays of a batch of the environment's actions, with their names and kinds.

        Raises:
          KeyError, TypeError, ValueError: if the batch does not match the action space's structure.
        """

    def build(self, arrays: Sequence[np.ndarray]) -> PyTree:
        """The inverse of :meth:`leaves`."""

    def accept(self, actions: PyTree) -> PyTree:
        """A policy's actions, with deviations fixed that an environment would fix anyway."""

    def problem(self, actions: PyTree, env: str) -> str:
        """Returns an error message if actions ``[N, ...]`` do not fit ``env``, else ``""``."""

    def forbidden(self, actions: PyTree, mask: np.ndarray) -> np.ndarray:
        """Whether each action, in the environment's form, is forbidden by a mask, ``[N]``.

        The mask is ``[N, mask_size]``.
        """

    def blocked(self, mask: np.ndarray) -> np.ndarray:
        """Whether each row of a mask ``[N, mask_size]`` forbids every action, ``[N]``."""

    def agreement(self, dist: PyTree, action: Array, weight: Array) -> dict[str, Array]:
        """Metrics of how well a distribution's mode agrees with actions ``[B, *shape]``."""

    def tally(self, actions: PyTree) -> np.ndarray:
        """Sums over a batch of the environment's actions, to be added up for :meth:`tallied`."""

    def tallied(self, sums: np.ndarray, count: int) -> str:
        """A readable summary of ``count`` actions, given their sums from :meth:`tally`."""

    def uniform(
        self, rng: np.random.Generator, count: int, mask: np.ndarray | None = None
    ) -> PyTree:
        """Random actions ``[N, ...]`` in the environment's form, uniform where bounded.

        With a mask ``[N, mask_size]``, only actions whose entry is not 0 are drawn.
        """

    def describe(self) -> str:
        """A readable description of the space."""


class Leaf(ActionSpace, Protocol):
    """A kind whose actions are a single array in the environment's form too.

    Attributes:
      env_shape: shape of one action in the environment's form.
    """

    @property
    def env_shape(self) -> tuple[int, ...]: ...


class OneArray:
    """Base class of the kinds whose actions are a single array in the environment's form too."""

    mask_size: ClassVar[int] = 0

    @property
    def never_cooled(self) -> bool:
        return True

    def leaves(self, actions: PyTree) -> list[tuple[str, Leaf, np.ndarray]]:
        if isinstance(actions, Mapping):
            raise TypeError("it is a dict")
        this: PyTree = self
        return [("", this, np.asarray(actions))]

    def build(self, arrays: Sequence[np.ndarray]) -> PyTree:
        return arrays[0]

    def in_units(self, actions: np.ndarray | None = None) -> ActionSpace:
        this: PyTree = self
        return this  # type: ignore[no-any-return]

    def bare(self) -> ActionSpace:
        this: PyTree = self
        return this  # type: ignore[no-any-return]

    def needs_actions(self) -> bool:
        return False

    def free_params(self) -> dict[str, tuple[int, ...]]:
        return {}

    def masked(self, dist: PyTree, mask: Array) -> Distribution:
        raise TypeError(f"{type(self).__name__} actions have no masks")

    def forbidden(self, actions: PyTree, mask: np.ndarray) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} actions have no masks")

    def blocked(self, mask: np.ndarray) -> np.ndarray:
        return np.logical_not((np.asarray(mask) > 0).any(-1), dtype=bool)

    def project(self, params: Params, most_std: Array | float = jnp.inf) -> Params:
        return params

    def widest(self, params: Params) -> Array:
        return jnp.zeros(())

    def accept(self, actions: np.ndarray) -> np.ndarray:
        return actions


def flat(x: PyTree, dims: tuple[int, ...]) -> PyTree:
    """Reshape ``[..., *dims]`` to ``[..., A]``."""
    if len(dims) == 1:
        return x
    lead = x.shape[: x.ndim - len(dims)]
    return x.reshape((*lead, math.prod(dims)))


def unflat(x: PyTree, dims: tuple[int, ...]) -> PyTree:
    """Reshape ``[..., A]`` to ``[..., *dims]``."""
    return x if len(dims) == 1 else x.reshape((*x.shape[:-1], *dims))


def cast(x: PyTree, dtype: DTypeLike) -> PyTree:
    """Cast ``x`` to another type; for JAX arrays, to the closest type that JAX supports."""
    wanted = np.dtype(dtype)
    return x.astype(wanted if isinstance(x, np.ndarray) else jax.dtypes.canonicalize_dtype(wanted))


def divided_head(params: Params, temperature: Array | float) -> Params:
    """Parameters whose head outputs logits divided by a temperature.

    The head is linear, so dividing its parameters divides the logits exactly.
    """
    return {**params, "head": jax.tree.map(lambda x: x / temperature, params["head"])}
