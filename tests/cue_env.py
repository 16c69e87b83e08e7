"""An environment that shows what to do once, and a teacher that remembers it."""

from __future__ import annotations

import gymnasium as gym
import numpy as np


class Cue(gym.Env):
    """Shows one of two cues, once, and pays for the action that fits it in the steps after.

    Episodes last 4 to 8 steps.
    """

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.t = int(self.np_random.integers(2)), 0
        self.last = int(self.np_random.integers(4, 9))
        return np.array([2 * self.cue - 1, 1], np.float32), {}

    def step(self, action):
        self.t += 1
        reward = float(action == self.cue) if self.t > 1 else 0.0
        return np.zeros(2, np.float32), reward, self.t >= self.last, False, {}


class Remembers:
    """A teacher that keeps each row's cue, and has to be told nothing: a cue is not 0."""

    def __init__(self):
        self.cues = {}

    def __call__(self, obs):
        for row, seen in enumerate(obs):
            if seen[1] > 0.5:
                self.cues[row] = int(seen[0] > 0)
        return np.array([self.cues[row] for row in range(len(obs))])


def teacher(obs, _teacher=Remembers()):  # noqa: B008  (one for all calls)
    return _teacher(obs)


gym.register("Cue-v0", Cue, max_episode_steps=20)
