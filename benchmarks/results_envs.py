"""The rows of the results page: environment, teacher, budget, what is published, what is asked.

A row holds nothing else: every other setting is the library's default. Environments and teachers
that neither gymnasium nor jaxmaze has are at the end.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks import memory  # registers HiddenLander-v0
from jaxmaze.teachers import heuristic

HERE = "benchmarks.results_envs"
ZOO = (
    "https://github.com/DLR-RM/rl-baselines3-zoo/blob/"
    "22e3ff2450fd92033f7f032915e1f64894a09584/benchmark.md"
)


@dataclasses.dataclass(frozen=True)
class Published:
    """A published return of an agent from scratch.

    Attributes:
      what: algorithm and environment, as the source calls them.
      value: mean return.
      steps: environment steps that it was trained for.
      source: address.
    """

    what: str
    value: float
    steps: int
    source: str = ZOO


@dataclasses.dataclass(frozen=True)
class Medium:
    """A teacher that jaxmaze's PPO became, stopped at the first evaluation with a return.

    Attributes:
      level: that return.
      longest: steps after which a seed is given up.
      every: iterations between evaluations.
      seeds: how many are tried, in turn.
    """

    level: float
    longest: int = 1_500_000
    every: int = 4
    seeds: int = 4


@dataclasses.dataclass(frozen=True)
class Row:
    """An environment of the results page.

    Attributes:
      name: of its folder and its section.
      env: fields of ``config.env``.
      budget: PPO's environment steps of a seed.
      teacher: a name as ``rollout.policy`` takes it, or how to train one.
      about: the teacher, in words.
      network: fields of ``config.network``; only where the task is about the network.
      at_least: the fine-tuned policies' IQM that is asked for, if any.
      worst: the worst seed's mean return that is asked for.
      within: a return, and the steps by which the curve is to have it.
      published: returns of others.
      dagger: whether DAgger is run too.
      peer: whether imitation and Stable-Baselines3 run beside.
    """

    name: str
    env: Mapping[str, Any]
    budget: int
    teacher: str | Medium = "heuristic"
    about: str = ""
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    at_least: float | None = None
    worst: float | None = None
    within: tuple[float, int] | None = None
    published: tuple[Published, ...] = ()
    dagger: bool = True
    peer: bool = False


def _listed(*rows: Row) -> dict[str, Row]:
    return {row.name: row for row in rows}


_SWINGS = "swings up by energy, then holds with low gains (jaxmaze)"
_LANDER = "gymnasium's own controller"
ROWS: dict[str, Row] = _listed(
    Row(
        "CartPole",
        {"id": "CartPole-v1"},
        50_000,
        about="follows the pole's angle and speed, blind to the cart's place (jaxmaze)",
        at_least=500,
        worst=500,
        published=(Published("PPO, CartPole-v1", 500.0, 100_000),),
        peer=True,
    ),
    Row(
        "Pendulum",
        {"id": "Pendulum-v1"},
        100_000,
        about=_SWINGS,
        at_least=-155,
        published=(
            Published("PPO, Pendulum-v1", -172.2, 100_000),
            Published("TD3, Pendulum-v1", -151.9, 20_000),
        ),
        peer=True,
    ),
    Row(
        "MountainCarContinuous",
        {"id": "MountainCarContinuous-v0"},
        100_000,
        about="full throttle in the direction in which the car rolls (jaxmaze)",
        published=(
            Published("PPO, MountainCarContinuous-v0", 88.3, 20_000),
            Published("SAC, MountainCarContinuous-v0", 94.7, 50_000),
        ),
    ),
    Row(
        "MountainCar",
        {"id": "MountainCar-v0"},
        200_000,
        about="pushes in the direction in which the car rolls (jaxmaze)",
        published=(
            Published("PPO, MountainCar-v0", -110.4, 1_000_000),
            Published("DQN, MountainCar-v0", -100.8, 120_000),
        ),
    ),
    Row(
        "Acrobot",
        {"id": "Acrobot-v1"},
        200_000,
        about="full torque in the direction in which the elbow turns (jaxmaze)",
        at_least=-76,
        published=(Published("PPO, Acrobot-v1", -73.5, 1_000_000),),
    ),
    Row(
        "Taxi",
        {"id": "Taxi-v4"},
        100_000,
        teacher=f"{HERE}:taxi",
        about="the shortest way, planned (this benchmark)",
    ),
    Row(
        "LunarLander",
        {"id": "LunarLander-v3"},
        300_000,
        about=_LANDER,
        at_least=285,
        worst=275,
        within=(270, 50_000),
        published=(Published("PPO, LunarLander-v2", 242.1, 1_000_000),),
        peer=True,
    ),
    Row(
        "LunarLanderContinuous",
        {"id": "LunarLander-v3", "kwargs": {"continuous": True}},
        300_000,
        about=_LANDER,
        at_least=285,
        published=(
            Published("PPO, LunarLanderContinuous-v2", 270.9, 1_000_000),
            Published("TQC, LunarLanderContinuous-v2", 278.0, 500_000),
        ),
        peer=True,
    ),
    Row(
        "InvertedPendulum",
        {"id": "InvertedPendulum-v5"},
        100_000,
        teacher=Medium(400, every=1),
    ),
    Row(
        "LunarLanderHidden",
        {"id": f"benchmarks.memory:{memory.HIDDEN}"},
        300_000,
        teacher=f"{HERE}:Pilot",
        about="gymnasium's own controller, which takes velocities from how places change",
        network={"memory": "delta_gru"},
        dagger=False,
    ),
    Row(
        "Catch",
        {"id": f"{HERE}:Catch-v0"},
        100_000,
        teacher=f"{HERE}:late",
        about="follows a ball once it has fallen half of the way (this benchmark)",
        dagger=False,
    ),
    Row(
        "HalfCheetah",
        {"id": "HalfCheetah-v5"},
        1_000_000,
        teacher=Medium(3000),
        at_least=6500,
        published=(
            Published("PPO, HalfCheetah-v3", 5819.1, 1_000_000),
            Published("TQC, HalfCheetah-v3", 12_089.9, 1_000_000),
        ),
    ),
    Row(
        "Hopper",
        {"id": "Hopper-v5"},
        1_000_000,
        teacher=Medium(1700, every=1),
        at_least=3000,
        published=(
            Published("PPO, Hopper-v3", 2410.4, 1_000_000),
            Published("TQC, Hopper-v3", 3754.2, 1_000_000),
        ),
    ),
    Row(
        "Walker2d",
        {"id": "Walker2d-v5"},
        1_000_000,
        teacher=Medium(2900),
        at_least=4000,
        published=(
            Published("PPO, Walker2d-v3", 3478.8, 1_000_000),
            Published("TD3, Walker2d-v3", 4717.8, 1_000_000),
        ),
    ),
    Row(
        "BipedalWalker",
        {"id": "BipedalWalker-v3"},
        2_000_000,
        teacher=Medium(200, longest=2_000_000, every=16),
        at_least=310,
        published=(
            Published("PPO, BipedalWalker-v3", 287.9, 5_000_000),
            Published("TQC, BipedalWalker-v3", 329.8, 500_000),
        ),
    ),
)
"""By name, cheap ones first."""


class Catch(gym.Env):
    """Ten balls fall, one after the other, through a picture of 20 x 20: +1 for each that the
    paddle at the bottom catches, -1 for each that it misses.
    """

    SIZE, BALLS, HALF = 20, 10, 1
    observation_space = gym.spaces.Box(0, 255, (SIZE, SIZE, 1), np.uint8)
    action_space = gym.spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.paddle, self.left = self.SIZE // 2, self.BALLS
        self._drop()
        return self._look(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the paddle left (0), not (1) or right (2); the ball falls by a row."""
        moved = self.paddle + int(action) - 1
        self.paddle = int(np.clip(moved, self.HALF, self.SIZE - 1 - self.HALF))
        self.row += 1
        reward = 0.0
        if self.row == self.SIZE - 1:
            reward = 1.0 if abs(self.column - self.paddle) <= self.HALF else -1.0
            self.left -= 1
            self._drop()
        return self._look(), reward, self.left == 0, False, {}

    def _drop(self) -> None:
        self.row, self.column = 0, int(self.np_random.integers(self.SIZE))

    def _look(self) -> np.ndarray:
        image = np.zeros((self.SIZE, self.SIZE, 1), np.uint8)
        image[self.row, self.column] = 255
        image[-1, self.paddle - self.HALF : self.paddle + self.HALF + 1] = 255
        return image


