"""What a field of the settings may be: declared beside its default, once."""

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
      default: the value where a config file says nothing; None for "not set".
      type: the Python type; an int is taken where a float is expected.
      help: what it does, in a line.
      low: smallest value.
      high: largest value.
      above: whether ``low`` itself is excluded.
      choices: the only values allowed.
      optional: whether None is allowed.
      swept: whether a sweep may try several values; those of PPO then train side by side.
      own: whether runs that train together may differ in it, as they may in what is swept.
      identity: whether another value makes it another run, which does not go on in the folder.
      folder: whether it names a folder.
      several: whether it may be a tuple of such values too.
      items: for a tuple, the type of what is in it; None if that is not checked.
      code: whether it may be a path to import from, where it names no folder.
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
    code: bool = False


def field(default: object, help: str, **limits: object) -> Any:
    """A field of a dataclass, with what :class:`Field` says beyond type and ``optional``."""
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
    """The texts in a field that may have several; none if it is not set."""
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
    """What an annotation says of a field: type, whether None, and whether several values.

    ``str | tuple[str, ...]`` is a text or several; a tuple alone has the type of its items.
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
