"""An environment, a teacher and a config of a user's own, as files in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import SMALL

CLASS = '''
import gymnasium as gym
import numpy as np


class Ball(gym.Env):
    """A ball on a beam that tips over: keep it near the middle, or it falls off an end."""

    observation_space = gym.spaces.Box(-10, 10, (2,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, reward=None):
        self.reward = reward or (lambda x: 1.0 - x * x)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-0.8, 0.8, 2)
        return self.state.astype(np.float32), {}

    def step(self, action):
        x, v = self.state
        v += 0.1 * (0.8 * x + (int(action) - 1))
        self.state = np.array([x + 0.1 * v, v])
        fallen = bool(abs(self.state[0]) > 1)
        return self.state.astype(np.float32), self.reward(x), fallen, False, {}


def teacher(obs):
    return np.where(obs[:, 0] + 0.4 * obs[:, 1] > 0, 0, 2)
'''

REGISTER = "\n\ngym.register('Ball-v0', entry_point={entry}, max_episode_steps=30)\n"

CONFIG = """
def get_config(recipe="workflow"):
    return {{
        "stage": recipe,
        "env": {{"id": {id!r}}},
        "rollout": {{"policy": "my_env:teacher"}},
    }}
"""

QUICK = {k: v for k, v in SMALL.items() if k not in ("env.max_episode_steps", "env.workers")}
QUICK["rollout.n_episodes"] = 20
"""Small budgets that leave the environment's own limit and the worker processes as they are."""


def write(folder: Path, entry: str = "'my_env:Ball'", env_id: str = "my_env:Ball-v0") -> Path:
    """``my_env.py`` and ``my_config.py`` in ``folder``; returns it."""
    (folder / "my_env.py").write_text(CLASS + REGISTER.format(entry=entry))
    (folder / "my_config.py").write_text(CONFIG.format(id=env_id))
    return folder


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())
