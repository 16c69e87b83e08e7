"""What is put around an environment: the user's wrappers, and fields for the usual ones."""

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
"""Steps after which an episode that nothing cuts is taken for one without an end."""


class FrameSkip(gym.Wrapper, RecordConstructorArgs):
    """Repeats each action, sums the rewards, and shows the last observation.

    An episode that ends on the way ends there. (gymnasium's MaxAndSkipObservation shows the larger
    of the last two observations, pixel by pixel, which is for Atari's flickering screens.)
    """

    def __init__(self, env: gym.Env, skip: int):
        RecordConstructorArgs.__init__(self, skip=skip)
        gym.Wrapper.__init__(self, env)
        self.skip = skip

    def step(self, action: PyTree) -> tuple[PyTree, SupportsFloat, bool, bool, Json]:
        """``skip`` steps of the environment, or fewer at an end."""
        total = 0.0
        for _ in range(self.skip):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, info


class ResetOptions(gym.Wrapper, RecordConstructorArgs):
    """Hands the same ``options`` to each reset."""

    def __init__(self, env: gym.Env, options: Json):
        RecordConstructorArgs.__init__(self, options=options)
        gym.Wrapper.__init__(self, env)
        self._options = json.dumps(options)

    def reset(self, *, seed: int | None = None, options: Json | None = None) -> tuple[PyTree, Json]:
        """A reset with the options; those given here come on top."""
        # A fresh copy: an environment may take out of it what it has read.
        return self.env.reset(seed=seed, options=json.loads(self._options) | (options or {}))


class Resize(gym.wrappers.ResizeObservation):
    """gymnasium's, which can be made again from a data set, whose JSON knows no tuples."""

    def __init__(self, env: gym.Env, shape: Sequence[int]):
        super().__init__(env, (int(shape[0]), int(shape[1])))


def wrap(env: gym.Env, config: EnvConfig) -> gym.Env:
    """Put around an environment what the configuration asks for.

    From the inside: ``frame_skip``, ``wrappers`` in their order, ``grayscale``, ``resize``,
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
    except Exception as error:  # Whatever a user's wrapper raises.
        raise UserError(
            f"env.wrappers: {name} cannot be put around {env} with {kwargs}: "
            f"{type(error).__name__}: {importing.first_line(error)}{importing.place(error)}"
        ) from error
    if not isinstance(wrapped, gym.Env):
        raise UserError(
            f"env.wrappers: {name} gave a {type(wrapped).__name__}; it must give a gymnasium.Env, "
            "such as a gymnasium.Wrapper of the one that it is called with"
        )
    _describe(wrapped, env, name, kwargs if isinstance(code, str) else None)
    return wrapped


def _describe(wrapped: gym.Env, env: gym.Env, path: str, kwargs: Json | None) -> None:
    """Let the specification of a wrapped environment say by what it was wrapped.

    gymnasium's own says so of wrappers that record their arguments. Of others it knows the class
    alone, and nothing of what is no gymnasium.Wrapper: then it could not be made again.
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
    """Actions after which every episode is cut by a wrapper; None if nobody knows of one.

    What repeats actions cuts episodes after as many fewer.
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
        return spec.max_episode_steps  # of what is inside a user's own, which nobody can look into
    return min(limits, default=None)


class _Bounded(gym.Wrapper):
    """Stops what plays an episode that does not end."""

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
    """The environment; if nothing is known to cut its episodes, one that raises a UserError.

    After :data:`LONGEST` steps of an episode. To play whole episodes with.
    """
    return env if step_limit(env) is not None else _Bounded(env)
