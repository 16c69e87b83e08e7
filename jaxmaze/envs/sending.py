"""Describing environments to other processes, and refusing those that cannot be made there."""

from __future__ import annotations

import io
import pickle
import sys

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from jaxmaze.envs import importing
from jaxmaze.envs.env_config import EnvConfig, EnvInfo
from jaxmaze.envs.specs import registered_spec


class CannotBeSentError(Exception):
    """Another process could not make the environment."""


def to_send(info: EnvInfo) -> bytes | None:
    """The data that another process needs to make the environment, for :func:`register`.

    Returns:
      The registered specification; None if the configuration names the module to import.

    Raises:
      CannotBeSentError: if it uses code that only this process has: functions without a name, or
        code of a script or a notebook.
    """
    config = info.config
    with importing.current_folder_first():
        for code in config.code():
            _check_found_text(code)
            _dump(code)
        if config.make is not None:
            return None
        if ":" in config.id:
            _check_found(config.id.partition(":")[0])
            return None
        spec = registered_spec(info)
        for text in (spec.entry_point, *(w.entry_point for w in spec.additional_wrappers)):
            _check_found_text(text)
        return _dump(spec)


def _dump(value: object) -> bytes:
    """Pickle a value, provided that another process could load it."""
    buffer = io.BytesIO()
    try:
        _Sender(buffer).dump(value)
    except CannotBeSentError:
        raise
    except Exception as error:  # Objects that cannot be pickled raise many errors.
        raise CannotBeSentError(importing.first_line(error)) from error
    return buffer.getvalue()


class _Sender(pickle.Pickler):
    """A pickler that rejects code which another process would not find."""

    def persistent_id(self, obj: object) -> None:
        if not callable(obj):
            return
        _check_found(getattr(obj, "__module__", None) or "builtins")
        if "<" in getattr(obj, "__qualname__", ""):  # <lambda>, or inside a function's <locals>
            raise CannotBeSentError(f"{importing.text(obj)} has no name that another could import")


def _check_found_text(path: object) -> None:
    if isinstance(path, str):
        _check_found(path.partition(":")[0])


def _check_found(module: str) -> None:
    """Check that a new process would find a module; it may have been created in this one."""
    top = module.partition(".")[0]
    if top == "__main__":
        raise CannotBeSentError("its code is in the script or notebook itself")
    if top.startswith(importing.CONFIG_MODULE):
        raise CannotBeSentError("its code is in the config file")
    if top in sys.builtin_module_names:
        return
    for finder in sys.meta_path:
        if finder.find_spec(top, None) is not None:
            return
    raise CannotBeSentError(f"another process would not find its module {module!r}")


def comes_with_gymnasium(info: EnvInfo) -> bool:
    """Whether all code of the environment is gymnasium's own."""
    return is_gymnasiums(info.spec, info.config)


def is_gymnasiums(spec: EnvSpec, config: EnvConfig) -> bool:
    """As :func:`comes_with_gymnasium`, for an environment without a description yet."""
    entry_point = spec.entry_point
    own = isinstance(entry_point, str) and entry_point.startswith("gymnasium.")
    theirs = (isinstance(code, str) and importing.of_gymnasium(code) for code in config.code())
    return own and all(theirs)


def register(sent: bytes | None) -> None:
    """Register in this process what :func:`to_send` returned in another."""
    if sent is not None:
        with importing.current_folder_first():
            spec = pickle.loads(sent)
        gym.registry[spec.id] = spec
