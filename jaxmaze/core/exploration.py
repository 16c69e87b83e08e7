"""Measures how much a policy explores, and sets it for a cloned policy by one temperature.

A temperature ``T`` divides the logits of a categorical policy and multiplies the standard
deviation of a Gaussian one. It leaves the mode, and so the deterministic policy, unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Policy, PyTree

LOWEST, HIGHEST = 0.05, 1000.0
"""The range in which a temperature is searched; clones trained for long are sure of themselves."""
_INDIFFERENT = 1e6
"""A temperature at which choices are uniform."""
_HALVINGS = 40
_TRIED = 64
"""Number of temperatures among which a largest entropy is searched."""


def _root(increasing: Callable[[Array], Array], highest: Array | float = HIGHEST) -> Array:
    """The root of an increasing function of the temperature; an end of the range if it has none."""

    def halve(bounds: PyTree, _: None) -> tuple[PyTree, None]:
        low, high = bounds
        middle = 0.5 * (low + high)
        above = increasing(jnp.exp(middle)) > 0
        return (jnp.where(above, low, middle), jnp.where(above, middle, high)), None

    ends = (jnp.log(jnp.asarray(LOWEST)), jnp.log(jnp.asarray(highest)))
    (low, high), _ = jax.lax.scan(halve, ends, None, length=_HALVINGS)
    return jnp.exp(0.5 * (low + high))


def _peak(function: Callable[[Array], Array]) -> Array:
    """The temperature at which a function of it is largest, to within a tenth or so."""
    tried = jnp.exp(jnp.linspace(jnp.log(LOWEST), jnp.log(HIGHEST), _TRIED))
    return tried[jnp.argmax(jax.lax.map(function, tried))]


def likely_temperature(
    networks: Networks, policy: Policy, obs: Array, action: Array, begin: Array | None = None
) -> Array:
    """The temperature that maximises the likelihood of demonstrated actions.

    Guo et al. (2017), "On Calibration of Modern Neural Networks", section 4.2. The likelihood has
    one maximum in the temperature, so the root of its derivative is found by bisection.

    Args:
      networks: static.
      policy: the cloned policy.
      obs: ``[B, *obs_shape]`` observations, preferably held-out ones.
      action: ``[B, ...]`` the teacher's actions there.
      begin: ``[B]`` 1.0 where an episode begins, for consecutive steps; None for independent
        observations.
    """
    memory = None if begin is None else networks.blank(begin)
    dist = networks.distribution(policy.params, policy.obs_stats, obs, memory)

    return _root(jax.grad(lambda temperature: dist.tempered_loss(action, temperature)))


def most_entropy(
    networks: Networks, policy: Policy, obs: Array, begin: Array | None = None
) -> Array:
    """The mean entropy over ``obs`` ``[B, ...]`` of indifferent choices among what masks allow.

    ``begin`` as in :func:`likely_temperature`.
    """
    return _entropy(networks, policy, obs, begin, _INDIFFERENT)


def _entropy(
    networks: Networks,
    policy: Policy,
    obs: Array,
    begin: Array | None,
    temperature: Array | float,
) -> Array:
    """The policy's mean entropy over ``obs`` at a temperature."""
    memory = None if begin is None else networks.blank(begin)
    params = networks.temper(policy.params, temperature)
    return networks.distribution(params, policy.obs_stats, obs, memory).entropy().mean()


def entropy_temperature(
    networks: Networks,
    policy: Policy,
    obs: Array,
    entropy: Array | float,
    begin: Array | None = None,
) -> Array:
    """The temperature at which the policy's mean entropy over ``obs`` ``[B, ...]`` is ``entropy``.

    The one with the largest entropy, or an end of the range, if there is none. ``begin`` as in
    :func:`likely_temperature`.
    """

    def excess(temperature: Array) -> Array:
        return _entropy(networks, policy, obs, begin, temperature) - entropy

    if not networks.spec.squash_actions:
        return _root(excess)
    # Squashed actions crowd at their bounds where deviations are large: entropy rises, then falls.
    return _root(excess, _peak(excess))
