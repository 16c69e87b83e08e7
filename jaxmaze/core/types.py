"""The data that flows between collection, updates and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array | np.ndarray
"""On a device, or on the host on its way there."""
Scalar: TypeAlias = Array | float
PyTree: TypeAlias = Any
"""A pytree of arrays; mypy has no word for it."""
Params: TypeAlias = PyTree
"""A pytree of network parameters."""
Json: TypeAlias = dict[str, Any]
"""What a JSON object holds: a configuration, a summary, metrics."""
JsonMap: TypeAlias = Mapping[str, Any]
"""The same, only read."""


class NetworkSpec(NamedTuple):
    """Kind and sizes of the policy and value networks. Hashable.

    Attributes:
      hidden_sizes: units of each hidden layer, the same for policy and value.
      activation: a name in :data:`jaxmaze.core.encoders.ACTIVATIONS`.
      encoder: a name in :data:`jaxmaze.core.encoders.ENCODERS`.
      squash_actions: whether tanh squashes Gaussians into the actions' bounds, instead of clipping.
      memory: a name in :data:`jaxmaze.core.memory.MEMORIES`.
      memory_size: units of the memory; 0 without one.
    """

    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    encoder: str = "mlp"
    memory: str = "none"
    memory_size: int = 0
    squash_actions: bool = False


class Rollout(NamedTuple):
    """A segment of experience, time-major. ``T`` steps of ``N`` environments.

    ``next_obs[t]`` is the true observation after step ``t``: at the end of an episode the final
    one, never the first of the next episode.

    Attributes:
      obs: ``[T, N, *obs_shape]``, as the environment gave them (not normalised).
      action: ``[T, N]`` or ``[T, N, A]``, as :class:`jaxmaze.core.action_space.ActionSpace` has
        them inside; continuous ones before clipping to their bounds.
      log_prob: ``[T, N]`` log-probability of ``action`` under the policy that took it.
      reward: ``[T, N]`` in the environment's units.
      next_obs: ``[T, N, *obs_shape]``.
      terminated: ``[T, N]`` 1.0 where the task ended (no value beyond), else 0.0.
      truncated: ``[T, N]`` 1.0 where the episode was cut (a value beyond), else 0.0.
      valid: ``[T, N]`` 0.0 for rows that are no steps and must not be learned from (the resets of
        environments that reset in a step of their own), else 1.0; None if all are.
      begin: ``[T, N]`` 1.0 where an episode begins; None for policies that remember nothing.
      carry: ``[N, C]`` what the policy remembered before the first step; None likewise.
    """

    obs: PyTree
    action: Array
    log_prob: Array
    reward: Array
    next_obs: PyTree
    terminated: Array
    truncated: Array
    valid: Array | None = None
    begin: Array | None = None
    carry: Array | None = None


class Policy(NamedTuple):
    """All that acting needs: parameters and the observation statistics that belong to them."""

    params: Params
    obs_stats: PyTree


class Sequences(NamedTuple):
    """Where the episodes of a data set are cut, for networks that remember.

    ``E`` episodes, whose rows lie one after another, are cut into ``C`` sequences of at most ``L``
    steps: :func:`jaxmaze.core.sequences.cut`.

    Attributes:
      start: ``[C]`` int32, the first row of each sequence.
      length: ``[C]`` int32, its steps; 0 for one that only fills up.
      begin: ``[C]`` 1.0 for an episode's first sequence, else 0.0.
      episode: ``[C]`` int32, the episode that it belongs to.
      first: ``[E]`` int32, the first sequence of each episode.
      parts: ``[E]`` int32, how many it has; 0 for an episode that only fills up.
      order: ``[E]`` int32, the episodes by falling number of sequences.
      time: ``[L]`` int32, the numbers from 0, whose length says what ``L`` is.
    """

    start: Array
    length: Array
    begin: Array
    episode: Array
    first: Array
    parts: Array
    order: Array
    time: Array


class Demonstrations(NamedTuple):
    """What teachers did, one row a step; for cloning, and to be held to afterwards.

    Attributes:
      obs: ``[R, *shape]`` raw observations.
      action: ``[R, ...]`` the teacher's actions, unclipped.
      weight: ``[R]`` how much a row counts in a loss, of mean 1; None if all count alike.
      sequences: where episodes are cut, for networks that remember; None for others.
    """

    obs: PyTree
    action: Array
    weight: Array | None = None
    sequences: Sequences | None = None
