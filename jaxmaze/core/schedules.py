"""Schedules: linear decay, adaptive KL and entropy coefficients, and an EMA of parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmaze.core.types import Array, PyTree, Scalar


def left(iteration: Array, span: Array) -> Array:
    """Linear decay from 1 at (or before) iteration 0 to 0 at iteration ``span`` and after."""
    return 1.0 - jnp.clip(iteration / span, 0.0, 1.0)


def adapted(factor: Array, divergence: Array, target: Scalar) -> Array:
    """The factor of an adaptive KL coefficient: doubled above the target, halved below it.

    Schulman et al. (2017), "Proximal Policy Optimization Algorithms", section 4, with the clone in
    place of the old policy. Clipped to the range from 0.001 to 1000.
    """
    step = jnp.where(divergence > 1.5 * target, 2.0, jnp.where(divergence < target / 1.5, 0.5, 1.0))
    return jnp.clip(factor * step, 1e-3, 1e3)


def held(factor: Array, entropy: Array, target: Scalar) -> Array:
    """The factor of an entropy bonus that holds the entropy at a target.

    A fifth more below 95 % of the target, a fifth less above 105 %. Clipped to the range from 0.02
    to 100; 1 where the target is infinite.
    """
    step = jnp.where(entropy < 0.95 * target, 1.2, jnp.where(entropy > 1.05 * target, 1 / 1.2, 1.0))
    return jnp.where(jnp.isfinite(target), jnp.clip(factor * step, 0.02, 100.0), 1.0)


def averaged(average: PyTree, new: PyTree, iteration: Array, decay: Scalar) -> PyTree:
    """The exponential moving average (EMA) of pytrees, with a decay that increases at first.

    Polyak & Juditsky (1992), "Acceleration of Stochastic Approximation by Averaging"; the decay is
    ``min(decay, (1 + iteration) / (10 + iteration))``, so that the initial parameters soon lose
    their weight. With ``decay`` 0 the result is bitwise ``new``.
    """
    slow = jnp.minimum(decay, (1.0 + iteration) / (10.0 + iteration))
    return jax.tree.map(
        lambda a, x: jnp.where(decay > 0, a + (1.0 - slow) * (x - a), x), average, new
    )
