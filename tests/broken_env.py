"""An environment that raises after a few steps, for the tests of workers."""

import gymnasium as gym
import numpy as np


class Broken(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self._steps += 1
        if self._steps > 5:
            raise RuntimeError("the gearbox is on fire")
        return np.zeros(3, np.float32), 0.0, False, False, {}


gym.register("Broken-v0", entry_point="tests.broken_env:Broken")
