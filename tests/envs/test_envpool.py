"""The envpool backend, on a stand-in with envpool's interface: gymnasium's own next-step resets."""

import sys
import types

import gymnasium as gym
import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs import environment
from jaxmaze.envs.actors import ActorConfig
from jaxmaze.envs.envpool import EnvpoolCollector
from jaxmaze.errors import UserError

LANDER = environment.EnvConfig("LunarLander-v3", max_episode_steps=40)


class Vector:
    """envpool's ``make(...)`` on gymnasium: a seed an environment, resets in steps of their own."""

    def __init__(self, name, env_type, num_envs, seed, max_episode_steps):
        assert env_type == "gymnasium" and len(seed) == num_envs == len(set(seed))
        make = lambda: gym.make(name, max_episode_steps=max_episode_steps)  # noqa: E731
        mode = gym.vector.AutoresetMode.NEXT_STEP
        self._env = gym.vector.SyncVectorEnv([make] * num_envs, autoreset_mode=mode)
        self._seed = seed
        self.close = self._env.close

    def reset(self):
        return self._env.reset(seed=self._seed)

    def step(self, action):
        assert action.dtype == np.int32
        return self._env.step(action)


@pytest.fixture
def stand_in(monkeypatch):
    module = types.ModuleType("envpool")
    module.make = Vector
    module.list_all_envs = lambda: ["LunarLander-v3", "CartPole-v1"]
    monkeypatch.setitem(sys.modules, "envpool", module)


def collector(learners=(0, 2)):
    info = environment.describe(LANDER)
    networks = Networks(info.spaces, NetworkSpec((16,)))
    seeds = [np.random.SeedSequence(m) for m in learners]
    each = [Policy(networks.init_policy(s), networks.init_stats()) for s in seeds]
    policies = jax.tree.map(lambda *x: np.stack(x), *each)
    config = ActorConfig(LANDER, networks, (5, 6, 7), 3, 1, learners)
    return EnvpoolCollector(config, info, 0), policies


def test_resets_are_marked_and_everything_else_is_a_step(stand_in):
    env, policies = collector()
    env.reset(0)
    segments = [env.collect(policies, i, 50) for i in range(3)]
    r = jax.tree.map(lambda *x: np.concatenate(x, 1), *[s.rollout for s in segments])
    assert r.obs.shape == (2, 150, 3, 8) and r.valid.shape == (2, 150, 3)
    done = (r.terminated + r.truncated) > 0
    assert done.any() and not (r.terminated * r.truncated).any()
    # A reset follows each end, in the same segment or the next, and nothing else.
    np.testing.assert_array_equal(r.valid[:, 1:] == 0, done[:, :-1])
    assert (r.valid[:, 0] == 1).all()
    assert (r.reward[r.valid == 0] == 0).all() and not done[r.valid == 0].any()
    np.testing.assert_array_equal(r.next_obs[:, :-1], r.obs[:, 1:])
    episodes = [e for s in segments for e in s.episodes]
    assert len(episodes) == done.sum() and {m for m, _, _ in episodes} == {0, 2}
    assert max(length for _, _, length in episodes) == 40
    total = sum(e[1] for e in episodes)
    ended = np.zeros_like(done)
    for m, n in np.ndindex(2, 3):  # rewards up to each environment's last end
        ends = np.flatnonzero(done[m, :, n])
        ended[m, : ends[-1] + 1, n] = len(ends) > 0
    assert total == pytest.approx(float(r.reward[ended].sum()), rel=1e-4)


def test_the_same_epoch_gives_the_same_segments(stand_in):
    env, policies = collector()
    env.reset(3)
    first = env.collect(policies, 0, 60).rollout
    env.reset(3)
    jax.tree.map(np.testing.assert_array_equal, first, env.collect(policies, 0, 60).rollout)
    env.reset(4)
    assert not np.array_equal(first.obs[:, 0], env.collect(policies, 0, 60).rollout.obs[:, 0])


def test_a_run_trains_on_it_and_is_evaluated_on_gymnasium(stand_in, small, tmp_path):
    changes = {"stage": "ppo", "env.backend": "envpool", "ppo.num_steps": 64}
    run = api.train(api.override(small, changes), tmp_path / "run")
    assert run.summary["evaluation"]["episodes"] == 6
    assert run.summary["timing"]["collect"]["count"] == 2


def test_what_it_cannot_do_is_one_line(stand_in, monkeypatch):
    def refused(**changes):
        with pytest.raises(UserError) as error:
            EnvpoolCollector.check(environment.describe(LANDER._replace(**changes)))
        return str(error.value)

    EnvpoolCollector.check(environment.describe(LANDER._replace(kwargs='{"gravity": -10.0}')))
    assert "cannot set env.kwargs.gravity=-5.0" in refused(kwargs='{"gravity": -5.0}')
    assert "has no Acrobot-v1" in refused(id="Acrobot-v1")
    monkeypatch.setitem(sys.modules, "envpool", None)
    assert "pip install 'jaxmaze[envpool]'" in refused()


@pytest.mark.parametrize("memory", ["gru", "delta_gru"])
def test_a_policy_with_memory_is_refused_where_it_would_train_and_nowhere_else(small, memory):
    # Its rollouts have neither hidden states nor the beginnings of episodes.
    changes = {"env.backend": "envpool", "network.memory": memory}
    for stage in ("ppo", "workflow"):
        with pytest.raises(UserError, match=f"envpool is not for config.network.memory={memory}: "):
            api.override(small, changes | {"stage": stage})
    assert api.override(small, changes | {"stage": "bc"}).network.memory == memory
