"""Temperatures: what they change, and that the ones that are looked for are found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import exploration
from jaxmaze.core.networks import Networks
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Box, Discrete, Spaces
from jaxmaze.core.types import NetworkSpec, Policy

DISCRETE = Networks(Spaces(Observations.array(2), Discrete(3)), NetworkSpec((16, 16)))
CONTINUOUS = Networks(
    Spaces(Observations.array(2), Box((-1.0,) * 2, (1.0,) * 2)), NetworkSpec((16,))
)


def policy(networks, scale=500.0):
    """A random policy whose outputs are not all near 0."""
    params = networks.init_policy(np.random.SeedSequence(0))
    grown = jax.tree.map(lambda x: scale * x, params["head"])
    return Policy({**params, "head": grown}, networks.init_stats())


OBS = jax.random.normal(jax.random.key(1), (4000, 2))


def test_a_temperature_divides_logits_and_keeps_modes():
    p = policy(DISCRETE)
    plain = DISCRETE.distribution(p.params, p.obs_stats, OBS)
    warm = DISCRETE.distribution(DISCRETE.temper(p.params, 2.5), p.obs_stats, OBS)
    np.testing.assert_allclose(warm.logits, plain.logits / 2.5, atol=1e-5)
    assert (warm.mode() == plain.mode()).all()


def test_a_temperature_multiplies_standard_deviations_and_keeps_means():
    p = policy(CONTINUOUS)
    plain = CONTINUOUS.distribution(p.params, p.obs_stats, OBS)
    warm = CONTINUOUS.distribution(CONTINUOUS.temper(p.params, 2.5), p.obs_stats, OBS)
    np.testing.assert_allclose(warm.std(), 2.5 * plain.std(), rtol=1e-5)
    assert (warm.mode() == plain.mode()).all()
    assert float(warm.exploration()["action_std"]) == pytest.approx(2.5)
    # The floor of the standard deviation holds here too.
    cold = CONTINUOUS.temper(p.params, 1e-6)
    assert float(cold["log_std"][0]) == -3.0


@pytest.mark.parametrize("networks", [DISCRETE, CONTINUOUS])
@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_that_actions_were_drawn_at_is_found(networks, truth):
    p = policy(networks)
    drawn = networks.distribution(networks.temper(p.params, truth), p.obs_stats, OBS)
    action = drawn.sample(jax.random.key(2))
    found = jax.jit(exploration.likely_temperature, static_argnums=0)(networks, p, OBS, action)
    assert float(found) == pytest.approx(truth, rel=0.08)


def test_a_wide_policy_is_calibrated_too():
    # Where the standard deviation is cut off at its largest, the likelihood is flat.
    p = policy(CONTINUOUS)
    p = p._replace(params={**p.params, "log_std": jnp.full(2, 1.8)})
    mean = CONTINUOUS.distribution(p.params, p.obs_stats, OBS).mean
    action = mean + 1.3 * np.exp(1.8) * jax.random.normal(jax.random.key(3), mean.shape)
    found = exploration.likely_temperature(CONTINUOUS, p, OBS, action)
    assert float(found) == pytest.approx(1.3, rel=0.05)


def test_the_temperature_of_an_entropy_is_found():
    p = policy(DISCRETE)
    for wanted in (0.2, 0.9):
        found = exploration.entropy_temperature(DISCRETE, p, OBS, wanted)
        warm = DISCRETE.distribution(DISCRETE.temper(p.params, found), p.obs_stats, OBS)
        assert float(warm.entropy().mean()) == pytest.approx(wanted, abs=1e-3)
    # Two dimensions, each with entropy log(std) + log(2 pi e) / 2.
    q = policy(CONTINUOUS)
    wanted = 2 * (np.log(0.3) + 0.5 * np.log(2 * np.pi * np.e))
    found = exploration.entropy_temperature(CONTINUOUS, q, OBS, wanted)
    assert float(found) == pytest.approx(0.3, rel=1e-3)


def test_a_share_of_exploration_by_hand():
    assert DISCRETE.spaces.action.entropy_of_share(0.5) == pytest.approx(0.5 * np.log(3))
    assert DISCRETE.spaces.action.entropy_of_share(1.0) == pytest.approx(np.log(3))
    # Two actions from -1 to 1: standard deviations of 0.3.
    expected = 2 * (np.log(0.3) + 0.5 * np.log(2 * np.pi * np.e))
    assert CONTINUOUS.spaces.action.entropy_of_share(0.3) == pytest.approx(expected)
    q = policy(CONTINUOUS)
    found = exploration.entropy_temperature(CONTINUOUS, q, OBS, expected)
    warm = CONTINUOUS.distribution(CONTINUOUS.temper(q.params, found), q.obs_stats, OBS)
    np.testing.assert_allclose(warm.std(), 0.3, rtol=1e-3)
    endless = Networks(Spaces(Observations.array(2), Box((-np.inf,), (np.inf,))), NetworkSpec((4,)))
    assert endless.spaces.action.entropy_of_share(0.3) == pytest.approx(expected / 2)


def test_an_entropy_that_cannot_be_reached_gives_an_end_of_the_range():
    found = exploration.entropy_temperature(DISCRETE, policy(DISCRETE), OBS, 5.0)
    assert float(found) == pytest.approx(exploration.HIGHEST, rel=1e-3)
    assert jnp.isfinite(found)


SQUASHED = Networks(CONTINUOUS.spaces, NetworkSpec((16,), squash_actions=True))


def squashed(log_std, head):
    p = policy(SQUASHED, head)
    return p._replace(params={**p.params, "log_std": jnp.full(2, log_std)})


def entropy_at(p, temperature):
    params = SQUASHED.temper(p.params, temperature)
    return float(SQUASHED.distribution(params, p.obs_stats, OBS[:200]).entropy().mean())


@pytest.mark.parametrize("log_std", [-3.0, -1.0, 0.0, 1.0])
def test_the_entropy_of_squashed_actions_is_found_though_it_falls_where_they_crowd_at_the_bounds(
    log_std,
):
    p, wanted = squashed(log_std, 1.0), SQUASHED.action.entropy_of_share(None)
    found = exploration.entropy_temperature(SQUASHED, p, OBS[:200], wanted)
    assert entropy_at(p, found) == pytest.approx(wanted, abs=1e-3)
    # The smaller of the two deviations with that entropy.
    deviation = SQUASHED.temper(p.params, found)["log_std"]
    np.testing.assert_allclose(np.exp(deviation), 0.15, rtol=0.05)


def test_squashed_actions_near_their_bounds_get_the_largest_entropy_there_is():
    p = squashed(-1.0, 1500.0)
    at = [entropy_at(p, t) for t in np.geomspace(0.05, 1000.0, 40)]
    wanted = SQUASHED.action.entropy_of_share(0.9)
    assert max(at) < wanted
    found = exploration.entropy_temperature(SQUASHED, p, OBS[:200], wanted)
    assert entropy_at(p, found) == pytest.approx(max(at), abs=0.05) and at[-1] < max(at) - 2
