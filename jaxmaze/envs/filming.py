"""Filming: one episode of a policy with a picture after every step."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs import importing, making
from jaxmaze.envs.env_config import EnvInfo
from jaxmaze.envs.episodes import Act, run_episodes
from jaxmaze.errors import UserError

FPS = 30.0
"""Pictures a second of an environment that does not say how many."""
NO_SCREEN = "without a screen, MuJoCo draws with MUJOCO_GL=egl or MUJOCO_GL=osmesa set"


class Take(NamedTuple):
    """A filmed episode of ``T`` steps.

    Attributes:
      pictures: ``T + 1`` pictures as they were kept, the first after the reset.
      returns: ``[T + 1]`` the undiscounted return so far, at each picture; 0 at the first.
      end: ``"terminated"``, ``"truncated"``, or ``"cut off"`` at the largest number of steps.
      fps: the environment's pictures a second.
    """

    pictures: list[bytes]
    returns: np.ndarray
    end: str
    fps: float

    @property
    def length(self) -> int:
        """Number of steps."""
        return len(self.pictures) - 1


class Filmed(gym.Wrapper):
    """Takes a picture after the reset and each step, and ends after so many steps.

    Attributes:
      pictures: those taken since the reset.
      rewards: likewise, one fewer.
      cut: whether the episode was ended here.
    """

    def __init__(self, env: gym.Env, keep: Callable[[np.ndarray], bytes], most: int | None):
        """``keep`` makes of a picture ``[H, W, 3]`` what is kept of it."""
        super().__init__(env)
        self._keep, self._most = keep, most
        self.pictures: list[bytes] = []
        self.rewards: list[float] = []
        self.cut = False

    def reset(self, *, seed: int | None = None, options: Json | None = None) -> tuple[PyTree, Json]:
        found = self.env.reset(seed=seed, options=options)
        self.pictures, self.rewards, self.cut = [self._picture()], [], False
        return found

    def step(self, action: PyTree) -> tuple[PyTree, PyTree, bool, bool, Json]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.rewards.append(float(reward))
        self.pictures.append(self._picture())
        if len(self.rewards) == self._most and not (terminated or truncated):
            truncated = self.cut = True
        return observation, reward, bool(terminated), bool(truncated), info

    def _picture(self) -> bytes:
        picture = rendered(self.env)
        array = np.asarray(picture) if picture is not None else np.zeros(0)
        if array.ndim != 3 or array.shape[-1] != 3 or array.dtype.kind not in "ui":
            raise no_picture(self.env, picture)
        return self._keep(array.astype(np.uint8))


def rendered(env: gym.Env) -> object:
    """What an environment's ``render()`` gives.

    Raises:
      UserError: if it raises.
    """
    try:
        return env.render()
    except gym.error.DependencyNotInstalled as error:
        raise UserError(f"{_name(env)} needs a package to be rendered: {error}") from error
    except Exception as error:  # whatever a user's environment raises
        text = f"{importing.told(error)}{importing.place(error)}"
        hint = f" ({NO_SCREEN})" if "GL" in text else ""
        raise UserError(f"{_name(env)} cannot be rendered: {text}{hint}") from error


def no_picture(env: gym.Env, given: object) -> UserError:
    """The error for what ``render()`` gave if that is no picture."""
    found = f"an array {given.shape}" if isinstance(given, np.ndarray) else repr(given)
    return UserError(
        f"{_name(env)} draws no pictures: with render_mode='rgb_array', render() gave "
        f"{found[:60]}; a picture needs an array (height, width, 3) of bytes"
    )


def _name(env: gym.Env) -> str:
    return env.unwrapped.spec.id if env.unwrapped.spec else type(env.unwrapped).__name__


def film(
    info: EnvInfo,
    act: Act,
    seed: int,
    keep: Callable[[np.ndarray], bytes],
    most: int | None = None,
) -> Take:
    """Play one episode and film it.

    Args:
      info: the environment.
      act: the policy.
      seed: of the reset.
      keep: what is kept of each picture ``[H, W, 3]``.
      most: largest number of steps; as many as the episode has if None.

    Raises:
      UserError: if the environment draws no pictures.
      WorkerError: if it raises.
    """
    made = making.make(info.config, "rgb_array")
    fps = made.metadata.get("render_fps") or FPS
    env = Filmed(made, keep, most)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # renderers warn before they fail
            ((_, episode),) = run_episodes([env], act, [deque([(0, seed)])], record=False)
    finally:
        env.close()
    end = "terminated" if episode.terminated else "cut off" if env.cut else "truncated"
    returns = np.concatenate([[0.0], np.cumsum(episode.rewards)])
    returns[-1] = episode.episode_return  # summed as everywhere, to the last bit
    return Take(env.pictures, returns, end, float(fps))
