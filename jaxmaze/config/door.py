"""Validation of users' configurations and their conversion to settings.

A config file may be partial; fields that it leaves out have their defaults. A field that does not
exist, or a value out of range, stops a command before anything is computed.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import ml_collections
from ml_collections import config_dict

from jaxmaze.config import settings as settings_lib
from jaxmaze.config import sweeps
from jaxmaze.config.fields import Field
from jaxmaze.config.settings import FIELDS, SECTIONS, STAGES, Settings, get
from jaxmaze.envs import importing
from jaxmaze.errors import UserError

OPEN = ("env.kwargs.", "env.reset_options.")
"""Prefixes after which field names are free."""
ConfigLike: TypeAlias = ml_collections.ConfigDict | Mapping[str, object]
"""A complete or partial configuration, as given by a user."""


def default_config() -> ml_collections.ConfigDict:
    """A configuration with all fields at their defaults; ``env.id`` is still to be set."""
    config = ml_collections.ConfigDict()
    for name, field in FIELDS.items():
        section = config
        if "." in name:
            head, name = name.split(".")
            if head not in config:
                config[head] = ml_collections.ConfigDict()
            section = config[head]
        if field.default is None:
            section[name] = config_dict.placeholder(field.type)
        elif field.type is dict:
            section[name] = ml_collections.ConfigDict(field.default)
        else:
            section[name] = field.default
    return config


def make_config(values: ConfigLike) -> ml_collections.ConfigDict:
    """A locked configuration from nested values, with defaults for fields that they leave out.

    Raises:
      UserError: if ``values`` is not a dict, or a field does not exist; values are checked by
        :func:`validate`.
    """
    config = default_config()
    for name, value in flat(values).items():
        check_name(name)
        _set(config, name, value)
    return config.lock()


def flat(values: ConfigLike) -> dict[str, object]:
    """Flatten values, nested or not, to dotted names; the names are not checked.

    Raises:
      UserError: if ``values`` is not a dict.
    """
    if not isinstance(values, Mapping | ml_collections.ConfigDict):
        raise UserError(
            f"a configuration must be a dict or a ConfigDict, not the {type(values).__name__} "
            f"{values!r:.60}; jaxmaze.load_config reads one from a file"
        )
    return dict(_flatten(_plain(values)))


def _plain(values: ConfigLike) -> dict[str, object]:
    """Convert a ConfigDict or another mapping to plain nested dicts."""
    pairs = values.to_dict() if isinstance(values, ml_collections.ConfigDict) else values
    return {
        str(key): _plain(value) if isinstance(value, Mapping | ml_collections.ConfigDict) else value
        for key, value in pairs.items()
    }


def _flatten(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values; ``env.kwargs`` counts as a single value."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in SECTIONS:
            if not isinstance(value, Mapping):
                raise UserError(f"{name}={value!r} must be a section with fields")
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value


def _set(config: ml_collections.ConfigDict, name: str, value: object) -> None:
    if name.startswith(OPEN):
        name, leaf = name.rsplit(".", 1)
        value = get(config, name).to_dict() | {leaf: value}
    if name.startswith("sweep."):
        name, value = "sweep", config.sweep.to_dict() | {name.split(".", 1)[1]: value}
    section, _, leaf = name.rpartition(".")
    target = config[section] if section else config
    if name == "sweep" and isinstance(value, Mapping):
        value = {k: tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in value.items()}
    if isinstance(value, Mapping):
        value = ml_collections.ConfigDict(dict(value))
    field = FIELDS[name]
    if (field.type is tuple or field.several) and isinstance(value, list):
        value = tuple(value)
    if field.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    with target.ignore_type():
        target[leaf] = value


def check_name(name: str) -> None:
    """Check that a dotted field name exists.

    Raises:
      UserError: if it does not; suggests the closest name that does.
    """
    if name in FIELDS or name.startswith(OPEN):
        return
    if name.startswith("sweep."):
        if name.removeprefix("sweep.") not in sweeps.names():
            raise UserError(
                f"config.{name} cannot be swept; these can: {', '.join(sweeps.names())}"
            )
        return
    if name in SECTIONS:
        raise UserError(
            f"config.{name} is a section; set a field in it, such as {_fields_of(name)}"
        )
    close = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
    section = name.split(".")[0]
    hint = (
        f"did you mean config.{close[0]}?"
        if close
        else (
            f"{section} has {_fields_of(section)}"
            if section in SECTIONS
            else f"the sections are {', '.join(SECTIONS)}, the fields outside of them "
            f"{', '.join(n for n in FIELDS if '.' not in n)}"
        )
    )
    raise UserError(f"config.{name} is not a field; {hint}")


def _fields_of(section: str) -> str:
    return ", ".join(n.split(".")[1] for n in FIELDS if n.startswith(f"{section}."))


def expected(name: str) -> str:
    """A readable description of a field's allowed values."""
    field = FIELDS[name]
    if field.words:
        return field.words
    if name == "network.hidden_sizes":
        return "a tuple of positive integers such as (64,64)"
    words = {
        int: "an integer",
        float: "a number",
        str: "a text",
        bool: "True or False",
        dict: "a set of arguments",
        tuple: "a tuple",
    }[field.type]
    if field.several:
        words += " or a tuple of them"
    if field.items is not None:
        words = f"a tuple of { {int: 'integers', float: 'numbers', str: 'texts'}[field.items] }"
    if field.function:
        words = "an import path module:name (in Python also the function itself)"
    if field.choices:
        words = "one of " + ", ".join(map(str, field.choices))
    low, high = field.low, field.high
    if low > -math.inf:
        words += f" {'above' if field.above else 'of at least'} {low:.10g}"
    if high < math.inf:
        words += f" {'and' if low > -math.inf else 'of'} at most {high:.10g}"
    return words + (", or None" if field.optional else "")


