"""An environment whose observations and actions have keys with slashes, as dm_control's have."""

import gymnasium as gym
import numpy as np


def number():
    return gym.spaces.Box(-9, 9, (1,), np.float32)


class Slashed(gym.Env):
    """Twenty steps; a leg that is moved gives a point."""

    observation_space = gym.spaces.Dict(
        {"walker/height": number(), "a": gym.spaces.Dict({"x/y": number(), ".": number()})}
    )
    action_space = gym.spaces.Dict({"arm/x": number(), "leg/y": gym.spaces.Discrete(2)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def _seen(self):
        each = [np.array([self.steps / n], np.float32) for n in (10, 20, 30)]
        return {"walker/height": each[0], "a": {"x/y": each[1], ".": each[2]}}

    def step(self, action):
        self.steps += 1
        return self._seen(), float(action["leg/y"]), False, self.steps >= 20, {}


def teacher(obs):
    steps = np.rint(10 * obs["walker/height"])
    return {"arm/x": np.sin(steps).astype(np.float32), "leg/y": (steps[:, 0] % 2).astype(int)}


gym.register("Slashed-v0", Slashed, max_episode_steps=20)
