"""Loading of users' configurations: from a file, with overrides, and with absolute paths."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import ml_collections

from jaxmaze import config as config_lib
from jaxmaze.config import ConfigLike, files, make_config
from jaxmaze.envs import importing
from jaxmaze.errors import UserError
from jaxmaze.handle import Config
from jaxmaze.policies import registered
from jaxmaze.runs import sources
from jaxmaze.teachers import sb3


def load_config(path: str | Path, overrides: Mapping[str, object] | None = None) -> Config:
    """A configuration from a config file.

    Args:
      path: the file, or the name of one that comes with the library (``"lunar_lander"``),
        optionally followed by a colon and a recipe: ``"configs/lunar_lander.py:guide"``.
      overrides: values by dotted name, ``{"bc.num_epochs": 20}``.

    Raises:
      UserError: if the file, the recipe or a value cannot be used.
    """
    name, _, recipe = str(path).partition(":")
    file = files.find(name)
    spec = importlib.util.spec_from_file_location(f"{importing.CONFIG_MODULE}{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"config file {name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "get_config", None)):
            raise UserError(
                f"config file {name} has no function get_config, which returns the configuration; "
                "jaxmaze init my_config.py --env=ID writes such a file"
            )
        values = module.get_config(recipe) if recipe else module.get_config()
    except UserError:
        raise
    except Exception as error:  # A user's file may raise anything.
        raise UserError(f"config file {path}: {type(error).__name__}: {error}") from error
    if not isinstance(values, ml_collections.ConfigDict | Mapping):
        raise UserError(f"config file {name}: get_config() must return a ConfigDict")
    return override(values, overrides or {})


def override(config: ConfigLike, overrides: Mapping[str, object]) -> Config:
    """A checked copy of a configuration with some values changed, by dotted name.

    Args:
      config: the configuration, or a dict; missing fields have the library's defaults.
      overrides: values by dotted name, or nested like a configuration.

    Raises:
      UserError: for a field that does not exist or a value out of range.
    """
    values = make_config(config).to_dict()
    for name, value in config_lib.flat(overrides).items():
        config_lib.check_name(name)
        *path, leaf = name.split(".")
        target = values
        if path[2:] or (path and path[0] == "sweep" and path[1:]):
            raise UserError(
                f"config.{name} is nested too deeply; give env.kwargs and the like one by one"
            )
        for part in path:
            target = target[part]
        target[leaf] = value
    return config_lib.validate(make_config(values))


def absolute(config: Config) -> Config:
    """Make paths absolute, so that a run can be resumed from any folder."""
    changes: dict[str, object] = {}
    for name, field in config_lib.FIELDS.items():
        value = config_lib.get(config, name) if field.folder or field.code else None
        if field.several and value is not None:
            changes[name] = sources.absolute(value)
        elif not isinstance(value, str):
            continue
        # A value that may be code is a path if such a folder exists and no teacher has that name.
        elif field.folder or (value not in registered() and Path(value).is_dir()):
            changes[name] = str(Path(value).resolve())
    return override(config, changes | absolute_zips(config))


def absolute_zips(config: Config) -> dict[str, str]:
    """The fields that name a zip, with its absolute path as value."""
    named = {
        name: config_lib.get(config, name) or ""
        for name, field in config_lib.FIELDS.items()
        if field.code
    }
    return {
        name: sb3.PREFIX + str(Path(value.removeprefix(sb3.PREFIX)).resolve())
        for name, value in named.items()
        if isinstance(value, str) and value.startswith(sb3.PREFIX)
    }
