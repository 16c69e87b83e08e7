"""Kinds of observation: what an array contains, and how it is converted to network inputs.

Each kind is one class; callers use its methods and never test for a particular kind. To add one,
write such a class, register it in ``KINDS``, and construct it in
:func:`jaxmaze.envs.observation_spaces.observations_of`. All are hashable, so that they can be
static.
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
"""Maximum length of a one-hot vector; kernels for longer ones would dominate the network."""


class Kind(Protocol):
    """What one array of an observation contains.

    Attributes:
      name: the name used in saved files.
      measured: whether it is normalised by running statistics.
      image: whether it is stored as bytes and may go through a convolutional encoder.
    """

    name: ClassVar[str]
    measured: ClassVar[bool]
    image: ClassVar[bool]

    def features(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Features of arrays ``[..., *shape]``: float32 ``[..., F]``, or uint8 for images."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Random plausible observations; here ``shape`` includes the leading batch axis."""

    def problem(self, x: np.ndarray) -> str:
        """Returns an error message if arrays ``[N, *shape]`` are invalid, else an empty string."""

    def describe(self, shape: tuple[int, ...]) -> str:
        """A readable description of an array of this kind and shape."""


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
    """Integers, each of which is one-hot encoded.

    Attributes:
      sizes: number of values of each integer in the flattened array.
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
    """Numbers as text; a single number if all are equal."""
    if len(set(numbers)) == 1:
        return str(numbers[0])
    shown = ", ".join(map(str, numbers[:8]))
    return f"({shown}, ...)" if len(numbers) > 8 else f"({shown})"


@dataclasses.dataclass(frozen=True)
class Binary:
    """Zeros and ones of any shape, used without normalisation."""

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
    """Pixels from 0 to 255, stored as bytes and scaled to [0, 1] by the encoder.

    Attributes:
      layout: its axes in order: H(eight), W(idth), C(hannels) and K stacked frames.
    """

    layout: str
    name: ClassVar[str] = "image"
    measured: ClassVar[bool] = False
    image: ClassVar[bool] = True

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Image:
        """Infer the layout from the shape.

        Two axes mean a grayscale image. With three, the first is the channel axis if it is the
        smallest, else the last. With four, the first is the frame axis.
        """
        if len(shape) == 2:
            return cls("HW")
        *stack, first, middle, last = shape
        channels_first = first < middle and first < last
        return cls("K" * len(stack) + ("CHW" if channels_first else "HWC"))

    def features(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Pixels ``[..., H, W, channels]`` as uint8; stacked frames are merged into channels."""
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
    """Flatten arrays ``[..., *shape]`` to rows."""
    return x.reshape((*x.shape[: x.ndim - len(shape)], math.prod(shape)))


VECTOR = Vector()
KINDS: dict[str, type[Vector] | type[OneHot] | type[Binary] | type[Image]] = {
    kind.name: kind for kind in (Vector, OneHot, Binary, Image)
}
"""The kinds by their name in saved files."""


def to_plain(kind: Kind) -> dict[str, object]:
    """Convert a kind to values that JSON can hold."""
    return {"name": kind.name} | dataclasses.asdict(kind)  # type: ignore[call-overload]


def from_plain(values: Mapping[str, object]) -> Kind:
    """The inverse of :func:`to_plain`; raises KeyError or TypeError for anything else."""
    fields = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in values.items()}
    make = KINDS[str(fields.pop("name"))]
    return make(**fields)  # type: ignore[arg-type]
