"""Action masks, from wherever environments give them, in all that acts."""

import gymnasium as gym
import jax
import numpy as np
import pytest

from jaxmaze.core.networks import Networks
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs import action_masks, environment
from jaxmaze.envs.actors import ActorConfig
from jaxmaze.envs.envpool import EnvpoolCollector
from jaxmaze.envs.workers import Pool
from jaxmaze.errors import UserError
from jaxmaze.policies import LoadedPolicy, resolve

MASKED = "tests.action_env:Masked-v0"


def described(how, multi=False, wanted=None):
    kwargs = f'{{"how": "{how}", "multi": {str(multi).lower()}}}'
    config = environment.EnvConfig(MASKED, kwargs, action_masks=wanted)
    return environment.describe(config)


@pytest.mark.parametrize("how", ["info", "observation", "method"])
def test_masks_are_found_and_are_part_of_the_observation(how):
    info = described(how)
    assert info.config.mask_source == how and info.spaces.masked
    assert info.spaces.obs.parts[0].path == ("action_mask",)
    assert info.spaces.features.size == 2
    env = environment.make(info.config)
    obs, _ = env.reset(seed=0)
    assert obs in env.observation_space
    np.testing.assert_array_equal(obs["action_mask"], env.unwrapped._mask())
    obs, *_ = env.step(2)
    np.testing.assert_array_equal(obs["action_mask"], env.unwrapped._mask())
    assert obs["action_mask"][0] == 1


def test_masks_are_left_alone_where_nobody_wants_them_or_none_are():
    for info in (
        described("info", wanted=False),
        described("none"),
        described("method", wanted=False),
    ):
        assert not info.spaces.masked and info.spaces.obs.size == 2
        env = environment.make(info.config)
        assert env.reset(seed=0)[0].shape == (2,)
    info = described("observation", wanted=False)  # then a part like any other
    assert not info.spaces.masked and info.spaces.features.size == 6


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_masks_that_must_be_there_and_are_not_are_one_line(env_id):
    with pytest.raises(UserError, match=f"action_masks=True, but {env_id} has"):
        environment.describe(environment.EnvConfig(env_id, action_masks=True))


class Faulty(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, fault):
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {"action_mask": np.ones(3)}

    def step(self, action):
        masks = {"none": {}, "zeros": {"action_mask": np.zeros(3)}, "short": {"action_mask": [1]}}
        return np.zeros(1, np.float32), 0.0, self.fault == "over", False, masks.get(self.fault, {})


@pytest.mark.parametrize(
    "fault,words",
    [("none", "gave no info"), ("zeros", "leaves no action"), ("short", "of 1 entries.* need 3")],
)
def test_masks_that_cannot_be_kept_to_are_one_line(fault, words):
    env = action_masks.ActionMasks(Faulty(fault), "info", "Faulty-v0")
    env.reset()
    with pytest.raises(UserError, match=f"Faulty-v0 gave .*{words}|{words}"):
        env.step(0)


def test_each_of_several_choices_needs_an_action():
    info = described("info", multi=True)
    masks = np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(info.spaces.action.blocked(masks), [False, True, True])


def test_nobody_chooses_once_an_episode_is_over():
    env = action_masks.ActionMasks(Faulty("over"), "info", "Faulty-v0")
    env.reset()
    np.testing.assert_array_equal(env.step(0)[0]["action_mask"], 1)


def population(info, members=2, seed=0):
    networks = Networks(info.spaces, NetworkSpec((8,)))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda x: rng.normal(size=(members, *x.shape)).astype(np.float32), networks.policy_shapes()
    )
    stats = jax.tree.map(lambda x: np.stack([x] * members), networks.init_stats())
    return networks, Policy(params, stats)


@pytest.mark.parametrize("how,multi", [("info", False), ("method", True), ("observation", False)])
def test_whoever_acts_keeps_to_the_masks(how, multi):
    info = described(how, multi)  # which stops at an action that its mask forbids
    networks, policies = population(info)
    config = ActorConfig(info.config, networks, (0, 1), 4, 2)
    with Pool(config, info, 0) as pool:
        pool.reset(0)
        segment = pool.collect(policies, 0, 40)
        for deterministic in (True, False):
            active = np.ones(2, bool)
            assert len(pool.evaluate(policies, np.arange(6), deterministic, active)) == 12
    mask, action = segment.rollout.obs["action_mask"], segment.rollout.action
    assert mask.shape == (2, 40, 4, 4) and 0 < mask.mean() < 1
    assert (segment.rollout.log_prob > -50).all()
    rows = action.reshape(-1, *info.spaces.action.shape)
    taken = info.spaces.action.to_env(rows)
    assert not info.spaces.action.forbidden(taken, mask.reshape(-1, 4)).any()
    env = environment.make(info.config)
    for act in (
        resolve("random", info, 0),
        LoadedPolicy(networks, jax.tree.map(lambda x: x[0], policies)),
    ):
        obs, _ = env.reset(seed=3)
        for _ in range(30):
            batch = jax.tree.map(lambda x: x[None], obs)
            obs, _, over, _, _ = env.step(info.spaces.action.each(np.asarray(act(batch)))[0])
            if over:
                obs, _ = env.reset()


def test_masks_are_no_features():
    info = described("info")
    networks, policies = population(info, 1)
    policy = jax.tree.map(lambda x: x[0], policies)
    assert networks.init_stats().mean.shape == (2,)
    place = np.array([[3.0, 5.0]], np.float32)
    free, tight = (
        {"observation": place, "action_mask": np.array([m], np.float32)}
        for m in ([1, 1, 1, 1], [0, 1, 1, 0])
    )
    logits = [
        np.asarray(networks.distribution(policy.params, policy.obs_stats, o).logits)[0]
        for o in (free, tight)
    ]
    np.testing.assert_array_equal(logits[0][1:3], logits[1][1:3])
    assert (logits[1][[0, 3]] < -1e7).all()
    values = [
        networks.value(networks.init_value(np.random.SeedSequence(0)), policy.obs_stats, o)
        for o in (free, tight)
    ]
    np.testing.assert_array_equal(*values)


def test_envpool_has_no_masks():
    with pytest.raises(UserError, match="gives no action masks"):
        EnvpoolCollector.check(described("info"))
