"""Making an environment, with one-line error messages if that fails."""

from __future__ import annotations

import ctypes.util
import functools
import json
import os
import re
import sys
import types
import warnings
from typing import Any, NoReturn

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from jaxmaze.envs import action_masks, importing, wrapping
from jaxmaze.envs.env_config import EnvConfig
from jaxmaze.errors import UserError

PICTURES = "rgb_array"
"""The render mode in which environments return pictures."""
WINDOW = "human"
"""The one in which they are shown in a window."""
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")
SDL = "SDL_VIDEODRIVER"
"""The environment variable that tells SDL, and so pygame, what to draw on."""
CAMERA = {"camera_id", "camera_name", "default_camera_config"}
"""Arguments of gymnasium's MuJoCo environments that choose a camera."""
FREE, TRACKING = -1, "track"
"""A MuJoCo camera that stands, by number; one that follows the robot, by name."""
_set: set[str] = set()
"""Environment variables that were set here, not by the user."""


def make(config: EnvConfig, render_mode: str | None = None) -> gym.Env:
    """Make one environment, wrapped as configured.

    Modules are searched in the current folder first, as ``python -m`` does. If
    ``environment.describe`` has found action masks, they are part of the observations.

    Raises:
      UserError: if the environment or a wrapper does not exist, is retired, or rejects its
        arguments.
    """
    with importing.current_folder_first():
        env = wrapping.wrap(_made(config, render_mode), config)
    source = config.mask_source
    return action_masks.ActionMasks(env, source, config.id) if source else env


def _made(config: EnvConfig, render_mode: str | None) -> gym.Env:
    """The environment with its step limit, but without any other wrapper."""
    kwargs = json.loads(config.kwargs)
    if render_mode is not None:
        kwargs["render_mode"] = render_mode
    if render_mode == PICTURES:
        _draw_without_screen()
    elif render_mode == WINDOW:
        look_for_screen()
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    module, colon, _ = config.id.partition(":")
    if config.make is None and colon:
        importing.import_module(module, config.named)
    which = config.id if config.make is None else _spec_of(config)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = gym.make(which, disable_env_checker=True, **kwargs)
    except UserError:
        raise
    except Exception as error:  # An environment's constructor may raise anything.
        _cannot_be_made(config, error, render_mode)
    if render_mode == PICTURES and not CAMERA & kwargs.keys():
        _follow(env)
    return env


def without_screen() -> bool:
    """Whether windows cannot be shown, as there is no screen."""
    return sys.platform.startswith("linux") and not any(map(os.environ.get, SCREENS))


def _draw_without_screen() -> None:
    """Let MuJoCo and SDL draw where there is no screen, unless they are told how.

    They would ask for one: MuJoCo fails then, SDL prints an error of no consequence.
    """
    if not without_screen():
        return
    # Without the library, MuJoCo could not even be imported with this setting.
    if ctypes.util.find_library("EGL"):
        os.environ.setdefault("MUJOCO_GL", "egl")
    if SDL not in os.environ:
        os.environ[SDL] = "dummy"
        _set.add(SDL)


def look_for_screen() -> None:
    """Let SDL look for a screen again, if it was told here to do without; before a window opens."""
    if SDL in _set:
        _set.remove(SDL)
        os.environ.pop(SDL, None)


def _follow(env: gym.Env) -> None:
    """Let the camera of gymnasium's MuJoCo environments follow what moves.

    Their default camera is to do so, but gymnasium 1.4 lets it stand, and robots walk out of the
    picture.
    """
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    cameras = getattr(getattr(renderer, "model", None), "ncam", 0)
    if renderer is None or renderer.camera_id != FREE or not cameras:
        return
    names = [renderer.model.camera(i).name for i in range(cameras)]
    if TRACKING in names:
        renderer.camera_id = names.index(TRACKING)


def _spec_of(config: EnvConfig) -> EnvSpec:
    """An unregistered specification of the environment that a function makes."""
    make = config.make
    assert make is not None
    code = importing.load(make, "env.make") if isinstance(make, str) else make
    name = re.sub(r"[^\w:.-]+", "_", config.id).strip("_") or "environment"
    return EnvSpec(name, entry_point=_entry_point(make, code))


def _entry_point(make: importing.Code | str, code: importing.Code) -> Any:
    """The entry point for gymnasium: an import path, or a function that it can copy."""
    if isinstance(make, str) and "." not in make.partition(":")[2]:
        return make  # gymnasium does not resolve nested names
    if isinstance(code, type | types.FunctionType | functools.partial):
        return code
    return lambda **kwargs: code(**kwargs)  # gymnasium would copy an object


def _takes_none(error: Exception, line: str) -> bool:
    """Whether an environment's constructor does not know ``render_mode``."""
    # A class without __init__ of its own only says that it takes no arguments.
    return isinstance(error, TypeError) and (
        "unexpected keyword argument 'render_mode'" in line or "takes no arguments" in line
    )


def _cannot_be_made(config: EnvConfig, error: Exception, render_mode: str | None) -> NoReturn:
    """Raise a UserError for an exception raised while making an environment."""
    line = importing.first_line(error).partition(" was raised from the environment creator")[0]
    if isinstance(error, gym.error.DependencyNotInstalled):
        text = f"{config.named} needs a package that is missing: {error}"
    elif isinstance(error, gym.error.NameNotFound) and config.make is None:
        module, colon, _ = config.id.partition(":")
        hint = (
            f"{module} registers no such environment"
            if colon
            else "one of your own is given with the module that registers it, as module:Name-v0; "
            f"modules are searched in {importing.searched()}, and among the installed packages"
        )
        text = f"{config.named} cannot be made: {line} ({hint})"
    elif isinstance(error, gym.error.Error):
        text = f"{config.named} cannot be made: {line}"
    elif isinstance(error, ModuleNotFoundError):
        text = (
            f"{config.named} cannot be imported: {line} (searched in {importing.searched()}, and "
            "among the installed packages)"
        )
    elif isinstance(error, ImportError):
        text = f"{config.named} cannot be made: {line}"
    elif config.make is not None and "must inherit from the gymnasium.Env" in line:
        found = line.partition("actual class: ")[2].partition(". See")[0]
        text = f"{config.named} returned {found}; it must return one environment, a gymnasium.Env"
    elif render_mode is not None and _takes_none(error, line):
        text = (
            f"{config.named} cannot be rendered: it takes no argument render_mode; gymnasium wants "
            "render_mode=None among its arguments, the modes in its metadata, and a method render()"
        )
    else:
        text = (
            f"{config.named} with env.kwargs={config.kwargs} cannot be made: "
            f"{importing.told(error)}{importing.place(error)}"
        )
    raise UserError(text) from error
