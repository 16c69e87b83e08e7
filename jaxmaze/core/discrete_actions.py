"""Discrete actions: one of ``n``, several choices at once, or binary ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core import losses
from jaxmaze.core.action_space import (
    MAX_NAMED,
    OneArray,
    divided_head,
    flat,
    or_start,
    unflat,
)
from jaxmaze.core.distributions import (
    FORBIDDEN,
    Categorical,
    Distribution,
    MultiCategorical,
)
from jaxmaze.core.types import Array, Params, PyTree
from jaxmaze.core.words import counted

TINY = np.float32(1e-30)


def _fill_gumbel(rng: np.random.Generator, out: np.ndarray) -> None:
    # Minus the logarithm of an exponential variable is Gumbel distributed.
    out[...] = rng.standard_exponential(out.shape, np.float32)
    np.negative(np.log(np.maximum(out, TINY, out=out), out=out), out=out)


def _choose(rng: np.random.Generator, allowed: np.ndarray) -> np.ndarray:
    """A uniform choice among the allowed entries of the last axis (all if none is allowed)."""
    return np.where(allowed, rng.random(allowed.shape), -1.0).argmax(-1)


def accuracy(name: str, hit: Array, weight: Array) -> dict[str, Array]:
    """Accuracy over all choices ``[B, K]``, over rows with every choice right, and per choice."""
    means = {
        name: losses.weighted_mean(hit.mean(-1), weight),
        f"{name}_all": losses.weighted_mean(hit.min(-1), weight),
    }
    if hit.shape[-1] <= MAX_NAMED:
        each = range(hit.shape[-1])
        means |= {f"{name}_{i}": losses.weighted_mean(hit[..., i], weight) for i in each}
    return means


@dataclasses.dataclass(frozen=True)
class Discrete(OneArray):
    """One of ``n`` actions.

    Attributes:
      n: number of actions.
      start: the environment's number of the first action; internally they are counted from 0.
    """

    n: int
    start: int = 0
    kind: ClassVar[str] = "discrete"
    shape: ClassVar[tuple[int, ...]] = ()
    env_shape: ClassVar[tuple[int, ...]] = ()
    dtype: ClassVar[DTypeLike] = np.int32

    @property
    def num_outputs(self) -> int:
        return self.n

    @property
    def num_noise(self) -> int:
        return self.n

    @property
    def mask_size(self) -> int:  # type: ignore[override]
        return self.n

    @property
    def tally_shape(self) -> tuple[int, ...]:
        return (self.n,)

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        return Categorical(outputs)

    def masked(self, dist: PyTree, mask: Array) -> Distribution:
        return Categorical(jnp.where(mask > 0, dist.logits, FORBIDDEN))

    def squashed(self) -> Discrete:
        return self

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        _fill_gumbel(rng, out)

    def temper(self, params: Params, temperature: Array | float) -> Params:
        return divided_head(params, temperature)

    def entropy_of_share(self, share: float | None) -> float:
        """``share`` of the uniform distribution's entropy."""
        return or_start(share) * math.log(self.n)

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[..., 0].astype(np.int32)

    def to_env(self, action: PyTree) -> PyTree:
        return action + self.start if self.start else action

    def from_env(self, actions: PyTree) -> np.ndarray:
        return np.asarray(actions) - self.start if self.start else np.asarray(actions)

    def each(self, actions: PyTree) -> Sequence[PyTree]:
        return actions.tolist()  # type: ignore[no-any-return]  # as Python integers

    def problem(self, actions: PyTree, env: str) -> str:
        if actions.ndim != 1 or not np.issubdtype(actions.dtype, np.integer):
            return (
                f"actions of type {actions.dtype} and shape {actions.shape[1:]}, but {env} takes "
                "one integer"
            )
        first, last = self.start, self.start + self.n - 1
        if actions.min(initial=first) < first or actions.max(initial=first) > last:
            return (
                f"actions from {actions.min()} to {actions.max()}, but {env} has actions {first} "
                f"to {last}"
            )
        return ""

    def forbidden(self, actions: PyTree, mask: np.ndarray) -> np.ndarray:
        chosen = self.from_env(actions).astype(np.int64)[:, None]
        return np.take_along_axis(np.asarray(mask) <= 0, chosen, -1)[:, 0]

    def agreement(self, dist: PyTree, action: Array, weight: Array) -> dict[str, Array]:
        hit = (dist.mode() == action).astype(jnp.float32)
        return {"discrete_accuracy": losses.weighted_mean(hit, weight)}

    def tally(self, actions: PyTree) -> np.ndarray:
        return np.bincount(self.from_env(actions), minlength=self.n).astype(np.float64)

    def tallied(self, sums: np.ndarray, count: int) -> str:
        return ", ".join(f"{a}: {100 * n / count:.1f} %" for a, n in enumerate(sums, self.start))

    def uniform(
        self, rng: np.random.Generator, count: int, mask: np.ndarray | None = None
    ) -> np.ndarray:
        drawn = rng.integers(self.n, size=count) if mask is None else _choose(rng, mask > 0)
        return drawn + self.start

    def describe(self) -> str:
        return f"{self.n} discrete actions" + (f" from {self.start}" if self.start else "")


