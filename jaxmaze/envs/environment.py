"""gymnasium environments: making them and describing their spaces."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import logging
import pickle
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from jaxmaze import trust
from jaxmaze.core.spaces import ActionSpace, Box, Discrete, Spaces
from jaxmaze.core.types import Json, JsonMap, PyTree
from jaxmaze.envs.observation_spaces import observations_of
from jaxmaze.errors import UserError

MissingPackageError = gym.error.DependencyNotInstalled
"""What rendering raises without the package that it needs."""


class EnvSection(Protocol):
    """The ``env`` section of the settings, as far as this room reads it."""

    @property
    def id(self) -> str | None: ...
    @property
    def kwargs(self) -> JsonMap: ...
    @property
    def backend(self) -> str: ...
    @property
    def max_episode_steps(self) -> int | None: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def shards(self) -> int: ...


class EnvConfig(NamedTuple):
    """Which environment: all that is needed to make another one just like it.

    Attributes:
      id: a registered id; ``package.module:Name-v0`` imports the module first.
      kwargs: the environment's own arguments, as JSON, so that this is hashable.
      max_episode_steps: steps after which an episode is truncated; the registered limit if None.
    """

    id: str
    kwargs: str = "{}"
    max_episode_steps: int | None = None

    @classmethod
    def of(cls, section: EnvSection) -> EnvConfig:
        """From the ``env`` section of a configuration.

        Raises:
          UserError: if it names no environment, or arguments that cannot be written down.
        """
        if section.id is None:
            raise UserError(
                "config.env.id is not set, and this needs an environment; give a gymnasium id, or "
                "module:Name-v0 for one of your own"
            )
        try:
            kwargs = json.dumps(dict(section.kwargs))
        except TypeError as error:
            raise UserError(
                f"env.kwargs must be numbers, texts, lists and the like: {error}"
            ) from None
        return cls(section.id, kwargs, section.max_episode_steps)


class EnvInfo(NamedTuple):
    """What an environment looks like from outside.

    Without an environment it is what a data set says of its own; ``spec`` has no entry point then.
    """

    config: EnvConfig
    spec: EnvSpec
    observation_space: gym.Space
    action_space: gym.Space
    spaces: Spaces

    @property
    def exists(self) -> bool:
        """Whether there is an environment, and not only what a data set says of one."""
        return self.spec.entry_point is not None


def make(config: EnvConfig, render_mode: str | None = None) -> gym.Env:
    """Make one environment.

    Modules are searched in the current folder first, as ``python -m`` does.

    Raises:
      UserError: if it does not exist, is retired, or refuses its arguments.
    """
    with current_folder_first():
        _import_module_of(config.id)
        return _make(config, render_mode)


def _make(config: EnvConfig, render_mode: str | None) -> gym.Env:
    kwargs = json.loads(config.kwargs)
    if render_mode is not None:
        kwargs["render_mode"] = render_mode
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return gym.make(config.id, disable_env_checker=True, **kwargs)
    except gym.error.DependencyNotInstalled as error:
        raise UserError(f"env.id={config.id} needs a package that is missing: {error}") from error
    except gym.error.NameNotFound as error:
        module, colon, _ = config.id.partition(":")
        hint = (
            f"{module} registers no such environment"
            if colon
            else "one of your own is given with the module that registers it, as module:Name-v0"
        )
        raise UserError(
            f"env.id={config.id} cannot be made: {_first_line(error)} ({hint})"
        ) from error
    except gym.error.Error as error:
        raise UserError(f"env.id={config.id} cannot be made: {_first_line(error)}") from error
    except ModuleNotFoundError as error:
        raise UserError(
            f"env.id={config.id} cannot be imported: {_first_line(error)} (searched in "
            f"{Path.cwd()}, the current folder, and among the installed packages)"
        ) from error
    except ImportError as error:
        raise UserError(f"env.id={config.id} cannot be made: {_first_line(error)}") from error
    except Exception as error:  # An environment's constructor may raise anything.
        raise UserError(
            f"env.id={config.id} with env.kwargs={config.kwargs} cannot be made: "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error


@contextlib.contextmanager
def current_folder_first() -> Iterator[None]:
    """Let imports find the user's own modules, whichever way this process was started."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a module may set its own path
            sys.path.remove(here)


