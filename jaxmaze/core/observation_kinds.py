"""Kinds of observation: what an array holds, and how it becomes the numbers that a network takes.

A kind is one class, which is asked instead of being told apart. To add one, write such a class,
give it a line in ``KINDS``, and let :func:`jaxmaze.envs.observation_spaces.observations_of` make
it. All are hashable, so that they can be static.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, Protocol

import jax.numpy as jnp
import numpy as np

from jaxmaze.core.types import Array

MAX_ONE_HOT = 2**16
"""Numbers of the longest one-hot vector; kernels above it would be larger than the rest."""


class Kind(Protocol):
    """What one array of an observation holds.

    Attributes:
      name: in files.
      measured: whether it is normalised by running statistics.
      image: whether it is kept as bytes, and goes through a convolutional encoder.
    """

    name: ClassVar[str]
    measured: ClassVar[bool]
    image: ClassVar[bool]

    def features(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Features of arrays ``[..., *shape]``: float32 ``[..., F]``; uint8 of images."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Arrays ``[n, *shape]`` that could be observed; ``shape`` begins with ``n`` here."""

    def problem(self, x: np.ndarray) -> str:
        """What is wrong with the numbers in arrays ``[N, *shape]``; empty if nothing is."""

    def describe(self, shape: tuple[int, ...]) -> str:
        """Arrays of that shape in words."""


@dataclasses.dataclass(frozen=True)
class Vector:
    """Real numbers of any shape, normalised by running statistics."""

    name: ClassVar[str] = "vector"
    measured: ClassVar[bool] = True
    image: ClassVar[bool] = False

    def features(self, x: Array, shape: tuple[int, ...]) -> Array:
        return _flat(x, shape).astype(jnp.float32)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    def problem(self, x: np.ndarray) -> str:
        return ""

    def describe(self, shape: tuple[int, ...]) -> str:
        return str(shape)


@dataclasses.dataclass(frozen=True)
class OneHot:
    """Integers, each of which becomes a vector with a 1 in its place.

    Attributes:
      sizes: how many values each integer of the array, flattened, can have.
      start: the lowest value of each.
    """

    sizes: tuple[int, ...]
    start: tuple[int, ...]
    name: ClassVar[str] = "one_hot"
    measured: ClassVar[bool] = False
    image: ClassVar[bool] = False

    def features(self, x: Array, shape: tuple[int, ...]) -> Array:
        each = zip(self.start, self.sizes, strict=True)
        values = np.concatenate([np.arange(low, low + n) for low, n in each]).astype(np.float32)
        flat = _flat(x, shape).astype(jnp.float32)
        if len(self.sizes) > 1:
            flat = flat[..., np.repeat(np.arange(len(self.sizes)), self.sizes)]
        return (flat == values).astype(jnp.float32)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        drawn = rng.integers(self.sizes, size=(shape[0], len(self.sizes))) + self.start
        return drawn.reshape(shape).astype(np.float32)

    def problem(self, x: np.ndarray) -> str:
        flat = np.asarray(x).reshape(len(x), len(self.sizes))
        low, high = np.array(self.start), np.array(self.start) + self.sizes
        outside = (flat < low) | (flat >= high) | (flat != np.floor(flat))
        if not outside.any():
            return ""
        row, column = np.argwhere(outside)[0]
        return f"{flat[row, column]:g}, not an integer from {low[column]} to {high[column] - 1}"

    def describe(self, shape: tuple[int, ...]) -> str:
        if not shape and self.start == (0,):
            return f"one of {self.sizes[0]}"
        if not shape:
            return f"one of {self.sizes[0]} from {self.start[0]}"
        return f"{shape} integers of {_short(self.sizes)} values from {_short(self.start)}"


def _short(numbers: tuple[int, ...]) -> str:
    """Numbers in words, the one they are if they are alike."""
    if len(set(numbers)) == 1:
        return str(numbers[0])
    shown = ", ".join(map(str, numbers[:8]))
    return f"({shown}, ...)" if len(numbers) > 8 else f"({shown})"


@dataclasses.dataclass(frozen=True)
class Binary:
    """Zeros and ones of any shape, taken as they are."""

    name: ClassVar[str] = "binary"
    measured: ClassVar[bool] = False
    image: ClassVar[bool] = False

    def features(self, x: Array, shape: tuple[int, ...]) -> Array:
        return _flat(x, shape).astype(jnp.float32)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(2, size=shape).astype(np.float32)

    def problem(self, x: np.ndarray) -> str:
        wrong = ~np.isin(x, (0, 1))
        return f"{np.asarray(x)[wrong].flat[0]}, neither 0 nor 1" if wrong.any() else ""

    def describe(self, shape: tuple[int, ...]) -> str:
        return f"{shape} of 0 or 1"


@dataclasses.dataclass(frozen=True)
class Image:
    """Pixels from 0 to 255, kept as bytes and scaled to 1 by the encoder.

    Attributes:
      layout: what its axes are, in order: H(eight), W(idth), C(hannels) and K frames of a stack.
    """

    layout: str
    name: ClassVar[str] = "image"
    measured: ClassVar[bool] = False
    image: ClassVar[bool] = True

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Image:
        """By the shape.

        Two axes are gray; of three, the first is of channels if it is the smallest, else the last;
        of four, the first is of frames.
        """
        if len(shape) == 2:
            return cls("HW")
        *stack, first, middle, last = shape
        channels_first = first < middle and first < last
        return cls("K" * len(stack) + ("CHW" if channels_first else "HWC"))

    def features(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Pixels ``[..., H, W, channels]``, of a stack those of all frames, as uint8."""
        lead = x.shape[: x.ndim - len(shape)]
        axes = [self.layout.index(a) for a in "HWKC" if a in self.layout]
        turned = x.transpose((*range(len(lead)), *(len(lead) + a for a in axes)))
        height, width = (shape[self.layout.index(a)] for a in "HW")
        return turned.reshape((*lead, height, width, -1))

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(256, size=shape, dtype=np.uint8)

    def problem(self, x: np.ndarray) -> str:
        x = np.asarray(x)
        if x.dtype == np.uint8:
            return ""
        return f"type {x.dtype}, not images of uint8"

    def describe(self, shape: tuple[int, ...]) -> str:
        return f"images {shape}"


def _flat(x: Array, shape: tuple[int, ...]) -> Array:
    """Arrays ``[..., *shape]`` as rows."""
    return x.reshape((*x.shape[: x.ndim - len(shape)], math.prod(shape)))


VECTOR = Vector()
KINDS: dict[str, type[Vector] | type[OneHot] | type[Binary] | type[Image]] = {
    kind.name: kind for kind in (Vector, OneHot, Binary, Image)
}
"""The kinds by their name in files."""


def to_plain(kind: Kind) -> dict[str, object]:
    """As JSON can hold it."""
    return {"name": kind.name} | dataclasses.asdict(kind)  # type: ignore[call-overload]


def from_plain(values: Mapping[str, object]) -> Kind:
    """The inverse of :func:`to_plain`; raises KeyError or TypeError for anything else."""
    fields = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in values.items()}
    make = KINDS[str(fields.pop("name"))]
    return make(**fields)  # type: ignore[arg-type]
