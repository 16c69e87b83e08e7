"""What is collected of an environment that is known: actions, ends, episodes, random numbers."""

import json
import math

import gymnasium as gym
import jax
import numpy as np
import pytest
from scipy import stats

from jaxmaze.core.networks import Networks
from jaxmaze.core.spaces import Discrete
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs import environment
from jaxmaze.envs.actors import ActorConfig
from jaxmaze.envs.workers import Pool

SHARES = np.array([[0.5, 0.3, 0.15, 0.05], [0.05, 0.05, 0.2, 0.7]])
"""Probabilities of the four actions, of each of two members."""


def known(limit=None, **kwargs):
    return environment.EnvConfig("tests.known_env:Known-v0", json.dumps(kwargs), limit)


def setup(env, seeds=(0, 1), num_envs=4, num_shards=2):
    """A population that does in every state what its last layer's bias says."""
    info = environment.describe(env)
    networks = Networks(info.spaces, NetworkSpec((4,)))
    config = ActorConfig(env, networks, seeds, num_envs, num_shards)
    blank = [
        Policy(
            jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), networks.policy_shapes()),
            networks.init_stats(),
        )
        for _ in seeds
    ]
    for m, policy in enumerate(blank):
        if isinstance(info.spaces.action, Discrete):
            policy.params["head"]["bias"][:] = np.log(SHARES[m])
    return config, info, jax.tree.map(lambda *x: np.stack(x), *blank)


def fits(actions, shares):
    """Whether so many draws may be of these probabilities (chi-square, 1 in a thousand)."""
    counts = np.bincount(np.asarray(actions, int).reshape(-1), minlength=len(shares))
    return stats.chisquare(counts, shares * counts.sum()).pvalue > 1e-3


def test_actions_are_as_frequent_as_the_policy_says():
    config, info, policies = setup(known(50))
    with Pool(config, info, 0) as pool:
        pool.reset(0)
        segments = [pool.collect(policies, i, 500).rollout for i in range(2)]
    for m, shares in enumerate(SHARES):
        action = np.stack([s.action[m] for s in segments])
        assert fits(action, shares) and not fits(action, SHARES[1 - m])
        # Whatever was done before, in another environment, or one step ago.
        follows = action[:, 1:][action[:, :-1] == 0]
        assert len(follows) > 100 and fits(follows, shares)
        assert all(fits(action[:, :, n], shares) for n in range(4))
        for s in segments:
            np.testing.assert_allclose(s.log_prob[m], np.log(shares)[s.action[m]], atol=1e-5)
            np.testing.assert_array_equal(s.reward[m], s.action[m])


def test_samples_of_an_evaluation_are_as_frequent_as_the_policy_says():
    # Episodes of one step, whose return is the action; and longer ones than a block of noise.
    config, info, policies = setup(known(crash_at=1))
    with Pool(config, info, 0) as pool:
        results = pool.evaluate(policies, np.arange(2000), False, np.array([True, True]))
        modes = pool.evaluate(policies, np.arange(5), True, np.array([True, True]))
    assert {(r.member, r.episode_return) for r in modes} == {(0, 0.0), (1, 3.0)}
    for m, shares in enumerate(SHARES):
        mine = [r.episode_return for r in results if r.member == m]
        assert len(mine) == 2000 and fits(mine, shares)
    config, info, policies = setup(known(1000))
    with Pool(config, info, 0) as pool:
        results = pool.evaluate(policies, np.arange(8), False, np.array([True, True]))
    for m, shares in enumerate(SHARES):
        values = np.arange(4)
        mean = shares @ values
        error = math.sqrt((shares @ values**2 - mean**2) * 1000)
        off = [(r.episode_return - 1000 * mean) / error for r in results if r.member == m]
        assert len(off) == 8 and np.abs(off).max() < 4 and 0.3 < np.std(off) < 2


def alike(rows):
    """The largest correlation between two of ``[R, T]``, whatever its sign."""
    found = np.abs(np.corrcoef(rows))
    np.fill_diagonal(found, 0)
    return found.max()


