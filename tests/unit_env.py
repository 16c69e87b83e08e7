"""One problem with actions in any unit, bounded or not."""

import gymnasium as gym
import numpy as np


def wanted(obs):
    """The best actions ``[N, 2]``, as a share of the unit."""
    return np.stack([0.8 * np.tanh(obs[:, 0] - obs[:, 1]), 0.5 * obs[:, 1] - 0.2], 1)


class Units(gym.Env):
    """Pays for actions that are as the observation tells.

    Args:
      unit: the largest action, and the size of mistakes that cost 1.
      bounded: whether the action space says so.
    """

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, unit=1.0, bounded=True):
        end = unit if bounded else np.inf
        self.unit, self.action_space = unit, gym.spaces.Box(-end, end, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.obs = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self.obs, {}

    def step(self, action):
        assert self.action_space.contains(action), action
        miss = np.asarray(action, np.float64) / self.unit - wanted(self.obs[None])[0]
        self.obs = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self.obs, float(-(miss**2).sum()), False, False, {}


class Teacher:
    """A teacher in one unit, worse than what can be had."""

    def __init__(self, unit):
        self.unit = unit

    def __call__(self, obs):
        return (self.unit * 0.7 * wanted(obs)).astype(np.float32)


gym.register("Units-v0", "tests.unit_env:Units", max_episode_steps=8)
