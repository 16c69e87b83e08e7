"""Observations outside of the bounds that their environment declares: said once, and usable."""

import gymnasium as gym
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.envs import environment, outside

BOX = gym.spaces.Box(0, 1, (2,), np.float32)


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch):
    monkeypatch.setattr(outside, "_noted", set())
    monkeypatch.setattr(environment, "_tried", set())


class Leaves(gym.Env):
    """Leaves its box in a step: by how much is an argument."""

    observation_space = BOX
    action_space = gym.spaces.Discrete(2)

    def __init__(self, value=5.0, at=3):
        self.value, self.at = value, at

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return self._observed(), {}

    def _observed(self):
        obs = np.zeros(2, np.float32)
        obs[1] = self.value if self.steps >= self.at else 0.5
        return obs

    def step(self, action):
        self.steps += 1
        return self._observed(), 1.0, False, False, {}


class InParts(Leaves):
    observation_space = gym.spaces.Dict({"near": BOX, "far": gym.spaces.Box(-9, 9, (2, 2))})

    def _observed(self):
        far = np.zeros((2, 2), np.float32)
        far[1, 0] = -10 if self.steps >= self.at else 0
        return {"near": np.zeros(2, np.float32), "far": far}


class Image(Leaves):
    observation_space = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)

    def _observed(self):
        return np.full((16, 16, 3), 255, np.uint8)


def config(make=Leaves, **kwargs):
    return {"env": {"make": make, "kwargs": kwargs, "max_episode_steps": 6}}


def warned(capsys):
    out = capsys.readouterr()
    assert not out.err
    return [line for line in out.out.splitlines() if line.startswith("warning:")]


@pytest.mark.parametrize("save", [True, False])
def test_a_rollout_says_once_what_leaves_its_bounds(save, tmp_path, capsys):
    api.record(config(), tmp_path / "a", policy="random", n_episodes=9, save=save)
    (line,) = warned(capsys)
    name = f"{__name__}:Leaves"
    assert name in line and "observations[1] = 5" in line and "from 0 to 1" in line
    api.record(config(), tmp_path / "b", policy="random", n_episodes=2)
    assert not warned(capsys)


@pytest.mark.parametrize(
    ("make", "kwargs", "words"),
    [
        (Leaves, {"value": -0.25}, "observations[1] = -0.25"),
        (InParts, {}, "observations.far[1, 0] = -10"),
        (Leaves, {"value": 1.000001}, ""),
        (Leaves, {"value": 1.0}, ""),
        (Image, {}, ""),
    ],
)
def test_below_in_parts_and_what_is_but_rounded(make, kwargs, words, tmp_path, capsys):
    api.record(config(make, **kwargs), tmp_path / "a", policy="random", n_episodes=3)
    found = warned(capsys)
    assert len(found) == bool(words) and all(words in line for line in found)


def test_what_the_first_step_shows_is_said_at_the_start_of_any_command(capsys):
    settings = environment.EnvConfig("mine", make=lambda: Leaves(7.0, at=1))
    said = []
    for _ in range(2):
        environment.describe(settings, said.append)
    warnings = [line for line in said if line.startswith("warning:")]
    assert len(warnings) == 1 and "mine" in warnings[0] and "observations[1] = 7" in warnings[0]


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0"])
def test_environments_of_gymnasium_keep_to_theirs(name, tmp_path, capsys):
    api.record({"env": {"id": name}}, tmp_path / "a", policy="random", n_episodes=3)
    assert not warned(capsys)