def late(obs: np.ndarray) -> np.ndarray:
    """Follows the ball in its lower half, which is too late for those that fall far away.

    Args:
      obs: ``[N, 20, 20, 1]``.
    """
    above = obs[:, :-1, :, 0] > 0
    row, column = above.any(2).argmax(1), above.any(1).argmax(1)
    paddle = (obs[:, -1, :, 0] > 0).argmax(1) + Catch.HALF
    return np.where(row < Catch.SIZE // 2, 1, 1 + np.sign(column - paddle))


@functools.cache
def _shortest() -> np.ndarray:
    """The best action ``[500]`` in each of Taxi's states, by value iteration."""
    table = gym.make("Taxi-v4").unwrapped.P  # type: ignore[attr-defined]
    moves = [[table[s][a][0] for a in range(6)] for s in range(500)]
    after, reward, end = (
        np.array([[move[i] for move in of_state] for of_state in moves]) for i in (1, 2, 3)
    )
    value = np.zeros(500)
    for _ in range(100):
        worth = reward + np.where(end, 0.0, value[after])
        value = worth.max(1)
    return worth.argmax(1)


def taxi(obs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The shortest way to the passenger and to where they want to go.

    Args:
      obs: ``observation`` ``[N]``, the state; its ``action_mask`` is not needed.
    """
    return _shortest()[np.asarray(obs["observation"])]


class Pilot:
    """LunarLander's controller where velocities are hidden: it takes them from two places.

    An object that remembers, one for each environment.
    """

    def reset(self, seed: int) -> None:
        """Forget the episode before."""
        del seed
        self.last: np.ndarray | None = None

    def act(self, obs: np.ndarray) -> int:
        """An action from place, angle and legs ``[5]``."""
        x, y, angle, left, right = obs
        here = np.array([x, y, angle], np.float32)
        change = np.zeros(3, np.float32) if self.last is None else here - self.last
        self.last = here
        # What LunarLander would have shown: see its step for the units.
        vx, vy, spin = change / memory.FRAMES * np.array([100, 400 / 9, 20], np.float32)
        whole = np.array([[x, y, vx, vy, angle, spin, left, right]], np.float32)
        return int(heuristic.lunar_lander(whole, False)[0])


if "Catch-v0" not in gym.registry:
    gym.register("Catch-v0", f"{HERE}:Catch", max_episode_steps=200)
