"""Environments that break gymnasium's contract: one line that names them, at once or later."""

import jax
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.spaces import Dict as DictSpace
from gymnasium.spaces import Tuple as TupleSpace

from jaxmaze.core.networks import Networks
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs import environment, episodes, trial
from jaxmaze.envs.actors import Actor, ActorConfig
from jaxmaze.errors import UserError, WorkerError
from tests.count_env import HERE, Count, changed, config_of, make_env, refused, step_with, variant


def showing(space, obs):
    return {"observation_space": space, "obs": lambda self: obs}


IMAGE = Box(0, 255, (2, 2, 3), np.uint8)
KEYS = DictSpace({"a": Box(0, 1, (1,)), "b": Discrete(3)})
WRONG = {
    "no seed": ({"reset": lambda self: (self.obs(), {})}, ["takes no seed and no options"]),
    "no options": ({"reset": lambda self, seed=None: (np.zeros(3), {})}, ["takes no options"]),
    "no info": (
        {"reset": changed("reset", lambda obs, info: obs)},
        ["reset() returned a ndarray of shape (3,)", "(observation, info)"],
    ),
    "four values": (
        {"step": changed("step", lambda o, r, t, c, i: (o, r, t or c, i))},
        ["step() returned 4 values", "terminated, truncated"],
    ),
    "raises in reset": (
        {"reset": lambda self, seed=None, options=None: 1 / 0},
        ["raised ZeroDivisionError in reset(): division by zero", "test_trial.py, line"],
    ),
    "raises in step": (
        {"step": lambda self, action: {}["gear"]},
        ["raised KeyError in step(): 'gear'", "test_trial.py, line"],
    ),
    "shape": ({"obs": lambda self: np.zeros(5)}, ["reset() gave an observation of shape (5,)"]),
    "later shape": (step_with(obs=np.zeros(1)), ["step() gave an observation of shape (1,)"]),
    "no array": ({"obs": lambda self: "x"}, ["an observation of type str"]),
    "ragged": ({"obs": lambda self: [[1], [1, 2]]}, ["an observation of type list"]),
    "NaN": ({"obs": lambda self: np.full(3, np.nan)}, ["an observation that is NaN or infinite"]),
    "floats for bytes": (showing(IMAGE, np.zeros((2, 2, 3))), ["of type float64, for Box(0, 255"]),
    "reward": (step_with(reward=np.ones(1)), ["the reward array([1.])", "one number"]),
    "no reward": (step_with(reward=None), ["the reward None"]),
    "NaN reward": (step_with(reward=np.nan), ["the reward nan"]),
    "flag": (step_with(truncated=None), ["truncated=None", "True or False"]),
    "no space": ({"observation_space": None}, ["observation_space is None", "gymnasium.spaces"]),
    "no such space": ({"action_space": 4}, ["action_space is 4", "gymnasium.spaces"]),
    "info": (step_with(info=None), ["step() gave a NoneType as info"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_breaks_gymnasiums_contract_is_one_line_that_names_the_environment(case):
    methods, words = WRONG[case]
    config = config_of(make=variant(**methods), max_episode_steps=9)
    refused(lambda: environment.describe(config), "Variant", *words)


PARTS = TupleSpace((Discrete(3), MultiDiscrete([2, 2])))


@pytest.mark.parametrize(
    "space,obs,words",
    [
        (KEYS, {"a": np.zeros(1)}, ["without 'b'", "the keys are 'a', 'b'"]),
        (KEYS, {"a": np.zeros(1), "b": 1, "c": 1}, ["with 'c'"]),
        (KEYS, {"a": np.zeros(2), "b": 1}, ["observation['a'] of shape (2,)"]),
        (KEYS, {"a": np.zeros(1), "b": 3}, ["observation['b'] 3 that is not in Discrete(3)"]),
        (KEYS, np.zeros(2), ["ndarray and no dict"]),
        (PARTS, (1,), ["1 values, for 2 parts"]),
        (PARTS, (1, np.array([0, 2])), ["observation[1] [0 2] that is not in MultiDiscrete"]),
        (PARTS, (1.0, np.array([0, 1])), ["observation[0] of type float64"]),
    ],
)
def test_observations_of_parts_are_looked_at_part_by_part(space, obs, words):
    env = variant(**showing(space, obs))()
    refused(lambda: trial.check(env, "Mine-v0"), "Mine-v0", *words)


@pytest.mark.parametrize(
    "methods",
    [
        showing(KEYS, {"a": np.zeros(1), "b": np.int64(2)}),  # float64 for float32
        showing(PARTS, [1, [0, 1]]),
        showing(Box(0, 1, (2,)), [5, -5]),  # outside its bounds
        {"reset": lambda self, **_: Count.reset(self)},
        step_with(reward=np.float32(1), terminated=np.bool_(False), truncated=0),
    ],
)
def test_what_works_is_not_refused(methods):
    trial.check(variant(**methods)(), "Mine-v0")


def test_a_trial_takes_an_action_that_is_allowed():
    def step(self, action):
        assert action == 1
        return self.obs(), 0.0, False, False, {}

    def reset(self, *, seed=None, options=None):
        return Count.reset(self)[0], {"action_mask": np.array([0, 1, 0], np.int8)}

    for _ in range(5):
        trial.check(variant(step=step, reset=reset)(), "Masked-v0")


def test_an_environment_is_tried_once_and_gymnasiums_own_never(monkeypatch):
    tried = []
    monkeypatch.setattr(trial, "check", lambda env, name: tried.append(name) or ())
    monkeypatch.setattr(environment, "_tried", set())
    for config in (config_of(make=make_env), config_of(id="CartPole-v1")) * 3:
        environment.describe(config)
    assert tried == [f"{HERE}:make_env"]


def failing(at, method):
    """Raises in its ``at``-th reset or step."""

    def call(self, *args, **kwargs):
        self.taken_out += 1
        if self.taken_out == at:
            raise RuntimeError("the gearbox\nis on fire")
        return getattr(Count, method)(self, *args, **kwargs)

    return variant(**{method: call})


@pytest.mark.parametrize("method", ["reset", "step"])
def test_what_an_environment_raises_later_names_it_too(method):
    config = config_of(make=failing(3, method), max_episode_steps=2)
    info = environment.describe(config)
    with pytest.raises(WorkerError) as caught:
        episodes.play_episodes(info, lambda obs: np.zeros(len(obs), int), range(4), 1)
    line = f"Variant failed in {method}(): RuntimeError: the gearbox (test_trial.py, line"
    assert line in str(caught.value) and "is on fire" in caught.value.details


def test_observations_that_change_their_shape_are_no_traceback_alone():
    methods = {"obs": lambda self: np.zeros(3 if self.steps < 3 else 4)}
    info = environment.describe(config_of(make=variant(**methods), max_episode_steps=9))
    with pytest.raises(WorkerError, match=r"failed in step\(\).*gymnasium wants .* of Box\(-inf"):
        episodes.play_episodes(info, lambda obs: np.zeros(len(obs), int), range(1), 1)


def test_rewards_that_are_no_numbers_later_are_one_line_wherever_they_are_played():
    def step(self, action):
        obs, reward, *rest = Count.step(self, action)
        return obs, np.nan if self.steps > 3 else reward, *rest

    config = config_of(make=variant(step=step), max_episode_steps=9)
    info = environment.describe(config)
    line = r"Variant gave the reward nan in step\(\)"
    with pytest.raises(UserError, match=line):
        episodes.play_episodes(info, lambda obs: np.zeros(len(obs), int), range(1), 1)
    networks = Networks(info.spaces, NetworkSpec((4,)))
    actor = Actor(ActorConfig(info.config, networks, (0,), 2, 1), [0])
    actor.reset(0)
    params = networks.init_policy(np.random.SeedSequence(0))
    one = jax.tree.map(lambda x: np.asarray(x)[None], Policy(params, networks.init_stats()))
    with pytest.raises(UserError, match=line):
        actor.collect(one, 0, 5)
    actor.close()
