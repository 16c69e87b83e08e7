"""An environment of which everything is known beforehand, for the tests of collection."""

import gymnasium as gym
import numpy as np


class Known(gym.Env):
    """Crashes after a fixed number of steps, if any; rewards are the actions.

    Observations are the steps so far and the episode's seed (modulo 1000), so that each says where
    it belongs.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, crash_at=None, actions=4):
        """Discrete ``actions``, or one number in -1 to 1 where they are 0."""
        self._crash_at = crash_at
        self.action_space = (
            gym.spaces.Discrete(actions) if actions else gym.spaces.Box(-1, 1, (1,), np.float32)
        )

    def _obs(self):
        return np.array([self._steps, self._seed], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps, self._seed = 0, seed % 1000
        return self._obs(), {}

    def step(self, action):
        self._steps += 1
        return self._obs(), float(np.sum(action)), self._steps == self._crash_at, False, {}


gym.register("Known-v0", entry_point="tests.known_env:Known")