@dataclasses.dataclass(frozen=True)
class MultiDiscrete(OneArray):
    """``K`` choices at once, each with its own number of actions.

    The policy head outputs ``K * W`` logits, where ``W`` is the largest number of actions; logits
    that belong to no action are ignored. Masks are concatenated: ``sum(nvec)`` entries.

    Attributes:
      nvec: number of actions of each choice.
      starts: the environment's number of each choice's first action; all 0 if empty.
      dims: the shape in which the environment arranges the choices; one row if None.
    """

    nvec: tuple[int, ...]
    starts: tuple[int, ...] = ()
    dims: tuple[int, ...] | None = None
    kind: ClassVar[str] = "multi_discrete"
    dtype: ClassVar[DTypeLike] = np.int32

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.nvec),)

    @property
    def env_shape(self) -> tuple[int, ...]:
        return self.shape if self.dims is None else self.dims

    @property
    def num_outputs(self) -> int:
        return len(self.nvec) * max(self.nvec)

    @property
    def num_noise(self) -> int:
        return self.num_outputs

    @property
    def mask_size(self) -> int:  # type: ignore[override]
        return sum(self.nvec)

    @property
    def tally_shape(self) -> tuple[int, ...]:
        return (sum(self.nvec),)

    def _there(self) -> np.ndarray:
        """Which logits ``[K, W]`` belong to an action."""
        return np.arange(max(self.nvec)) < np.array(self.nvec)[:, None]

    def _by_choice(self, mask: PyTree) -> PyTree:
        """Convert a mask ``[..., sum(nvec)]`` to booleans ``[..., K, W]``."""
        there = self._there()
        place = np.zeros(there.shape, int)
        place[there] = np.arange(sum(self.nvec))
        return (mask > 0)[..., place] & there

    def _starts(self) -> PyTree:
        return np.array(self.starts, np.int32) if self.starts else 0

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        there = self._there()
        logits = outputs.reshape((*outputs.shape[:-1], *there.shape))
        return MultiCategorical(logits if there.all() else jnp.where(there, logits, FORBIDDEN))

    def masked(self, dist: PyTree, mask: Array) -> Distribution:
        return MultiCategorical(jnp.where(self._by_choice(mask), dist.logits, FORBIDDEN))

    def squashed(self) -> MultiDiscrete:
        return self

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        _fill_gumbel(rng, out)

    def temper(self, params: Params, temperature: Array | float) -> Params:
        return divided_head(params, temperature)

    def entropy_of_share(self, share: float | None) -> float:
        """``share`` of the entropy of uniform choices."""
        return or_start(share) * sum(math.log(n) for n in self.nvec)

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[..., : len(self.nvec)].astype(np.int32)

    def to_env(self, action: PyTree) -> PyTree:
        return unflat(action + self._starts(), self.env_shape)

    def from_env(self, actions: PyTree) -> np.ndarray:
        found: np.ndarray = flat(np.asarray(actions), self.env_shape) - self._starts()
        return found

    def each(self, actions: PyTree) -> Sequence[PyTree]:
        return list(actions)

    def problem(self, actions: PyTree, env: str) -> str:
        if actions.shape[1:] != self.env_shape or not np.issubdtype(actions.dtype, np.integer):
            return (
                f"actions of type {actions.dtype} and shape {actions.shape[1:]}, but {env} takes "
                f"integers of shape {self.env_shape}"
            )
        numbers = self.from_env(actions)
        wrong = ((numbers < 0) | (numbers >= np.array(self.nvec))).any(0)
        if not wrong.any():
            return ""
        i = int(wrong.argmax())
        first = self.starts[i] if self.starts else 0
        found = numbers[:, i] + first
        return (
            f"actions from {found.min()} to {found.max()} in place {i}, but {env} has actions "
            f"{first} to {first + self.nvec[i] - 1} there"
        )

    def forbidden(self, actions: PyTree, mask: np.ndarray) -> np.ndarray:
        allowed: np.ndarray = self._by_choice(np.asarray(mask))
        chosen = self.from_env(actions).astype(np.int64)[..., None]
        kept = np.take_along_axis(allowed, chosen, -1)[..., 0]
        return np.logical_not(kept.all(-1), dtype=bool)

    def blocked(self, mask: np.ndarray) -> np.ndarray:
        each: np.ndarray = self._by_choice(np.asarray(mask)).any(-1)
        return np.logical_not(each.all(-1), dtype=bool)

    def agreement(self, dist: PyTree, action: Array, weight: Array) -> dict[str, Array]:
        hit = (dist.mode() == action).astype(jnp.float32)
        return accuracy("discrete_accuracy", hit, weight)

    def tally(self, actions: PyTree) -> np.ndarray:
        columns = zip(self.from_env(actions).T, self.nvec, strict=True)
        counts = [np.bincount(column, minlength=n) for column, n in columns]
        return np.concatenate(counts).astype(np.float64)

    def tallied(self, sums: np.ndarray, count: int) -> str:
        starts = self.starts or (0,) * len(self.nvec)
        parts = np.split(sums, np.cumsum(self.nvec)[:-1])
        texts = [
            ", ".join(f"{a}: {100 * n / count:.1f} %" for a, n in enumerate(part, first))
            for part, first in zip(parts, starts, strict=True)
        ]
        return "; ".join(f"[{i}] {text}" for i, text in enumerate(texts))

    def uniform(
        self, rng: np.random.Generator, count: int, mask: np.ndarray | None = None
    ) -> np.ndarray:
        if mask is None:
            drawn = rng.integers(np.array(self.nvec), size=(count, len(self.nvec)))
        else:
            drawn = _choose(rng, self._by_choice(mask))
        found: np.ndarray = self.to_env(drawn)
        return found

    def describe(self) -> str:
        shape = "" if self.dims is None else f" of shape {self.dims}"
        starts = f" from {list(self.starts)}" if self.starts else ""
        return (
            f"{counted(len(self.nvec), 'choice')} at once{shape}, of {list(self.nvec)} "
            f"actions{starts}"
        )
