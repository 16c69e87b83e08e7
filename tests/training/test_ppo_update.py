"""The update of all learners is each learner's own, however it is spread over devices."""

import contextlib
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze import config as config_lib
from jaxmaze.core import ppo
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.envs import environment
from jaxmaze.envs.collectors import open_collector
from jaxmaze.policies import build_networks
from jaxmaze.training import ppo_arms, ppo_learner, ppo_update
from tests.core.test_ppo import hyper, rollout
from tests.training.test_compiled import compilations

SPACES = Spaces(Observations.array(2), Discrete(2))


@pytest.mark.parametrize("members", [2, 3])
def test_each_learner_is_updated_as_if_alone(small, members):
    # Odd numbers on two devices: the policy's half on one, the critic's on the other.
    sizes = {"ppo.num_envs": 8, "ppo.batch_size": 64, "ppo.init_from": None, "members": members}
    settings = api.override(small, sizes)
    networks = build_networks(settings, SPACES)
    each = [ppo.init(networks, np.random.SeedSequence(m), 8) for m in range(members)]
    segments = [
        rollout(networks, s, jax.random.key(m), lambda obs, a: obs[..., 0] * a)
        for m, s in enumerate(each)
    ]
    rates = np.linspace(1e-3, 3e-3, members, dtype=np.float32)
    hypers = [hyper(learning_rate=rate, value_learning_rate=2 * rate) for rate in rates]
    clones = [s.policy for s in each]
    stacked = (
        jax.tree.map(lambda *x: np.stack(x), *some) for some in (each, segments, hypers, clones)
    )
    state, means = ppo_update.Updater([settings], networks)(*stacked, None)
    state = jax.device_get(state)
    alone = jax.jit(ppo.update, static_argnums=(0, 1))
    static = ppo_arms.static([settings])
    for m in range(members):
        mine, metrics = alone(networks, static, each[m], segments[m], hypers[m], clones[m])
        jax.tree.map(lambda a, b, m=m: np.testing.assert_allclose(a[m], b, atol=2e-4), state, mine)
        for name in ("value_loss", "approx_kl", "entropy", "policy_grad_norm"):
            np.testing.assert_allclose(means[name][m], metrics[name], rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_the_first_update_finds_its_program_compiled(small, members, kind):
    """What is prepared are the shapes that collectors give: a drift would only be slow."""
    config = api.override(
        small,
        {"members": members, "ppo.init_from": None, "env.kwargs.continuous": kind != "discrete"},
    )
    settings = config_lib.to_settings(config)
    info = environment.describe(environment.EnvConfig.of(settings.env))
    networks = build_networks(settings, info.spaces)
    updater = ppo_update.Updater([settings], networks)
    updater.prepare()
    updater.wait()
    assert updater.failed is None
    section = settings.ppo
    arm = ppo_arms.Arm("arm", settings, Path("arm"), slice(0, members), None)
    learners = ppo_learner.Population(
        [arm], networks, ppo_arms.DemonstrationSets(info, info.spaces.action), updater
    )
    pool = open_collector(settings.env, info, networks, learners.seeds, section.num_envs)
    with contextlib.closing(pool):
        pool.reset(0)
        segment = pool.begin(learners.behaviour(), 0, section.num_steps)()
    learners.reset_environments()
    with compilations() as found:
        learners.update(segment.rollout)
    assert not found
