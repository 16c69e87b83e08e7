"""What remembers: an encoder with a carry acts, is evaluated and learns as one that has none."""

import contextlib

import flax.linen as nn
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.core import encoders, normalization, preserving
from jaxmaze.core.memory import Memory
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs import environment
from jaxmaze.envs.actors import ActorConfig
from jaxmaze.envs.workers import Pool
from tests.conftest import SMALL


class Recurrent(nn.Module):
    """An Elman network: the smallest thing that remembers."""

    obs: object
    spec: NetworkSpec

    @staticmethod
    def carry_size(spec):
        return spec.hidden_sizes[-1]

    @staticmethod
    def input_layers(spec):
        return (("seen",),)

    @nn.compact
    def __call__(self, rows, carry, begin):
        zeros, size = nn.initializers.zeros, self.spec.hidden_sizes[-1]
        carry = carry * (1.0 - begin)[..., None]
        seen = nn.Dense(size, kernel_init=zeros, name="seen")(rows)
        carry = nn.tanh(seen + nn.Dense(size, kernel_init=zeros, name="kept")(carry))
        return carry, carry


class Cue(gym.Env):
    """Shows one of two cues, once, and pays for the action that fits it in the steps after."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.t = int(self.np_random.integers(2)), 0
        return np.array([2 * self.cue - 1, 1], np.float32), {}

    def step(self, action):
        self.t += 1
        reward = float(action == self.cue) if self.t > 1 else 0.0
        return np.zeros(2, np.float32), reward, self.t >= 5, False, {}


@pytest.fixture(params=["encoder", "gru"])
def remembers(monkeypatch, request):
    """An encoder takes the MLP's place, or a memory stands behind it; the environment is known."""
    if request.param == "encoder":
        monkeypatch.setitem(encoders.ENCODERS, "mlp", Recurrent)
    monkeypatch.setitem(
        gym.registry,
        "Cue-v0",
        gym.envs.registration.EnvSpec("Cue-v0", entry_point=Cue, max_episode_steps=20),
    )
    spec = NetworkSpec((8,))
    if request.param == "gru":
        spec = spec._replace(memory="gru", memory_size=8)
    return environment.EnvConfig("Cue-v0"), spec


def setup(remembers, members=2):
    env, spec = remembers
    info = environment.describe(env)
    networks = Networks(info.spaces, spec)
    each = [
        Policy(
            jax.tree.map(lambda x: 5 * x, networks.init_policy(np.random.SeedSequence(m))),
            networks.init_stats(),
        )
        for m in range(members)
    ]
    return info, networks, each, jax.tree.map(lambda *x: np.stack(x), *each)


def test_a_segment_has_all_that_is_needed_to_compute_it_again(remembers):
    """Log-probabilities of two segments, one after the other, with what was remembered between."""
    info, networks, each, together = setup(remembers)
    config = ActorConfig(remembers[0], networks, (3, 4), 4, 2)
    with contextlib.closing(Pool(config, info, 0)) as pool:
        pool.reset(0)
        segments = [pool.begin(together, i, 7)().rollout for i in range(2)]
    for rollout in segments:
        assert rollout.begin.shape == (2, 7, 4) and rollout.carry.shape == (2, 4, 8)
        for m, policy in enumerate(each):
            memory = Memory(rollout.carry[m], rollout.begin[m])
            dist = networks.distribution(policy.params, policy.obs_stats, rollout.obs[m], memory)
            wanted = dist.log_prob(rollout.action[m])
            np.testing.assert_allclose(rollout.log_prob[m], wanted, atol=1e-5)
            blank = networks.distribution(policy.params, policy.obs_stats, rollout.obs[m])
            assert np.abs(blank.log_prob(rollout.action[m]) - wanted).max() > 1e-3
    np.testing.assert_array_equal(segments[0].begin[:, 0], 1)
    done = segments[0].terminated + segments[0].truncated
    np.testing.assert_array_equal(segments[0].begin[:, 1:], done[:, :-1])
    np.testing.assert_array_equal(segments[1].begin[:, 0], done[:, -1])


def test_the_critic_values_what_follows_with_what_it_remembers(remembers):
    _, networks, _, _ = setup(remembers)
    params = networks.init_value(np.random.SeedSequence(0))
    stats, rng = networks.init_stats(), np.random.default_rng(0)
    obs = rng.normal(size=(5, 3, 2)).astype(np.float32)
    begin = np.zeros((5, 3), np.float32)
    begin[2, 1] = 1.0
    memory = Memory(rng.normal(size=(3, 8)).astype(np.float32), begin)
    value, beyond, _ = networks.values_in_turn(params, stats, obs, np.roll(obs, -1, 0), memory)
    np.testing.assert_allclose(value, networks.value(params, stats, obs, memory), atol=1e-6)
    # What follows a step is the next one's observation, but where another episode begins there.
    same = begin[1:] == 0
    np.testing.assert_allclose(beyond[:-1][same], value[1:][same], atol=1e-5)
    assert (np.abs(beyond[:-1] - value[1:])[~same] > 1e-4).all()


@pytest.mark.slow
def test_ppo_learns_what_only_memory_can_tell(remembers, tmp_path):
    changes = {
        "stage": "ppo",
        "env.id": "Cue-v0",
        "env.max_episode_steps": None,
        "network.memory": remembers[1].memory,
        "network.memory_size": 16,
        "network.hidden_sizes": (16,),
        "ppo.num_envs": 16,
        "ppo.num_steps": 32,
        "ppo.batch_size": 128,
        "ppo.num_epochs": 4,
        "ppo.total_env_steps": 16384,
        "ppo.learning_rate": 3e-3,
        "ppo.value_learning_rate": 3e-3,
        "ppo.gamma": 0.9,
        "ppo.gae_lambda": 0.95,
        "ppo.eval_every": 8,
        "evaluation.episodes": 20,
    }
    run = api.train(api.make_config({**SMALL, **changes}), tmp_path / "run")
    # Who remembers nothing gets 2 of 4 on average.
    assert run.summary["evaluation"]["mean"] > 3.5
    last = [x for x in run.metrics() if "ppo/approx_kl" in x]
    assert all(jnp.isfinite(x["ppo/approx_kl"]) for x in last)


def test_a_memory_s_statistics_change_and_what_it_computes_does_not(remembers):
    env, spec = remembers
    networks = Networks(environment.describe(env).spaces, spec)
    params = networks.init_policy(np.random.SeedSequence(0))
    params = jax.tree.map(lambda x: x + 0.1, params)
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(7, 3, 2)).astype(np.float32)
    old = normalization.update_stats(networks.init_stats(), rng.normal(1, 2, (50, 2)))
    new = normalization.update_stats(old, obs.reshape(-1, 2))
    change = preserving.change_between(old, new, obs.reshape(-1, 2))
    memory = Memory(jnp.ones((3, networks.carry_size)), jnp.zeros((7, 3)))
    ours = preserving.params(params, change, networks.input_layers)
    found, wanted, without = (
        networks.follow(p, stats, obs, memory)[1]
        for p, stats in ((ours, new), (params, old), (params, new))
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(without - wanted).max() > 1e-3
