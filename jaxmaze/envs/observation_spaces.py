"""Conversion of gymnasium's observation spaces to the kinds that networks take."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium as gym
import numpy as np

from jaxmaze.core.observation_kinds import MAX_ONE_HOT, VECTOR, Binary, Image, Kind, OneHot
from jaxmaze.core.observations import Observations, Part
from jaxmaze.errors import UserError

Path = tuple[str | int, ...]

WAYS_ROUND = {
    gym.spaces.Text: "a wrapper (gymnasium.ObservationWrapper) that gives numbers for the text",
    gym.spaces.Graph: "a wrapper (gymnasium.ObservationWrapper) that gives arrays of fixed shape",
    gym.spaces.Sequence: "a wrapper (gymnasium.ObservationWrapper) that pads it to a fixed length",
    gym.spaces.OneOf: "a wrapper (gymnasium.ObservationWrapper) that gives a Dict of all of them",
}
"""Advice for unsupported observation spaces of gymnasium."""


def observations_of(space: gym.Space) -> Observations:
    """The structure of a space's observations.

    Raises:
      UserError: for a space that is not supported.
    """
    parts = tuple(_parts(space, ()))
    if not parts:
        raise UserError(f"observation space {_shown(space)} is empty: it must have some numbers")
    if len({part.name for part in parts}) < len(parts):
        raise UserError(
            f"observation space {_shown(space)} has two parts of one name, their keys joined by "
            "dots; rename one with a wrapper (gymnasium.ObservationWrapper)"
        )
    return Observations(parts)


def _parts(space: gym.Space, path: Path) -> Iterator[Part]:
    """The arrays of a space, in the order in which JAX lists a pytree's leaves."""
    if isinstance(space, gym.spaces.Dict):
        for name in space.spaces:
            if not isinstance(name, str):
                raise UserError(f"observation space {_shown(space)}: {name!r} must be a text")
            if not name or "\0" in name:
                raise UserError(
                    f"observation space {_shown(space)}: the key {name!r} is empty or has a null "
                    "byte, so that files cannot hold it; rename it with a wrapper "
                    "(gymnasium.ObservationWrapper)"
                )
        for name in sorted(space.spaces):
            yield from _parts(space.spaces[name], (*path, name))
    elif isinstance(space, gym.spaces.Tuple):
        for number, inner in enumerate(space.spaces):
            yield from _parts(inner, (*path, number))
    else:
        shape = tuple(int(n) for n in space.shape or ())
        kind = _kind(space, shape, path)
        yield Part(path, shape, str(np.dtype(space.dtype)), kind)


def _kind(space: gym.Space, shape: tuple[int, ...], path: Path) -> Kind:
    """The kind of an array."""
    if isinstance(space, gym.spaces.Box):
        if 0 in shape:
            raise _refusal(space, path, "an array without numbers", "a Box with some")
        return Image.of(shape) if _is_image(space) else VECTOR
    if isinstance(space, gym.spaces.MultiBinary):
        return Binary()
    if isinstance(space, gym.spaces.Discrete):
        kind = OneHot((int(space.n),), (int(space.start),))
    elif isinstance(space, gym.spaces.MultiDiscrete):
        sizes, start = space.nvec.reshape(-1), np.asarray(space.start).reshape(-1)
        kind = OneHot(tuple(int(n) for n in sizes), tuple(int(n) for n in start))
    else:
        named = [words for kind, words in WAYS_ROUND.items() if isinstance(space, kind)]
        way = named[0] if named else "a wrapper (gymnasium.ObservationWrapper) that gives a Box"
        raise _refusal(space, path, type(space).__name__, way)
    if sum(kind.sizes) > MAX_ONE_HOT:
        size = f"more than {MAX_ONE_HOT} values, each of which would be an input of the network"
        way = "a wrapper (gymnasium.ObservationWrapper) that gives a Box or a MultiDiscrete"
        raise _refusal(space, path, size, way)
    return kind


def _is_image(space: gym.spaces.Box) -> bool:
    """Whether a box holds pixels: uint8 of the full range, with two to four axes."""
    if space.dtype != np.uint8 or not 2 <= len(space.shape) <= 4:
        return False
    return bool((space.low == 0).all() and (space.high == 255).all())


def _refusal(space: gym.Space, path: Path, what: str, way: str) -> UserError:
    where = f" at {'.'.join(map(str, path))}" if path else ""
    return UserError(
        f"observation space {_shown(space)}{where} is not supported ({what}): use {way}"
    )


def _shown(space: gym.Space) -> str:
    """A space as one line of text."""
    text = " ".join(str(space).split())
    return text if len(text) <= 100 else f"{text[:100]}..."
