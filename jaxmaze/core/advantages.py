"""Generalised advantage estimation, Monte-Carlo returns and explained variance."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from jaxmaze.core import losses
from jaxmaze.core.types import Array, PyTree


def gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    gamma: Array | float,
    gae_lambda: Array | float,
) -> tuple[Array, Array]:
    """Advantages and value targets of a time-major segment.

    ``delta_t = r_t + gamma * (1 - terminated_t) * V(s'_t) - V(s_t)`` and
    ``A_t = delta_t + gamma * lambda * (1 - done_t) * A_{t+1}``, where ``s'_t`` is the true next
    observation, so that a truncated episode bootstraps from its final observation, and ``done`` is
    termination or truncation. Schulman et al. (2016), "High-Dimensional Continuous Control Using
    Generalized Advantage Estimation", equation 16.

    Args:
      reward: ``[T, ...]``.
      value: ``[T, ...]`` values of the observations.
      next_value: ``[T, ...]`` values of the true next observations.
      terminated: ``[T, ...]`` 1.0 where the task ended.
      truncated: ``[T, ...]`` 1.0 where the episode was cut.
      gamma: discount.
      gae_lambda: trace decay.

    Returns:
      Advantages ``[T, ...]`` and value targets ``advantage + value`` ``[T, ...]``.
    """
    chex.assert_equal_shape([reward, value, next_value, terminated, truncated])
    delta = reward + gamma * (1.0 - terminated) * next_value - value
    carry_on = gamma * gae_lambda * (1.0 - jnp.maximum(terminated, truncated))

    def step(a_tp1: PyTree, x: PyTree) -> PyTree:
        delta_t, carry_t = x
        a_t = delta_t + carry_t * a_tp1
        return a_t, a_t

    _, advantage = jax.lax.scan(step, jnp.zeros_like(delta[0]), (delta, carry_on), reverse=True)
    return advantage, advantage + value


UNKNOWN = 0.05
"""The largest discount of the bootstrap value for a return to count as known."""


def monte_carlo(
    reward: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    gamma: Array | float,
) -> tuple[Array, Array]:
    """Discounted returns of a time-major segment, and which of them count as known.

    ``G_t = r_t + gamma * G_{t+1}`` until the episode's end, as in first-visit or every-visit Monte
    Carlo methods (Sutton & Barto, 2018, "Reinforcement Learning", section 5.1). Returns bootstrap
    from the critic's value at a truncation and at the end of the segment. A return counts as known
    where that value has a discount of at most ``UNKNOWN``, so that the critic is not measured
    against its own predictions. GAE's targets consist mostly of such predictions, whether the
    critic is good or untrained.

    Args:
      reward: ``[T, ...]``.
      next_value: ``[T, ...]`` values of the true next observations.
      terminated: ``[T, ...]`` 1.0 where the task ended.
      truncated: ``[T, ...]`` 1.0 where the episode was cut.
      gamma: discount.

    Returns:
      Returns ``[T, ...]``, and 1.0 where they are known, else 0.0, ``[T, ...]``.
    """
    chex.assert_equal_shape([reward, next_value, terminated, truncated])
    done = jnp.maximum(terminated, truncated)

    def step(carry: tuple[Array, Array], x: tuple[Array, ...]) -> tuple[PyTree, PyTree]:
        g_tp1, left_tp1 = carry
        reward_t, value_tp1, done_t, truncated_t = x
        g = reward_t + gamma * jnp.where(done_t > 0, truncated_t * value_tp1, g_tp1)
        left = gamma * jnp.where(done_t > 0, truncated_t, left_tp1)
        return (g, left), (g, left)

    start = (next_value[-1], jnp.ones_like(next_value[-1]))
    _, (g, left) = jax.lax.scan(step, start, (reward, next_value, done, truncated), reverse=True)
    return g, (left <= UNKNOWN).astype(jnp.float32)


def explained_variance(prediction: Array, target: Array, weight: Array | None = None) -> Array:
    """``1 - Var(target - prediction) / Var(target)``; 0 where the target does not vary.

    If ``weight`` is given, only the rows that it marks count; all arrays have the same shape.
    """
    chex.assert_equal_shape(
        [prediction, target] if weight is None else [prediction, target, weight]
    )

    def variance(x: Array) -> Array:
        return losses.mean((x - losses.mean(x, weight)) ** 2, weight)

    var = variance(target)
    return jnp.where(var > 0, 1.0 - variance(target - prediction) / jnp.maximum(var, 1e-12), 0.0)