def _import_module_of(env_id: str) -> None:
    """Import what stands before the colon of an id, which registers the environment.

    Raises:
      UserError: if there is no such module, it needs one that is missing, or raises.
    """
    module, colon, _ = env_id.partition(":")
    if not colon:
        return
    if module not in sys.modules:
        trust.refuse_runs(module)
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module}.".startswith(f"{missing}."):
            raise UserError(
                f"env.id={env_id}: there is no module {missing!r} in {Path.cwd()}, the current "
                "folder, nor among the installed packages; start in the folder that holds it, or "
                "add that folder to PYTHONPATH"
            ) from error
        raise UserError(
            f"env.id={env_id}: its module {module} needs {missing!r}, which is neither in "
            f"{Path.cwd()}, the current folder, nor installed"
        ) from error
    except Exception as error:  # Whatever a user's module raises.
        raise UserError(
            f"env.id={env_id}: its module {module} cannot be imported: {type(error).__name__}: "
            f"{_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def describe(config: EnvConfig) -> EnvInfo:
    """The spaces and specification of an environment.

    Raises:
      UserError: if it cannot be made, or has a space that is not supported.
    """
    env = make(config)
    try:
        spaces = space_spec(env.observation_space, env.action_space)
        assert env.spec is not None  # gymnasium.make gives one
        return EnvInfo(config, env.spec, env.observation_space, env.action_space, spaces)
    finally:
        env.close()


def of_spaces(observation_space: gym.Space, action_space: gym.Space) -> EnvInfo:
    """What a data set says of the environment that it comes from: its spaces and nothing else.

    Raises:
      UserError: for spaces that are not supported.
    """
    spaces = observation_space, action_space
    return EnvInfo(EnvConfig("the data set"), EnvSpec("data"), *spaces, space_spec(*spaces))


def space_spec(observation_space: gym.Space, action_space: gym.Space) -> Spaces:
    """What networks need to know of the two spaces.

    Raises:
      UserError: for a space that is not supported.
    """
    return Spaces(observations_of(observation_space), actions_of(action_space))


def actions_of(space: gym.Space) -> ActionSpace:
    """The kind of the actions.

    Raises:
      UserError: for a space that is not supported.
    """
    if isinstance(space, gym.spaces.Discrete):
        if space.start != 0:
            raise UserError(f"action space {space} is not supported: actions must start at 0")
        return Discrete(int(space.n))
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return Box(tuple(float(x) for x in space.low), tuple(float(x) for x in space.high))
    raise UserError(
        f"action space {space} is not supported: only Discrete and one-dimensional Box are"
    )


def spec_dict(info: EnvInfo) -> Json:
    """The specification as JSON can hold it, arguments and step limit included.

    It is gymnasium's own JSON wherever that exists; functions, classes and other objects in it are
    named, as ``"module:name"``.
    """
    spec = info.spec
    fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.init}
    fields["additional_wrappers"] = [
        {f.name: getattr(wrapper, f.name) for f in dataclasses.fields(wrapper)}
        for wrapper in spec.additional_wrappers
    ]
    return json.loads(json.dumps(fields, default=_in_words, skipkeys=True))


def _in_words(value: object) -> PyTree:
    """What stands in JSON for an object that it cannot hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, gym.Space):
        return str(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def spec_for_data(info: EnvInfo) -> PyTree:
    """The specification for a data set: one that is JSON.

    A wrapper whose arguments are not JSON has none there, so that gymnasium refuses to make the
    environment from it, instead of making another one.
    """
    spec = gym.envs.registration.EnvSpec.from_json(json.dumps(spec_dict(info)))
    for ours, written in zip(info.spec.additional_wrappers, spec.additional_wrappers, strict=True):
        try:
            json.dumps(ours.kwargs)
        except (TypeError, ValueError):
            written.kwargs = None
    return spec


def registered_spec(info: EnvInfo) -> PyTree:
    """The specification that is registered, without what the configuration sets in it."""
    # Not of config.id: gym.spec knows no "module:Name-v0", nor names without a version.
    return gym.spec(info.spec.id)


def registered_limit(info: EnvInfo) -> int | None:
    """Steps after which the environment truncates an episode if nothing else is asked for."""
    return registered_spec(info).max_episode_steps


class CannotBeSentError(Exception):
    """Another process could not make the environment."""


def to_send(info: EnvInfo) -> bytes | None:
    """What another process must be told to make the environment, for :func:`register`.

    Returns:
      The registered specification; None if the environment's id names the module to import.

    Raises:
      CannotBeSentError: if it is made of what only this process has: functions without a name, or
        code of a script or a notebook.
    """
    module, colon, _ = info.config.id.partition(":")
    with current_folder_first():
        if colon:
            _check_found(module)
            return None
        spec = registered_spec(info)
        texts = [spec.entry_point, *(w.entry_point for w in spec.additional_wrappers)]
        for text in texts:
            if isinstance(text, str):
                _check_found(text.partition(":")[0])
        buffer = io.BytesIO()
        try:
            _Sender(buffer).dump(spec)
        except CannotBeSentError:
            raise
        except Exception as error:  # Objects say in many ways that they cannot be pickled.
            raise CannotBeSentError(_first_line(error)) from error
        return buffer.getvalue()


class _Sender(pickle.Pickler):
    """Refuses code that another process would not find."""

    def persistent_id(self, obj: object) -> None:
        if not callable(obj):
            return
        _check_found(getattr(obj, "__module__", None) or "builtins")
        if "<" in getattr(obj, "__qualname__", ""):  # <lambda>, or inside a function's <locals>
            raise CannotBeSentError(f"{_in_words(obj)} has no name that another could import")


def _check_found(module: str) -> None:
    """Check that a fresh process would find a module, which this one may have made up."""
    top = module.partition(".")[0]
    if top == "__main__":
        raise CannotBeSentError("its code is in the script or notebook itself")
    if top in sys.builtin_module_names:
        return
    for finder in sys.meta_path:
        if finder.find_spec(top, None) is not None:
            return
    raise CannotBeSentError(f"another process would not find its module {module!r}")


def comes_with_gymnasium(info: EnvInfo) -> bool:
    """Whether the environment's code is gymnasium's own."""
    entry_point = info.spec.entry_point
    return isinstance(entry_point, str) and entry_point.startswith("gymnasium.")


def register(sent: bytes | None) -> None:
    """Make known in this process what :func:`to_send` gave in another."""
    if sent is not None:
        with current_folder_first():
            spec = pickle.loads(sent)
        gym.registry[spec.id] = spec


def quiet() -> None:
    """Keep gymnasium's advice about newer versions and the like out of a command's output."""
    gym.logger.min_level = logging.ERROR