def test_random_numbers_differ_by_iteration_shard_environment_and_member():
    # With mean 0 and deviation 1 everybody does what the noise says.
    config, info, policies = setup(known(50, actions=0), num_envs=4, num_shards=2)
    with Pool(config, info, 0) as pool:
        pool.reset(0)
        taken = [pool.collect(policies, i, 300).rollout.action for i in (0, 1, 2)]
        pool.reset(0)
        again = pool.collect(policies, 1, 300).rollout
    np.testing.assert_array_equal(again.action, taken[1])
    # The environment takes them within its bounds, the update as they were drawn.
    np.testing.assert_allclose(again.reward, again.action[..., 0].clip(-1, 1), atol=1e-6)
    assert np.abs(again.action).max() > 2
    rows = np.stack(taken)[..., 0].swapaxes(2, 3).reshape(-1, 300)  # by iteration, member, column
    assert len(rows) == 3 * 2 * 4 and alike(rows) < 0.3
    assert np.abs(rows.mean()) < 0.05 and rows.std() == pytest.approx(1, abs=0.05)
    # Nor does it repeat within an iteration.
    assert alike(rows.reshape(-1, 100)) < 0.5


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_crash_terminates_and_a_limit_truncates(workers):
    # What is done, member by member, in episodes of 7 steps that crash or are cut.
    for crash_at, limit, over in ((7, 100, True), (None, 7, False), (7, 7, True)):
        config, info, policies = setup(known(limit, crash_at=crash_at))
        with Pool(config, info, workers) as pool:
            pool.reset(3)
            segment = pool.collect(policies, 0, 20)
            results = pool.evaluate(policies, np.arange(5), False, np.array([True, True]))
        r = segment.rollout
        ends = np.broadcast_to((np.arange(20) % 7 == 6)[None, :, None], r.reward.shape)
        np.testing.assert_array_equal(r.terminated, ends & over)
        np.testing.assert_array_equal(r.truncated, ends & (not over))
        # Observations count the steps; after an end they are a new episode's, with another seed.
        steps = np.broadcast_to((np.arange(20) % 7)[None, :, None], r.reward.shape)
        np.testing.assert_array_equal(r.obs[..., 0], steps)
        np.testing.assert_array_equal(r.next_obs[..., 0], steps + 1)
        np.testing.assert_array_equal(r.next_obs[..., 1], r.obs[..., 1])
        assert (r.obs[:, 6, :, 1] != r.obs[:, 7, :, 1]).all()
        returns = r.reward[:, :14].reshape(2, 2, 7, 4).sum(2)
        expected = [(m, float(x), 7) for m in range(2) for x in returns[m].reshape(-1)]
        assert sorted(segment.episodes) == sorted(expected)
        assert len(results) == 10
        assert {(x.length, x.terminated) for x in results} == {(7, over)}


def test_training_episodes_are_all_different_and_those_of_an_epoch_the_same():
    config, info, policies = setup(known(10))
    with Pool(config, info, 0) as pool:

        def seeds(epoch):
            pool.reset(epoch)
            return pool.collect(policies, 0, 30).rollout.obs[:, ::10, :, 1]

        first, other, again = seeds(0), seeds(5), seeds(0)
    np.testing.assert_array_equal(first, again)
    both = np.concatenate([first, other], None)
    assert both.size == 2 * 2 * 3 * 4 and len(np.unique(both)) >= both.size - 3  # of 1000


def test_an_evaluation_plays_each_seed_once_for_each_member():
    import tests.known_env

    config, info, policies = setup(known(3))
    seen = []
    reset = tests.known_env.Known.reset

    def spy(self, *, seed=None, options=None):
        seen.append(seed)
        return reset(self, seed=seed, options=options)

    with pytest.MonkeyPatch.context() as patch, Pool(config, info, 0) as pool:
        patch.setattr(tests.known_env.Known, "reset", spy)
        results = pool.evaluate(policies, np.arange(7, 18), True, np.array([True, True]))
    assert sorted(seen) == sorted([*range(7, 18)] * 2)
    assert sorted((r.member, r.episode) for r in results) == [
        (m, e) for m in (0, 1) for e in range(11)
    ]


class Reuses(gym.Env):
    """Gives its observations in the same memory, again and again."""

    observation_space = gym.spaces.Box(-1, 100, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self):
        self._memory = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._memory[:] = 0
        return self._memory, {}

    def step(self, action):
        self._memory += 1
        return self._memory, 0.0, bool(self._memory[0] >= 3), False, {}


def test_an_environment_may_use_the_same_memory_for_all_observations(monkeypatch):
    spec = gym.envs.registration.EnvSpec("Reuses-v0", entry_point=Reuses, max_episode_steps=9)
    monkeypatch.setitem(gym.registry, "Reuses-v0", spec)
    info = environment.describe(environment.EnvConfig("Reuses-v0"))
    networks = Networks(info.spaces, NetworkSpec((4,)))
    policy = Policy(networks.init_policy(np.random.SeedSequence(0)), networks.init_stats())
    config = ActorConfig(info.config, networks, (0,), 2, 1)
    with Pool(config, info, 0) as pool:
        pool.reset(0)
        segment = pool.collect(jax.tree.map(lambda x: x[None], policy), 0, 7).rollout
    np.testing.assert_array_equal(segment.obs[0, :, 0, 0], [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(segment.next_obs[0, :, 0, 0], [1, 2, 3, 1, 2, 3, 1])
