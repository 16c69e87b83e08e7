"""Data types shared by collection, updates and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array | np.ndarray
"""A JAX array, or a numpy array on the host."""
Scalar: TypeAlias = Array | float
PyTree: TypeAlias = Any
"""A pytree of arrays, which mypy cannot express."""
Params: TypeAlias = PyTree
"""A pytree of network parameters."""
Json: TypeAlias = dict[str, Any]
"""A JSON object, such as a configuration, a summary or metrics."""
JsonMap: TypeAlias = Mapping[str, Any]
"""A read-only JSON object."""


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
      action: ``[T, N]`` or ``[T, N, A]``, in the internal form of
        :class:`jaxmaze.core.action_space.ActionSpace`; continuous ones before clipping to bounds.
      log_prob: ``[T, N]`` log-probability of ``action`` under the behaviour policy.
      reward: ``[T, N]`` in the environment's units.
      next_obs: ``[T, N, *obs_shape]``.
      terminated: ``[T, N]`` 1.0 where the episode terminated (no bootstrap), else 0.0.
      truncated: ``[T, N]`` 1.0 where the episode was truncated (bootstrap), else 0.0.
      valid: ``[T, N]`` 0.0 for rows that are not steps and must not be learned from (the resets of
        environments that take a separate step to reset), else 1.0; None if all are valid.
      begin: ``[T, N]`` 1.0 where an episode begins; None for feed-forward policies.
      carry: ``[N, C]`` hidden state before the first step; None likewise.
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
    """A policy's parameters and observation statistics: all that is needed to act."""

    params: Params
    obs_stats: PyTree


class Sequences(NamedTuple):
    """How the episodes of a data set are cut into sequences, for recurrent networks.

    ``E`` episodes with consecutive rows are cut into ``C`` sequences of at most ``L`` steps by
    :func:`jaxmaze.core.sequences.cut`.

    Attributes:
      start: ``[C]`` int32, the first row of each sequence.
      length: ``[C]`` int32, its steps; 0 for padding.
      begin: ``[C]`` 1.0 for an episode's first sequence, else 0.0.
      episode: ``[C]`` int32, the episode that it belongs to.
      first: ``[E]`` int32, the first sequence of each episode.
      parts: ``[E]`` int32, number of sequences of each episode; 0 for padding.
      order: ``[E]`` int32, episodes sorted by decreasing number of sequences.
      time: ``[L]`` int32, ``0 ... L - 1``; its length determines ``L``.
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
    """Demonstrations of teachers, one row per step; for cloning, also during PPO.

    Attributes:
      obs: ``[R, *shape]`` raw observations.
      action: ``[R, ...]`` the teacher's actions, unclipped.
      weight: ``[R]`` weight of each row in a loss, with mean 1; None if all are equal.
      sequences: how episodes are cut, for recurrent networks; None for others.
    """

    obs: PyTree
    action: Array
    weight: Array | None = None
    sequences: Sequences | None = None
