"""Generalised advantage estimation."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmaze.core import losses
from jaxmaze.core.types import Array


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
    either end. Schulman et al. (2016), "High-Dimensional Continuous Control Using Generalized
    Advantage Estimation", equation 16.

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
    delta = reward + gamma * (1.0 - terminated) * next_value - value
    carry_on = gamma * gae_lambda * (1.0 - jnp.maximum(terminated, truncated))

    def step(a_tp1: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, carry_t = x
        a_t = delta_t + carry_t * a_tp1
        return a_t, a_t

    _, advantage = jax.lax.scan(step, jnp.zeros_like(delta[0]), (delta, carry_on), reverse=True)
    return advantage, advantage + value


def explained_variance(prediction: Array, target: Array, weight: Array | None = None) -> Array:
    """``1 - Var(target - prediction) / Var(target)``; 0 where the target does not vary.

    Over the rows that ``weight`` marks, if there is one; all arrays have the same shape.
    """

    def variance(x: Array) -> Array:
        return losses.mean((x - losses.mean(x, weight)) ** 2, weight)

    var = variance(target)
    return jnp.where(var > 0, 1.0 - variance(target - prediction) / jnp.maximum(var, 1e-12), 0.0)
