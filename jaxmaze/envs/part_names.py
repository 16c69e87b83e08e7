"""Names of the parts of spaces, and how those that HDF5 cannot hold are written in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

import gymnasium as gym

from jaxmaze.core.types import PyTree


def must_encode(*spaces: gym.Space) -> bool:
    """Whether the names of a space's parts cannot stand in HDF5 as they are."""
    return any(unfit(name) for space in spaces for name in names(space))


def unfit(name: str) -> bool:
    """Whether a name cannot stand in HDF5 as it is."""
    return "/" in name or not name.strip(".")


def names(space: gym.Space) -> Iterator[str]:
    """The names of all parts of dicts in a space."""
    if isinstance(space, gym.spaces.Dict):
        yield from space.spaces
    inner = space.spaces.values() if isinstance(space, gym.spaces.Dict) else ()
    for part in space.spaces if isinstance(space, gym.spaces.Tuple) else inner:
        yield from names(part)


def encode(name: str) -> str:
    """A part's name as it is written."""
    if not name.strip("."):
        return name.replace(".", "%2E")
    return name.replace("%", "%25").replace("/", "%2F")


def decode(name: str) -> str:
    """A part's name as the environment has it."""
    return unquote(name)


def renamed(value: PyTree, name: Callable[[str], str]) -> PyTree:
    """A space, or nested dicts and tuples of arrays, with another name for each part of a dict."""
    if isinstance(value, gym.spaces.Dict):
        return gym.spaces.Dict({name(k): renamed(v, name) for k, v in value.spaces.items()})
    if isinstance(value, gym.spaces.Tuple):
        return gym.spaces.Tuple([renamed(v, name) for v in value.spaces])
    if isinstance(value, Mapping):
        return {name(k): renamed(v, name) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(renamed(v, name) for v in value)
    return value
