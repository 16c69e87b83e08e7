"""Running mean and variance as a pytree, and normalisation by them."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core.types import Array, PyTree, Scalar

EPSILON = 1e-6
CLIP = 10.0


class RunningStats(NamedTuple):
    """Running mean and (population) variance.

    Attributes:
      count: scalar, number of samples; 0 before the first, when normalising is the identity.
      mean: ``[*shape]``; None where nothing is normalised (empty arrays cannot be stored in
        files).
      var: likewise.
    """

    count: PyTree  # type: ignore[assignment]
    mean: PyTree
    var: PyTree


class ReturnStats(NamedTuple):
    """Statistics of discounted returns; rewards are divided by their standard deviation.

    Attributes:
      stats: scalar running statistics of the accumulators' values.
      accumulator: ``[N]`` discounted sum of rewards in each environment's current episode.
    """

    stats: RunningStats
    accumulator: Array


def init_stats(shape: tuple[int, ...] = ()) -> RunningStats:
    """Statistics before any data: mean 0 and variance 1."""
    if 0 in shape:
        return RunningStats(np.zeros((), np.float32), None, None)

    def full(value: float, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, value, np.float32)

    return RunningStats(full(0, ()), full(0, shape), full(1, shape))


def update_stats(stats: RunningStats, batch: Array, weight: Array | None = None) -> RunningStats:
    """Merge a batch into running statistics.

    The parallel form of Chan, Golub & LeVeque (1979), "Updating formulae and a pairwise algorithm
    for computing sample variances".

    Args:
      stats: statistics with shape ``[*shape]``.
      batch: ``[B, *shape]``.
      weight: ``[B]`` non-negative weights, ones by default; rows with weight 0 do not count.

    Returns:
      Statistics of all samples, old ones and the batch's.
    """
    batch = jnp.asarray(batch, jnp.float32)
    weight = jnp.ones(batch.shape[0]) if weight is None else weight
    if stats.mean is None:
        return stats._replace(count=stats.count + weight.sum())
    chex.assert_shape(batch, (None, *np.shape(stats.mean)))
    column = weight.reshape((-1,) + (1,) * (batch.ndim - 1))
    n_batch = weight.sum()
    safe_n = jnp.maximum(n_batch, 1e-8)
    mean_batch = (column * batch).sum(0) / safe_n
    var_batch = (column * (batch - mean_batch) ** 2).sum(0) / safe_n
    total = stats.count + n_batch
    fraction = n_batch / jnp.maximum(total, 1e-8)
    delta = mean_batch - stats.mean
    mean = stats.mean + delta * fraction
    var = stats.var * (1 - fraction) + var_batch * fraction + delta**2 * fraction * (1 - fraction)
    nothing = total == 0
    return RunningStats(
        total, jnp.where(nothing, stats.mean, mean), jnp.where(nothing, stats.var, var)
    )


def normalize(stats: RunningStats, x: Array) -> Array:
    """``(x - mean) / std``, clipped to ±10. ``x`` is ``[..., *shape]``."""
    return jnp.clip((x - stats.mean) / jnp.sqrt(stats.var + EPSILON), -CLIP, CLIP)


def init_return_stats(num_envs: int) -> ReturnStats:
    """Return statistics of ``num_envs`` environments that have not started."""
    return ReturnStats(init_stats(), np.zeros(num_envs, np.float32))


def scale_rewards(
    state: ReturnStats, reward: Array, done: Array, gamma: Scalar, weight: Array | None = None
) -> tuple[ReturnStats, Array]:
    """Divide rewards by the standard deviation of the discounted return.

    Each environment's accumulator is updated by ``G <- gamma * G + r`` and reset at an episode's
    end; the running variance of ``G`` determines the scale. Engstrom et al. (2020),
    "Implementation Matters in Deep Policy Gradients", section 3.

    Args:
      state: statistics so far, with accumulators ``[N]``.
      reward: ``[T, N]``.
      done: ``[T, N]`` 1.0 where an episode ended with this step.
      gamma: scalar discount.
      weight: ``[T, N]`` 0.0 for rows that do not count; all do by default.

    Returns:
      The new statistics, which include this batch, and the rewards ``[T, N]`` scaled by them.
    """

    def step(accumulator: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        r_t, done_t = x
        g_t = gamma * accumulator + r_t
        return g_t * (1.0 - done_t), g_t

    chex.assert_rank([reward, done], 2)
    chex.assert_equal_shape([reward, done])
    accumulator, g = jax.lax.scan(step, state.accumulator, (reward, done))
    weight = None if weight is None else weight.reshape(-1)
    stats = update_stats(state.stats, g.reshape(-1), weight)
    return ReturnStats(stats, accumulator), reward / jnp.sqrt(stats.var + EPSILON)
