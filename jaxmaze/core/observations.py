"""Observations as a pytree of arrays, and the operations that depend on its structure."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from types import EllipsisType
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core import observation_kinds
from jaxmaze.core.observation_kinds import VECTOR, Kind
from jaxmaze.core.types import Array, PyTree

Index: TypeAlias = int | tuple[int, ...] | EllipsisType
"""An index into an array ``[K, ...]`` or ``[T, K, ...]``."""
NUMBERS_AT_ONCE = 2**22
"""Maximum number of pixels, as float32, in one forward pass over many images."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One array of an observation.

    Attributes:
      path: its path in the observation: names in a dict, indices in a tuple; empty if the
        observation is this one array.
      shape: shape in one observation.
      dtype: the environment's data type. Not compared: data are stored as the type ``stored``.
      kind: what it contains.
    """

    path: tuple[str | int, ...]
    shape: tuple[int, ...]
    dtype: str = dataclasses.field(default="float32", compare=False)
    kind: Kind = VECTOR

    @property
    def stored(self) -> DTypeLike:
        """The data type for storage and training: uint8 for images, else float32."""
        return np.uint8 if self.kind.image else np.float32

    @property
    def size(self) -> int:
        """Number of elements in one observation."""
        return math.prod(self.shape)

    @property
    def name(self) -> str:
        """The path as text."""
        return ".".join(map(str, self.path))


@dataclasses.dataclass(frozen=True)
class Observations:
    """Observations: one array, or nested dicts and tuples of arrays.

    Attributes:
      parts: the arrays, in the order in which JAX lists a pytree's leaves.
    """

    parts: tuple[Part, ...]

    @classmethod
    def array(cls, *shape: int, dtype: DTypeLike = "float32") -> Observations:
        """Observations that consist of one array of real numbers."""
        return cls((Part((), tuple(shape), str(np.dtype(dtype))),))

    @functools.cached_property
    def size(self) -> int:
        """Number of elements in one observation, not counting images."""
        return sum(part.size for part in self.parts if not part.kind.image)

    @functools.cached_property
    def num_pixels(self) -> int:
        """Number of elements in the images of one observation."""
        return sum(part.size for part in self.parts if part.kind.image)

    @functools.cached_property
    def num_measured(self) -> int:
        """Number of elements in one observation that are normalised by running statistics."""
        return sum(part.size for part in self.parts if part.kind.measured)

    def at_once(self, most: int) -> int:
        """Batch size for one forward pass: ``most``, or fewer if observations are large."""
        return min(most, max(1, NUMBERS_AT_ONCE // max(1, self.num_pixels)))

    def build(self, leaves: Sequence[PyTree]) -> PyTree:
        """Build an observation from its arrays."""
        if not self.parts[0].path:
            return leaves[0]
        tree: dict[str | int, PyTree] = {}
        for part, leaf in zip(self.parts, leaves, strict=True):
            inner = tree
            for name in part.path[:-1]:
                inner = inner.setdefault(name, {})
            inner[part.path[-1]] = leaf
        return _with_tuples(tree) if self._has_tuples else tree

    @functools.cached_property
    def _has_tuples(self) -> bool:
        return any(isinstance(name, int) for part in self.parts for name in part.path)

    def zeros(self, *lead: int) -> PyTree:
        """A zero-filled buffer for observations ``[*lead, ...]`` in the environment's types."""
        return self.build([np.zeros((*lead, *p.shape), p.dtype) for p in self.parts])

    def stored(self, *lead: int) -> PyTree:
        """A zero-filled buffer for observations ``[*lead, ...]`` in the storage types."""
        return self.build([np.zeros((*lead, *p.shape), p.stored) for p in self.parts])

    def put(self, room: PyTree, index: Index, obs: PyTree) -> None:
        """Write an observation into the buffer ``room`` ``[K, ...]`` at ``index``."""
        if not self.parts[0].path:  # fast path for the usual case
            room[index] = obs
            return
        # By name: environments may return OrderedDicts, whose leaves JAX lists in insertion order.
        for target, source in zip(jax.tree.leaves(room), self.leaves(obs), strict=True):
            target[index] = source

    def arrays(self, obs: PyTree) -> PyTree:
        """Convert anything that numpy can make arrays of to observations in the storage types.

        For example, nested lists.

        Raises:
          KeyError: if a part is missing; IndexError or TypeError likewise.
          ValueError: if an image has the wrong data type.
        """
        return self.build(
            [self._array(part, x) for part, x in zip(self.parts, self.leaves(obs), strict=True)]
        )

    def _array(self, part: Part, x: PyTree) -> np.ndarray:
        found = np.asarray(x)
        if part.kind.image and (
            found.dtype.kind not in "iu"
            or (found.size and not 0 <= found.min() <= found.max() < 256)
        ):
            raise ValueError(
                f"images of type {found.dtype} do not fit; they must be uint8, from 0 to 255"
            )
        return found.astype(part.stored, copy=False)

    def leaves(self, obs: PyTree) -> Iterator[PyTree]:
        """The arrays of an observation, with any type of mapping, in the order of the parts."""
        for part in self.parts:
            inner = obs
            for name in part.path:
                inner = inner[name]
            yield inner

    def take(self, room: PyTree, index: int) -> PyTree:
        """A copy of one observation in the buffer ``room`` ``[K, ...]``."""
        if not self.parts[0].path:
            return room[index].copy()
        return jax.tree.map(lambda x: x[index].copy(), room)

    def stack(self, observations: Sequence[PyTree]) -> PyTree:
        """Stack single observations to ``[N, ...]``, in the environment's types."""
        columns = zip(*(jax.tree.leaves(x) for x in observations), strict=True)
        listed = [list(x) for x in columns] or [[] for _ in self.parts]
        return self.build([np.array(x, p.dtype) for x, p in zip(listed, self.parts, strict=True)])

    def lead(self, obs: PyTree) -> tuple[int, ...]:
        """The leading axes of observations ``[..., *shape]``."""
        shape = np.shape(jax.tree.leaves(obs)[0])
        return shape[: len(shape) - len(self.parts[0].shape)]

    def flatten(self, obs: PyTree) -> Array:
        """The numbers of observations, without images, as float32 rows ``[..., size]``."""
        return self._rows(obs, [not part.kind.image for part in self.parts])

    def measured(self, obs: PyTree) -> Array:
        """The numbers normalised by statistics, as float32 rows ``[..., num_measured]``."""
        return self._rows(obs, [part.kind.measured for part in self.parts])

    def _rows(self, obs: PyTree, chosen: Sequence[bool]) -> Array:
        lead, leaves = self.lead(obs), jax.tree.leaves(obs)
        rows = [
            x.reshape((*lead, -1)).astype(jnp.float32)
            for x, wanted in zip(leaves, chosen, strict=True)
            if wanted
        ]
        if not rows:
            return jnp.zeros((*lead, 0))
        return rows[0] if len(rows) == 1 else jnp.concatenate(rows, -1)

    def pixels(self, obs: PyTree) -> np.ndarray:
        """The images of numpy observations as uint8 rows ``[..., num_pixels]``."""
        lead, leaves = self.lead(obs), jax.tree.leaves(obs)
        each = zip(self.parts, leaves, strict=True)
        rows = [x.reshape((*lead, -1)).astype(np.uint8) for part, x in each if part.kind.image]
        return np.concatenate([np.zeros((*lead, 0), np.uint8), *rows], -1)

    def unflatten(self, rows: PyTree, pixels: PyTree = None) -> PyTree:
        """Rebuild observations from rows ``[..., size]`` and ``[..., num_pixels]``.

        Views if the rows are numpy arrays.

        Args:
          rows: as returned by :meth:`flatten`.
          pixels: as returned by :meth:`pixels`; None if there are no images.
        """
        return self.build(list(self._split(rows, pixels)))

    def _split(self, rows: PyTree, pixels: PyTree) -> Iterator[PyTree]:
        at = {False: 0, True: 0}
        for part in self.parts:
            source, begin = pixels if part.kind.image else rows, at[part.kind.image]
            at[part.kind.image] = end = begin + part.size
            yield source[..., begin:end].reshape((*source.shape[:-1], *part.shape))

    def encoded(self, obs: PyTree) -> list[Array]:
        """Features ``[..., F]`` of the parts that are neither normalised nor images."""
        each = zip(self.parts, jax.tree.leaves(obs), strict=True)
        return [
            part.kind.features(x, part.shape)
            for part, x in each
            if not part.kind.measured and not part.kind.image
        ]

    def images(self, obs: PyTree) -> tuple[Array, ...]:
        """The images, uint8 ``[..., H, W, channels]``."""
        each = zip(self.parts, jax.tree.leaves(obs), strict=True)
        return tuple(part.kind.features(x, part.shape) for part, x in each if part.kind.image)

    def problem(self, obs: PyTree, env: str) -> str:
        """Returns an error message if observations ``[N, ...]`` are invalid, else ``""``."""
        found = [(name, np.shape(leaf)[1:]) for name, leaf in self.named(obs)]
        wanted = [(part.name, part.shape) for part in self.parts]
        for (name, shape), (other, needed) in zip(found, wanted, strict=False):
            if (name, shape) != (other, needed):
                return (
                    f"observations {name} of shape {shape}, but {env} has {other}{needed}"
                    if name != other
                    else f"observations of shape {shape}, but {env} has {needed}"
                )
        if len(found) != len(wanted):
            return f"observations of {len(found)} parts, but {env} has {len(wanted)}"
        for part, leaf in zip(self.parts, jax.tree.leaves(obs), strict=True):
            wrong = part.kind.problem(leaf)
            if wrong:
                return f"observations{' ' * bool(part.name)}{part.name} with {wrong}"
        return ""

    def named(self, obs: PyTree) -> list[tuple[str, PyTree]]:
        """The arrays of observations with their names; a single array has an empty name."""
        listed = jax.tree_util.tree_flatten_with_path(obs)[0]
        return [(".".join(map(_name_of, path)), leaf) for path, leaf in listed]

    def batch(self) -> str:
        """A readable description of a batch."""
        return " and ".join(
            ".".join((*map(str, p.path), f"[{', '.join(map(str, ('N', *p.shape)))}]"))
            for p in self.parts
        )

    def describe(self) -> str:
        """A readable description of the observations: ``(4,)``, ``{flag: one of 3, pos: (2,)}``."""
        if len(self.parts) == 1 and not self.parts[0].path:
            return self.parts[0].kind.describe(self.parts[0].shape)
        return f"{{{', '.join(f'{p.name}: {p.kind.describe(p.shape)}' for p in self.parts)}}}"


