"""Environment wrappers: the user's own, and the usual ones that fields enable."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import WrapperSpec
from gymnasium.utils import RecordConstructorArgs

from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs import importing, trial
from jaxmaze.envs.env_config import EnvConfig
from jaxmaze.errors import UserError

LONGEST = 100_000
"""Steps after which an episode without a step limit is considered endless."""


class FrameSkip(gym.Wrapper, RecordConstructorArgs):
    """Repeats each action, sums the rewards, and returns the last observation.

    Repetition stops when the episode ends. (gymnasium's MaxAndSkipObservation returns the maximum
    of the last two observations, pixel by pixel, which is for Atari's flickering screens.)
    """

    def __init__(self, env: gym.Env, skip: int):
        RecordConstructorArgs.__init__(self, skip=skip)
        gym.Wrapper.__init__(self, env)
        self.skip = skip

    def step(self, action: PyTree) -> tuple[PyTree, SupportsFloat, bool, bool, Json]:
        """Take ``skip`` steps of the environment, or fewer if the episode ends."""
        total = 0.0
        for _ in range(self.skip):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, info


class ResetOptions(gym.Wrapper, RecordConstructorArgs):
    """Passes the same ``options`` to each reset."""

    def __init__(self, env: gym.Env, options: Json):
        RecordConstructorArgs.__init__(self, options=options)
        gym.Wrapper.__init__(self, env)
        self._options = json.dumps(options)

    def reset(self, *, seed: int | None = None, options: Json | None = None) -> tuple[PyTree, Json]:
        """Reset with the options; those given here take precedence."""
        # A new copy: an environment may remove entries that it has read.
        return self.env.reset(seed=seed, options=json.loads(self._options) | (options or {}))


class Resize(gym.wrappers.ResizeObservation):
    """gymnasium's wrapper, but with a shape that may be a list, as in a data set's JSON."""

    def __init__(self, env: gym.Env, shape: Sequence[int]):
        super().__init__(env, (int(shape[0]), int(shape[1])))


def wrap(env: gym.Env, config: EnvConfig) -> gym.Env:
    """Wrap an environment as configured.

    From the inside out: ``frame_skip``, ``wrappers`` in their order, ``grayscale``, ``resize``,
    ``frame_stack``, ``reset_options``.

    Raises:
      UserError: for a wrapper that cannot be imported or does not fit.
    """
    if config.frame_skip > 1:
        env = FrameSkip(env, config.frame_skip)
    for code, kwargs in config.wrappers:
        env = _wrapped(env, code, json.loads(kwargs))
    if config.grayscale:
        _check_images(env, "grayscale", config.id, "(height, width, 3)")
        env = gym.wrappers.GrayscaleObservation(env)
    if config.resize is not None:
        _check_images(env, "resize", config.id, "(height, width) or (height, width, channels)")
        env = _resized(env, config.resize)
    if config.frame_stack > 1:
        env = gym.wrappers.FrameStackObservation(env, config.frame_stack)
    options = json.loads(config.reset_options)
    return ResetOptions(env, options) if options else env


def _wrapped(env: gym.Env, code: importing.Code | str, kwargs: Json) -> gym.Env:
    name = importing.text(code)
    wrapper = importing.load(code, "env.wrappers") if isinstance(code, str) else code
    try:
        wrapped = wrapper(env, **kwargs)
    except UserError:
        raise
    except gym.error.DependencyNotInstalled as error:
        raise UserError(f"env.wrappers: {name} needs a package that is missing: {error}") from error
    except Exception as error:  # A user's wrapper may raise anything.
        raise UserError(
            f"env.wrappers: {name} cannot be put around {env} with {kwargs}: "
            f"{importing.told(error)}{importing.place(error)}"
        ) from error
    if not isinstance(wrapped, gym.Env):
        raise UserError(
            f"env.wrappers: {name} gave a {type(wrapped).__name__}; it must give a gymnasium.Env, "
            "such as a gymnasium.Wrapper of the one that it is called with"
        )
    _describe(wrapped, env, name, kwargs if isinstance(code, str) else None)
    return wrapped


def _describe(wrapped: gym.Env, env: gym.Env, path: str, kwargs: Json | None) -> None:
    """Record a wrapper in the specification of the wrapped environment.

    gymnasium does this only for wrappers that record their arguments. For others it records the
    class alone, and nothing for objects that are no gymnasium.Wrapper, so that the environment
    could not be made again.
    """
    if env.spec is None:
        return
    given = WrapperSpec(path.partition(":")[2], path, kwargs)
    around = env.spec.additional_wrappers
    if wrapped.spec is None:
        spec = dataclasses.replace(env.spec, additional_wrappers=(*around, given))
        wrapped.unwrapped.spec = spec
    elif isinstance(wrapped, gym.Wrapper) and kwargs is not None:
        theirs = wrapped.spec.additional_wrappers
        if len(theirs) == len(around) + 1 and theirs[-1].kwargs is None:
            spec = dataclasses.replace(wrapped.spec, additional_wrappers=(*around, given))
            wrapped._cached_spec = spec


def _check_images(env: gym.Env, field: str, name: str, shape: str) -> None:
    """Check that observations are images.

    Raises:
      UserError: if they are something else.
    """
    space = env.observation_space
    if isinstance(space, gym.spaces.Box) and space.dtype == np.uint8:
        if len(space.shape) == 3 and (field == "resize" or space.shape[2] == 3):
            return
        if len(space.shape) == 2 and field == "resize":
            return
    raise UserError(
        f"env.{field} is for images, uint8 {shape}; {name} has observations {space}, of which a "
        "wrapper in env.wrappers may make some"
    )


def _resized(env: gym.Env, shape: tuple[int, int]) -> gym.Env:
    try:
        return Resize(env, shape)
    except gym.error.DependencyNotInstalled as error:
        raise UserError("env.resize needs OpenCV; pip install 'jaxmaze[image]'") from error
    except (TypeError, ValueError) as error:  # images whose bounds are not 0 and 255
        raise UserError(f"env.resize={shape}: {importing.first_line(error)}") from error


def step_limit(env: gym.Env) -> int | None:
    """Actions after which a wrapper truncates every episode; None if none is known.

    With repeated actions (``frame_skip``), the limit is divided accordingly.
    """
    limits, skip, spec = [], 1, env.spec
    while isinstance(env, gym.Wrapper):
        if isinstance(env, gym.wrappers.TimeLimit):
            limits.append(-(-env._max_episode_steps // skip))
        elif isinstance(env, FrameSkip):
            skip *= env.skip
        elif isinstance(env, gym.wrappers.MaxAndSkipObservation):
            skip *= env._skip
        env = env.env
    if not limits and spec is not None and spec.max_episode_steps is not None:
        return spec.max_episode_steps  # of an environment inside a user's own class
    return min(limits, default=None)


class _Bounded(gym.Wrapper):
    """Raises an error in an episode that does not end."""

    _steps = 0

    def reset(self, *, seed: int | None = None, options: Json | None = None) -> tuple[PyTree, Json]:
        self._steps = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: PyTree) -> tuple[PyTree, SupportsFloat, bool, bool, Json]:
        self._steps += 1
        if self._steps > LONGEST:
            raise UserError(
                f"{trial.name_of(self.env)} has no step limit, and an episode has gone on for "
                f"{LONGEST} steps: set config.env.max_episode_steps, after which episodes are cut"
            )
        return self.env.step(action)


def bounded(env: gym.Env) -> gym.Env:
    """The environment, for playing whole episodes.

    If it has no known step limit, a UserError is raised after :data:`LONGEST` steps of an episode.
    """
    return env if step_limit(env) is not None else _Bounded(env)
