"""Actions of a population in one call: each member's own policy, its own noise, its own memory."""

import jax
import numpy as np
import pytest

from jaxmaze.core.networks import Networks
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Box, Discrete, Spaces
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs import acting

SPACES = {
    "discrete": Spaces(Observations.array(2, 3), Discrete(4)),
    "continuous": Spaces(Observations.array(5), Box((-1.0, -2.0), (1.0, 2.0))),
}
LEAD = (2, 3, 4)
"""Shards, members, environments of a member in a shard."""


def population(networks, members=3):
    each = [
        Policy(networks.init_policy(np.random.SeedSequence(m)), networks.init_stats())
        for m in range(members)
    ]
    grown = [p._replace(params=jax.tree.map(lambda x: 30 * x, p.params)) for p in each]
    return grown, jax.tree.map(lambda *x: np.stack(x), *grown)


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("sampled", [False, True])
def test_each_environment_is_acted_in_by_its_member(kind, sampled):
    networks = Networks(SPACES[kind], NetworkSpec((8,)))
    each, together = population(networks)
    chooser = acting.Chooser(networks, LEAD, sampled)
    rng = np.random.default_rng(0)
    chooser.obs[...] = rng.normal(size=chooser.obs.shape)
    action = SPACES[kind].action
    noise = None
    if sampled:
        noise = acting.draw(action, (5, 6, 7), (0, 1), LEAD[2], 1, 9)[0]
    numbers = chooser(acting.pack(networks, together), noise)
    found = action.from_numbers(numbers)
    rows = np.arange(24).reshape(LEAD)
    for member in range(3):
        mine = rows[:, member].reshape(-1)
        policy = each[member]
        dist = networks.distribution(policy.params, policy.obs_stats, chooser.obs[mine])
        wanted = dist.pick(noise[mine]) if sampled else dist.mode()
        np.testing.assert_allclose(found[mine], wanted, atol=1e-5)
        if sampled:
            np.testing.assert_allclose(numbers[mine, -1], dist.log_prob(wanted), atol=1e-4)


def test_random_numbers_depend_on_seed_shard_and_path_alone():
    draw = lambda *args: acting.draw(Discrete(4), *args)  # noqa: E731
    whole = draw((5, 6), (0, 1), 2, 3, 9).reshape(3, 2, 2, 2, 4)
    np.testing.assert_array_equal(whole[:, 1], draw((5, 6), (1,), 2, 3, 9).reshape(3, 2, 2, 4))
    np.testing.assert_array_equal(whole[:, :, 1], draw((6,), (0, 1), 2, 3, 9).reshape(3, 2, 2, 4))
    assert len(np.unique(whole)) == whole.size
    assert not np.isin(draw((5, 6), (0, 1), 2, 3, 8), whole).any()


def test_programs_of_other_networks_are_not_kept_for_ever():
    assert acting._compiled.cache_info().maxsize == 16
