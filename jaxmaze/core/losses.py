"""Losses of behavioural cloning and PPO: weighted means over rows."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax.numpy as jnp

from jaxmaze.core.distributions import Distribution
from jaxmaze.core.types import Array


class PolicyLoss(NamedTuple):
    """PPO's policy loss and its metrics; scalars."""

    loss: Array
    surrogate: Array
    entropy: Array
    approx_kl: Array
    clip_fraction: Array


def weighted_mean(x: Array, weight: Array) -> Array:
    """``sum(w * x) / sum(w)``, and 0 where all weights are 0. ``x`` and ``weight`` are ``[B]``."""
    return (x * weight).sum() / jnp.maximum(weight.sum(), 1e-8)


def mean(x: Array, weight: Array | None = None) -> Array:
    """The mean of ``x`` (any shape), over the rows that ``weight`` marks if it is given."""
    return x.mean() if weight is None else weighted_mean(x, weight)


def cloning_loss(
    dist: Distribution, action: Array, weight: Array, entropy_coef: Array | float
) -> tuple[Array, Array]:
    """Negative log-likelihood of the teacher's actions, less an entropy bonus.

    Args:
      dist: the policy at ``B`` observations, or ``[L, B]`` of sequences.
      action: the teacher's actions, ``[B]`` or ``[B, A]``.
      weight: ``[B]``, 0 for rows that do not count.
      entropy_coef: weight of the entropy bonus.

    Returns:
      The loss (a scalar, nats) and the mean entropy.
    """
    chex.assert_rank(weight, {1, 2})
    chex.assert_equal_shape_prefix([action, weight], weight.ndim)
    entropy = weighted_mean(dist.entropy(), weight)
    return -weighted_mean(dist.log_prob(action), weight) - entropy_coef * entropy, entropy


def normalize_advantages(advantage: Array, weight: Array | None = None) -> Array:
    """Normalise to zero mean and unit variance over all (marked) rows of the batch (any shape)."""
    centred = advantage - mean(advantage, weight)
    return centred / (jnp.sqrt(mean(centred**2, weight)) + 1e-8)


def clipped_policy_loss(
    log_prob: Array,
    old_log_prob: Array,
    advantage: Array,
    entropy: Array,
    clip_range: Array | float,
    entropy_coef: Array | float,
    weight: Array | None = None,
) -> PolicyLoss:
    """PPO's clipped surrogate with an entropy bonus.

    ``-E[min(r A, clip(r, 1 - eps, 1 + eps) A)] - c E[H]`` with ``r = exp(log_prob -
    old_log_prob)``. Schulman et al. (2017), "Proximal Policy Optimization Algorithms", equation 7.
    The KL is the low-variance estimate ``E[(r - 1) - log r]`` (Schulman, 2020, "Approximating KL
    Divergence").

    Args:
      log_prob: ``[B]`` log-probabilities of the actions under the current policy.
      old_log_prob: ``[B]`` log-probabilities under the behaviour policy.
      advantage: ``[B]``.
      entropy: ``[B]`` entropy of the current policy.
      clip_range: epsilon.
      entropy_coef: weight of the entropy bonus.
      weight: ``[B]`` 0 for rows that do not count; all do by default.
    """
    chex.assert_equal_shape([log_prob, old_log_prob, advantage, entropy])
    log_ratio = log_prob - old_log_prob
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range)
    surrogate = -mean(jnp.minimum(ratio * advantage, clipped * advantage), weight)
    mean_entropy = mean(entropy, weight)
    return PolicyLoss(
        loss=surrogate - entropy_coef * mean_entropy,
        surrogate=surrogate,
        entropy=mean_entropy,
        approx_kl=mean((ratio - 1.0) - log_ratio, weight),
        clip_fraction=mean((jnp.abs(ratio - 1.0) > clip_range).astype(jnp.float32), weight),
    )


def value_loss(value: Array, target: Array, weight: Array | None = None) -> Array:
    """Half the mean squared error of values ``[B]`` against their targets ``[B]``.

    Stable-Baselines3 uses the full mean squared error, so that its ``vf_coef`` is half of ours.
    """
    chex.assert_equal_shape([value, target])
    return 0.5 * mean((value - target) ** 2, weight)
