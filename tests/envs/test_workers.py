import os
import signal
import time

import jax
import numpy as np
import pytest

from jaxmaze.core.networks import Networks
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs import environment
from jaxmaze.envs.actors import ActorConfig
from jaxmaze.envs.collectors import num_shards
from jaxmaze.envs.workers import Pool
from jaxmaze.errors import WorkerError

LANDER = environment.EnvConfig("LunarLander-v3", max_episode_steps=40)


def setup(env=LANDER, members=2, num_envs=4):
    info = environment.describe(env)
    networks = Networks(info.spaces, NetworkSpec((16,)))
    seeds = [np.random.SeedSequence(m) for m in range(members)]
    each = [Policy(networks.init_policy(s), networks.init_stats()) for s in seeds]
    policies = jax.tree.map(lambda *x: np.stack(x), *each)
    config = ActorConfig(env, networks, tuple(range(members)), num_envs, num_shards(num_envs, 4))
    return config, info, policies


def everything(workers, config, info, policies):
    with Pool(config, info, workers) as pool:
        pool.reset(0)
        segments = [pool.collect(policies, i, 30) for i in range(2)]
        results = pool.evaluate(policies, np.arange(5), False, np.array([True, True]))
    return segments, sorted(results)


PENDULUM = environment.EnvConfig("Pendulum-v1", max_episode_steps=25)


@pytest.mark.parametrize("env", [LANDER, PENDULUM])
def test_rollouts_are_the_same_to_the_bit_for_any_number_of_workers(env):
    setting = setup(env)
    expected, evaluated = everything(0, *setting)
    assert len(evaluated) == 10
    for workers in (1, 2, 4):
        segments, results = everything(workers, *setting)
        assert results == evaluated
        for a, b in zip(segments, expected, strict=True):
            jax.tree.map(np.testing.assert_array_equal, a.rollout, b.rollout)
            assert a.episodes == b.episodes


def test_a_segment_tells_the_true_next_observation_and_how_episodes_end():
    config, info, policies = setup()
    with Pool(config, info, 0) as pool:
        pool.reset(0)
        segment = pool.collect(policies, 0, 60)
    r = segment.rollout
    assert r.obs.shape == (2, 60, 4, 8) and r.action.shape == (2, 60, 4)
    done = (r.terminated + r.truncated) > 0
    assert done.any() and not (r.terminated * r.truncated).any()
    going_on = ~done[:, :-1]
    np.testing.assert_array_equal(r.next_obs[:, :-1][going_on], r.obs[:, 1:][going_on])
    # After an end a new episode starts high up; the next observation is the old episode's last.
    starts = r.obs[:, 1:][done[:, :-1]]
    finals = r.next_obs[:, :-1][done[:, :-1]]
    assert (starts[:, 1] > 1.3).all() and not np.array_equal(starts, finals)
    assert len(segment.episodes) == done.sum()
    assert {length for _, _, length in segment.episodes if length == 40} == {40}


def test_log_probabilities_are_those_of_the_policy():
    config, info, policies = setup()
    with Pool(config, info, 0) as pool:
        pool.reset(0)
        r = pool.collect(policies, 0, 20).rollout

    def log_prob(policy, obs, action):
        return config.networks.distribution(policy.params, policy.obs_stats, obs).log_prob(action)

    expected = jax.vmap(log_prob)(policies, r.obs, r.action)
    np.testing.assert_allclose(r.log_prob, expected, atol=1e-6)


def test_only_active_members_are_evaluated():
    config, info, policies = setup()
    with Pool(config, info, 0) as pool:
        results = pool.evaluate(policies, np.arange(6), True, np.array([False, True]))
    assert {r.member for r in results} == {1} and sorted(r.episode for r in results) == list(
        range(6)
    )


