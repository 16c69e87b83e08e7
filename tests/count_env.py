"""An environment that counts, and ways to make and wrap it, for tests of making environments."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from jaxmaze import api
from jaxmaze.envs import environment
from jaxmaze.errors import UserError

HERE = "tests.count_env"


class Count(gym.Env):
    """Shows how many steps it has made, its size, and the number of its resets' options."""

    metadata: dict = {"render_modes": []}  # noqa: RUF012
    observation_space = Box(-np.inf, np.inf, (3,), np.float32)
    action_space = Discrete(3)
    ends_at = None
    taken_out = 0

    def __init__(self, size=1.0):
        self.size = size

    def obs(self):
        return np.array([self.steps, self.size, self.options], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.options = 0, (options or {}).pop("number", -1.0)
        return self.obs(), {}

    def step(self, action):
        self.steps += 1
        return self.obs(), float(self.steps), self.steps == self.ends_at, False, {}


def make_env(size=1.0, limit=30):
    return gym.wrappers.TimeLimit(Count(size), limit)


class Scale(gym.ObservationWrapper):
    def __init__(self, env, scale=2.0):
        super().__init__(env)
        self.scale = scale

    def observation(self, obs):
        return (obs * self.scale).astype(np.float32)


class Add(gym.ObservationWrapper):
    def observation(self, obs):
        return obs + np.float32(1)


class Alone(gym.Env):
    """What is no gymnasium.Wrapper, and knows no specification."""

    observation_space, action_space = Count.observation_space, Discrete(3)

    def __init__(self, env):
        self.env = env

    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=seed)

    def step(self, action):
        return self.env.step(action)


class Maker:
    def __call__(self, size=1.0):
        return make_env(size)

    def method(self):
        return make_env()

    @classmethod
    def of_class(cls):
        return make_env()


def config_of(**fields):
    return environment.EnvConfig.of(api.make_config({"env": fields}).env)


def first_obs(config):
    env = environment.make(config)
    return env.reset(seed=0)[0]


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    return message


def variant(**methods):
    """A Count with other methods."""
    return type("Variant", (Count,), methods)


def changed(method, change):
    """A method whose result goes through ``change``."""
    original = getattr(Count, method)
    return lambda self, *args, **kwargs: change(*original(self, *args, **kwargs))


def step_with(**parts):
    names = ("obs", "reward", "terminated", "truncated", "info")
    return {"step": changed("step", lambda *x: (*(dict(zip(names, x)) | parts).values(),))}  # noqa: B905
