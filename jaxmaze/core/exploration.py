"""How much a policy explores: measured, and set for a clone by one temperature.

A temperature ``T`` divides the logits of a categorical policy and multiplies the standard
deviation of a Gaussian one. It moves no mode: what the policy does deterministically stays what the
clone did.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Policy, PyTree

LOWEST, HIGHEST = 0.05, 20.0
"""The range in which a temperature is looked for."""
_HALVINGS = 40


def _root(increasing: Callable[[Array], Array]) -> Array:
    """Where a function of the temperature that increases crosses 0; an end of the range if none."""

    def halve(bounds: PyTree, _: None) -> tuple[PyTree, None]:
        low, high = bounds
        middle = 0.5 * (low + high)
        above = increasing(jnp.exp(middle)) > 0
        return (jnp.where(above, low, middle), jnp.where(above, middle, high)), None

    ends = (jnp.log(jnp.asarray(LOWEST)), jnp.log(jnp.asarray(HIGHEST)))
    (low, high), _ = jax.lax.scan(halve, ends, None, length=_HALVINGS)
    return jnp.exp(0.5 * (low + high))


def likely_temperature(
    networks: Networks, policy: Policy, obs: Array, action: Array, begin: Array | None = None
) -> Array:
    """The temperature under which demonstrated actions are most likely.

    Guo et al. (2017), "On Calibration of Modern Neural Networks", section 4.2. The likelihood has
    one maximum in the temperature, so its derivative is followed to 0 by bisection.

    Args:
      networks: static.
      policy: the clone.
      obs: ``[B, *obs_shape]`` states, best such that the clone was not fitted to.
      action: ``[B, ...]`` what the teacher did there.
      begin: ``[B]`` 1.0 where an episode begins, for states one after another; None for single
        ones.
    """
    memory = None if begin is None else networks.blank(begin)
    dist = networks.distribution(policy.params, policy.obs_stats, obs, memory)

    return _root(jax.grad(lambda temperature: dist.tempered_loss(action, temperature)))


def entropy_temperature(
    networks: Networks,
    policy: Policy,
    obs: Array,
    entropy: Array | float,
    begin: Array | None = None,
) -> Array:
    """The temperature that gives the policy a mean entropy (nats) over states ``[B, ...]``.

    ``begin`` as in :func:`likely_temperature`.
    """
    memory = None if begin is None else networks.blank(begin)

    def excess(temperature: Array) -> Array:
        params = networks.temper(policy.params, temperature)
        dist = networks.distribution(params, policy.obs_stats, obs, memory)
        return dist.entropy().mean() - entropy

    return _root(excess)