def to_plain(observations: Observations) -> list[dict[str, object]]:
    """Convert observations to values that JSON can hold."""
    return [
        {"path": list(p.path), "shape": list(p.shape), "dtype": p.dtype}
        | ({} if p.kind == VECTOR else {"kind": observation_kinds.to_plain(p.kind)})
        for p in observations.parts
    ]


def from_plain(values: Sequence[Mapping[str, PyTree]]) -> Observations:
    """The inverse of :func:`to_plain`; raises KeyError or TypeError for anything else."""
    return Observations(
        tuple(
            Part(
                tuple(p["path"]),
                tuple(p["shape"]),
                str(p["dtype"]),
                observation_kinds.from_plain(p["kind"]) if "kind" in p else VECTOR,
            )
            for p in values
        )
    )


def draw(
    observations: Observations,
    rng: np.random.Generator,
    count: int,
    mean: np.ndarray | None,
    std: np.ndarray | None,
    members: int,
) -> PyTree:
    """Random observations ``[M, count, ...]``: normal where there are statistics, else uniform.

    Args:
      observations: structure of the observations.
      rng: random number generator.
      count: number of observations per member.
      mean: mean of the normalised numbers, ``[M, num_measured]``; None if there are none.
      std: standard deviation, likewise.
      members: number of members, ``M``.
    """
    rows = rng.normal(size=(count, observations.num_measured)).astype(np.float32)
    if mean is not None and std is not None:
        rows = rows * std[:, None] + mean[:, None]
    drawn, at = [], 0
    for part in observations.parts:
        shape = (members, count, *part.shape)
        if part.kind.measured:
            drawn.append(rows[..., at : at + part.size].reshape(shape))
            at += part.size
        else:
            drawn.append(np.broadcast_to(part.kind.draw(rng, shape[1:]), shape))
    return observations.build(drawn)


def _with_tuples(tree: PyTree) -> PyTree:
    """Convert dicts with integer keys to the tuples that they represent."""
    if not isinstance(tree, dict):
        return tree
    inner = {name: _with_tuples(part) for name, part in tree.items()}
    return tuple(inner.values()) if isinstance(next(iter(inner)), int) else inner


def _name_of(key: PyTree) -> str:
    """The name of one key in a pytree path."""
    return str(key.idx if isinstance(key, jax.tree_util.SequenceKey) else key.key)