def fits(name: str, value: object) -> bool:
    """Whether a value is allowed for a field."""
    field = FIELDS[name]
    if value is None:
        return field.optional
    if field.function and callable(value):
        return True
    if name == "network.hidden_sizes":
        return isinstance(value, tuple) and all(
            isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value
        )
    if field.type is dict:
        return isinstance(value, Mapping | ml_collections.ConfigDict)
    if isinstance(value, tuple) and (field.several or field.items is not None):
        each = field._replace(type=field.items or field.type, optional=False)
        return (bool(value) or field.empty) and all(_is(each, x) for x in value)
    return _is(field, value)


def _is(field: Field, value: object) -> bool:
    """Whether a value has a field's type and is in its range."""
    if isinstance(value, bool) and field.type is not bool:
        return False
    if field.type is float:
        if not isinstance(value, int | float) or math.isnan(value):
            return False
    elif not isinstance(value, field.type):
        return False
    if field.choices and value not in field.choices:
        return False
    if isinstance(value, int | float) and field.type in (int, float):
        above = value > field.low if field.above else value >= field.low
        return above and value <= field.high
    return True


def validate(config: ConfigLike) -> ml_collections.ConfigDict:
    """Check every field and their combination; returns a complete, locked configuration.

    Raises:
      UserError: one line that names the field and its allowed values.
    """
    config = make_config(config)
    for name in FIELDS:
        value = get(config, name)
        if not fits(name, value):
            shown = "not set" if value is None else f"{value!r}"
            raise UserError(f"config.{name} is {shown}; it must be {expected(name)}")
    for name in SECTIONS:
        settings_lib.check(name, settings_lib.from_plain(config.to_dict()))
    _check_sweep(config)
    return config


def _check_sweep(config: ml_collections.ConfigDict) -> None:
    """Check that the stage supports the swept fields, and that their values are allowed."""
    if not config.sweep:
        return
    known = settings_lib.swept(config.stage)
    if not known:
        able = [stage for stage in STAGES if settings_lib.swept(stage)]
        raise UserError(
            f"config.sweep works with the stages {' and '.join(able)}, not with "
            f"{config.stage}: choose a recipe such as :ppo"
        )
    for name, values in config.sweep.items():
        if name not in known:
            raise UserError(
                f"config.sweep.{name} cannot be swept in {config.stage}; these can: "
                f"{', '.join(known)}"
            )
        full = f"{config.stage}.{name}"
        for value in values:
            if not fits(full, value):
                raise UserError(f"config.sweep.{name} has {value!r}; each must be {expected(full)}")
        if not values or len(set(values)) < len(values):
            raise UserError(f"config.sweep.{name}={values} must be different values")


def to_settings(config: ConfigLike | Settings) -> Settings:
    """Convert a configuration to settings and validate it.

    Raises:
      UserError: one line that names the field and its allowed values.
    """
    if isinstance(config, Settings):
        return config
    return settings_lib.from_plain(validate(config).to_dict())


def import_paths(config: ml_collections.ConfigDict) -> dict[str, str]:
    """The import paths in a configuration, by field, except those of gymnasium's own code."""
    values = {name: get(config, name) for name, field in FIELDS.items() if field.code}
    paths = {
        name: value
        for name, value in values.items()
        if isinstance(value, str) and ":" in value
        # A folder of that name takes precedence, as in policies.resolve.
        if name.startswith("env.") or not Path(value).is_dir()
    }
    for i, entry in enumerate(values["env.wrappers"]):
        code, _ = importing.wrapping(entry)
        if isinstance(code, str) and not importing.of_gymnasium(code):
            paths[f"env.wrappers[{i}]"] = code
    # Names of code that was given in Python are never imported.
    return {
        name: path
        for name, path in paths.items()
        if not (name.startswith(("env.make", "env.wrappers")) and importing.nameless(path))
    }


def to_dict(config: ml_collections.ConfigDict | Settings) -> dict[str, object]:
    """Convert to nested values that JSON can hold and :func:`make_config` accepts."""
    values = settings_lib.to_plain(config) if isinstance(config, Settings) else config.to_dict()
    return json.loads(json.dumps(_finite(values), default=_written))


def _written(value: object) -> str:
    """The JSON replacement for a value that JSON cannot hold: for code, its import path."""
    return importing.text(value) if callable(value) else str(value)


def _finite(value: object) -> object:
    """Replace infinity, which JSON does not have, by the string "inf"."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_finite(v) for v in value]
    return "inf" if isinstance(value, float) and value == math.inf else value


def from_dict(values: Mapping[str, object]) -> ml_collections.ConfigDict:
    """The inverse of :func:`to_dict`, validated."""
    restored = {
        section: (
            {k: _infinite(v) for k, v in part.items()}
            if isinstance(part, Mapping) and section != "env"
            else part
        )
        for section, part in values.items()
    }
    return validate(make_config(restored))


def _infinite(value: object) -> object:
    if isinstance(value, list):
        return tuple(_infinite(v) for v in value)
    return math.inf if value == "inf" else value
