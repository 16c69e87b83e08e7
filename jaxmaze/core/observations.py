"""Observations: a pytree of arrays, and all that depends on what it is made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core.types import Array, PyTree

Index: TypeAlias = int | tuple[int, ...] | EllipsisType
"""Where in an array ``[K, ...]`` or ``[T, K, ...]``."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One array of an observation.

    Attributes:
      path: where it stands in the observation; empty if that is this one array.
      shape: of one observation.
      dtype: as the environment gives it. Not compared: networks take float32 in any case.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str = dataclasses.field(default="float32", compare=False)


@dataclasses.dataclass(frozen=True)
class Observations:
    """Observations: one array, or nested dicts of arrays.

    Attributes:
      parts: the arrays, in the order in which JAX lists a pytree's leaves.
    """

    parts: tuple[Part, ...]

    @classmethod
    def array(cls, *shape: int, dtype: DTypeLike = "float32") -> Observations:
        """Observations of one array."""
        return cls((Part((), tuple(shape), str(np.dtype(dtype))),))

    @property
    def size(self) -> int:
        """Numbers in one observation."""
        return sum(math.prod(part.shape) for part in self.parts)

    def build(self, leaves: Sequence[PyTree]) -> PyTree:
        """An observation out of its arrays."""
        if not self.parts[0].path:
            return leaves[0]
        tree: dict[str, PyTree] = {}
        for part, leaf in zip(self.parts, leaves, strict=True):
            inner = tree
            for name in part.path[:-1]:
                inner = inner.setdefault(name, {})
            inner[part.path[-1]] = leaf
        return tree

    def zeros(self, *lead: int, dtype: DTypeLike | None = None) -> PyTree:
        """Room for observations ``[*lead, ...]``, of the environment's types by default."""
        return self.build([np.zeros((*lead, *p.shape), dtype or p.dtype) for p in self.parts])

    def put(self, room: PyTree, index: Index, obs: PyTree) -> None:
        """Write an observation into ``room`` ``[K, ...]``."""
        if not self.parts[0].path:  # the usual case, at every step of every environment
            room[index] = obs
            return
        # By name: environments may give OrderedDicts, whose leaves JAX lists in their own order.
        for target, source in zip(jax.tree.leaves(room), self._leaves(obs), strict=True):
            target[index] = source

    def arrays(self, obs: PyTree, dtype: DTypeLike | None) -> PyTree:
        """Observations as arrays, out of whatever numpy makes arrays of (nested lists, say).

        Raises:
          KeyError: if a part is missing.
        """
        if not self.parts[0].path:
            return np.asarray(obs, dtype)
        return self.build([np.asarray(x, dtype) for x in self._leaves(obs)])

    def _leaves(self, obs: PyTree) -> Iterator[PyTree]:
        """The arrays of an observation of any mappings, in the order of the parts."""
        for part in self.parts:
            inner = obs
            for name in part.path:
                inner = inner[name]
            yield inner

    def take(self, room: PyTree, index: int) -> PyTree:
        """A copy of one observation in ``room`` ``[K, ...]``."""
        if not self.parts[0].path:
            return room[index].copy()
        return jax.tree.map(lambda x: x[index].copy(), room)

    def stack(self, observations: Sequence[PyTree]) -> PyTree:
        """Observations ``[N, ...]`` of the environment's types out of single ones."""
        columns = zip(*(jax.tree.leaves(x) for x in observations), strict=True)
        listed = [list(x) for x in columns] or [[] for _ in self.parts]
        return self.build([np.array(x, p.dtype) for x, p in zip(listed, self.parts, strict=True)])

    def lead(self, obs: PyTree) -> tuple[int, ...]:
        """The leading axes of observations ``[..., *shape]``."""
        shape = np.shape(jax.tree.leaves(obs)[0])
        return shape[: len(shape) - len(self.parts[0].shape)]

    def flatten(self, obs: PyTree) -> Array:
        """Observations as float32 rows ``[..., size]``."""
        lead = self.lead(obs)
        rows = [x.reshape((*lead, -1)).astype(jnp.float32) for x in jax.tree.leaves(obs)]
        return rows[0] if len(rows) == 1 else jnp.concatenate(rows, -1)

    def unflatten(self, rows: PyTree) -> PyTree:
        """Observations out of rows ``[..., size]``; views of a numpy array."""
        return self.build(list(self._split(rows)))

    def _split(self, rows: PyTree) -> Iterator[PyTree]:
        at = 0
        for part in self.parts:
            size = math.prod(part.shape)
            yield rows[..., at : at + size].reshape((*rows.shape[:-1], *part.shape))
            at += size

    def problem(self, obs: PyTree, env: str) -> str:
        """What is wrong with observations ``[N, ...]`` of ``env``; empty if nothing is."""
        found = [(name, np.shape(leaf)[1:]) for name, leaf in self.named(obs)]
        wanted = [(".".join(part.path), part.shape) for part in self.parts]
        for (name, shape), (other, needed) in zip(found, wanted, strict=False):
            if (name, shape) != (other, needed):
                return (
                    f"observations {name} of shape {shape}, but {env} has {other}{needed}"
                    if name != other
                    else f"observations of shape {shape}, but {env} has {needed}"
                )
        if len(found) != len(wanted):
            return f"observations of {len(found)} parts, but {env} has {len(wanted)}"
        return ""

    def named(self, obs: PyTree) -> list[tuple[str, PyTree]]:
        """The arrays of observations with their names; the one array has none."""
        listed = jax.tree_util.tree_flatten_with_path(obs)[0]
        return [(".".join(str(part.key) for part in path), leaf) for path, leaf in listed]

    def batch(self) -> str:
        """How a batch of them looks, in words."""
        return " and ".join(
            ".".join((*p.path, f"[N, {', '.join(map(str, p.shape))}]")) for p in self.parts
        )

    def describe(self) -> str:
        """The observations in words."""
        return " and ".join(".".join((*p.path, str(p.shape))) for p in self.parts)
