"""Declarations of settings fields: default, type and allowed values, in one place."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

_KEY = "field"
Kind: typing.TypeAlias = type


class Field(NamedTuple):
    """One field.

    Attributes:
      default: the value if a config file does not set it; None for "not set".
      type: the Python type; an int is accepted for a float.
      help: one-line description.
      low: smallest value.
      high: largest value.
      above: whether ``low`` itself is excluded.
      choices: the only values allowed.
      optional: whether None is allowed.
      swept: whether a sweep may try several values; with PPO, these are trained in parallel.
      own: whether runs that train together may differ in it, as in swept fields.
      identity: whether a run with another value is a different run, which cannot resume in the
        same folder.
      folder: whether it names a folder.
      several: whether a tuple of such values is allowed too.
      items: for a tuple, the type of its items; None if that is not checked.
      empty: whether a tuple may be empty.
      code: whether an import path is allowed, if the value does not name a folder.
      function: whether a function is allowed too, in Python.
      words: description of the allowed values, if the other attributes do not define them.
    """

    default: object
    type: Kind
    help: str
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    choices: tuple[object, ...] = ()
    optional: bool = False
    swept: bool = False
    own: bool = False
    identity: bool = True
    folder: bool = False
    several: bool = False
    items: Kind | None = None
    empty: bool = False
    code: bool = False
    function: bool = False
    words: str = ""


def field(default: object, help: str, **limits: object) -> Any:
    """A dataclass field with the attributes of :class:`Field`, except type and ``optional``."""
    metadata = {_KEY: {"default": default, "help": help, **limits}}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def positive(default: float | None, help: str, **limits: object) -> Any:
    """A number above 0."""
    return field(default, help, low=0, above=True, **limits)


def at_least_0(default: float | None, help: str, **limits: object) -> Any:
    """A number of at least 0."""
    return field(default, help, low=0, **limits)


def count(default: int | None, help: str, low: int = 1, **limits: object) -> Any:
    """An integer of at least ``low``."""
    return field(default, help, low=low, **limits)


def share(default: float | None, help: str, **limits: object) -> Any:
    """A number from 0 to 1."""
    return field(default, help, **({"low": 0, "high": 1} | limits))


def names_of(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The strings in a field that may have several; empty if it is not set."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def of(section: type) -> dict[str, Field]:
    """The fields of a section's dataclass by name."""
    hints = typing.get_type_hints(section)
    found = {}
    for item in dataclasses.fields(section):
        if _KEY in item.metadata:
            found[item.name] = Field(**_kind(hints[item.name]), **item.metadata[_KEY])
    return found


def _kind(hint: Any) -> dict[str, Any]:
    """A field's type, and whether None and several values are allowed, from its annotation.

    ``str | tuple[str, ...]`` is one string or several; a plain tuple has the type of its items.
    """
    parts = list(hint.__args__) if isinstance(hint, types.UnionType) else [hint]
    optional = type(None) in parts
    parts = [part for part in parts if part is not type(None)]
    tuples = [part for part in parts if typing.get_origin(part) is tuple]
    several = len(parts) == 2 and len(tuples) == 1
    (hint,) = (part for part in parts if not several or part not in tuples)
    kind = typing.get_origin(hint) or hint
    items = typing.get_args(hint)[0] if kind is tuple and typing.get_args(hint) else None
    if issubclass(kind, Mapping):
        kind = dict
    items = items if items in (int, float, str) else None
    return {"type": kind, "optional": optional, "several": several, "items": items}