def test_a_killed_worker_is_reported_and_nothing_hangs():
    config, info, policies = setup()
    with Pool(config, info, 2) as pool:
        pool.reset(0)
        os.kill(pool._workers[1]._process.pid, signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(WorkerError, match="died with exit code -9"):
            for i in range(3):
                pool.collect(policies, i, 30)
        assert time.monotonic() - start < 30


def test_an_environment_that_raises_is_reported_with_its_own_traceback():
    env = environment.EnvConfig("tests.broken_env:Broken-v0")
    config, info, policies = setup(env)
    with Pool(config, info, 2) as pool:
        pool.reset(0)
        with pytest.raises(WorkerError, match="the gearbox is on fire"):
            pool.collect(policies, 0, 30)


def test_shards_divide_the_environments():
    assert [num_shards(n, 4) for n in (1, 2, 3, 4, 6, 16, 7)] == [1, 2, 3, 4, 3, 4, 1]
    assert [num_shards(n, 16) for n in (16, 24, 7)] == [16, 12, 7]


def test_members_that_do_not_learn_are_not_stepped():
    config, info, policies = setup(members=3)
    with Pool(config, info, 0) as pool:
        pool.reset(0)
        everyone = pool.collect(policies, 0, 50)
    learners = jax.tree.map(lambda x: x[np.array([0, 2])], policies)
    with Pool(config._replace(training=(0, 2)), info, 2) as pool:
        pool.reset(0)
        segment = pool.collect(learners, 0, 50)
        results = pool.evaluate(policies, np.arange(3), True, np.ones(3, bool))
    # Those who do see the same world, act with the same noise, and keep their numbers.
    np.testing.assert_array_equal(segment.rollout.obs[:, 0], everyone.rollout.obs[[0, 2], 0])
    assert {m for m, _, _ in segment.episodes} == {0, 2}
    assert {r.member for r in results} == {0, 1, 2}


def test_a_segment_can_be_waited_for_later():
    config, info, policies = setup()
    for workers in (0, 2):
        with Pool(config, info, workers) as pool:
            pool.reset(0)
            waiting = [pool.begin(policies, 0, 20)]
            segments = [waiting[0]()]
            pool.reset(0)
            segments.append(pool.collect(policies, 0, 20))
        jax.tree.map(np.testing.assert_array_equal, segments[0].rollout, segments[1].rollout)


def pids(pool):
    return {worker._process.pid for worker in pool._workers}


def test_workers_are_kept_for_the_next_pool_and_act_as_new_ones_do(monkeypatch):
    config, info, policies = setup()
    other = setup(environment.EnvConfig("Pendulum-v1", max_episode_steps=25), members=1, num_envs=2)
    with Pool(config, info, 2) as pool:
        first = pids(pool)
        pool.reset(0)
        expected = pool.collect(policies, 0, 30)
    with Pool(other[0], other[1], 2) as pool:
        assert pids(pool) == first
        pool.reset(0)
        assert pool.collect(other[2], 0, 30).rollout.obs.shape == (1, 30, 2, 3)
    with Pool(config, info, 2) as pool:
        assert pids(pool) == first
        pool.reset(0)
        again = pool.collect(policies, 0, 30)
    jax.tree.map(np.testing.assert_array_equal, again.rollout, expected.rollout)
    monkeypatch.setenv("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    with Pool(config, info, 2) as pool:
        assert not pids(pool) & first  # they would not have seen the variable


def test_workers_are_not_kept_with_others_code_or_in_the_middle_of_something():
    config, info, policies = setup(environment.EnvConfig("tests.broken_env:Broken-v0"))
    with Pool(config, info, 2) as pool:
        foreign = [worker._process for worker in pool._workers]
    assert all(process.poll() is not None for process in foreign)
    config, info, policies = setup()
    with Pool(config, info, 2) as pool:
        busy = [worker._process for worker in pool._workers]
        pool.reset(0)
        pool.begin(policies, 0, 20)
    assert all(process.poll() is not None for process in busy)
