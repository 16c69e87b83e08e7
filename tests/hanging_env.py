"""An environment whose third step never returns, for the tests of what ends with a command."""

import os
import time
from pathlib import Path

import gymnasium as gym
import numpy as np


class Hanging(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.steps += 1
        while self.steps > 2:
            Path(os.environ["HANGS"], str(os.getpid())).touch()
            time.sleep(0.01)
        return np.zeros(3, np.float32), 0.0, False, False, {}


gym.register("Hanging-v0", entry_point="tests.hanging_env:Hanging", max_episode_steps=50)
