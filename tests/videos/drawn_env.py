"""Small environments that draw, or do not, for tests; one step towards 3 is one point."""

import gymnasium as gym
import numpy as np


class Drawn(gym.Env):
    """Its pictures have odd sizes; the shade is the number of steps taken."""

    observation_space = gym.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 8}  # noqa: RUF012

    def __init__(self, render_mode=None, draws="bytes"):
        self.render_mode, self.draws, self.steps = render_mode, draws, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.steps = int(self.np_random.integers(-2, 2)), 0
        return np.array([self.x], np.float32), {}

    def step(self, action):
        self.x, self.steps = self.x + (1 if action else -1), self.steps + 1
        return np.array([self.x], np.float32), float(bool(action)), self.x >= 3, False, {}

    def render(self):
        if self.draws == "nothing":
            return None
        if self.draws == "raises":
            raise RuntimeError("no screen\nto be found")
        if self.draws == "silently raises":
            raise NotImplementedError
        return np.full((17, 25, 3), 10 * self.steps, np.uint8)


class Blind(Drawn):
    """It takes no argument ``render_mode``."""

    def __init__(self):
        super().__init__()


gym.register("Drawn-v0", entry_point=Drawn, max_episode_steps=9)
gym.register("Blind-v0", entry_point=Blind, max_episode_steps=9)


def right(obs):
    """A teacher."""
    return np.ones(len(obs), np.int64)


def left(obs):
    """Another."""
    return np.zeros(len(obs), np.int64)
