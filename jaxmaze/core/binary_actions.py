"""Several yes-or-no actions at once: MultiBinary spaces."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core.action_space import OneArray, cast, divided_head, flat, or_start, unflat
from jaxmaze.core.discrete_actions import accuracy
from jaxmaze.core.distributions import (
    Bernoulli,
    Distribution,
)
from jaxmaze.core.types import Array, Params, PyTree

TINY = np.float32(1e-30)


@dataclasses.dataclass(frozen=True)
class MultiBinary(OneArray):
    """Several binary choices.

    Attributes:
      n: number of choices.
      dims: the shape in which the environment arranges them; one row if None.
    """

    n: int
    dims: tuple[int, ...] | None = None
    kind: ClassVar[str] = "multi_binary"
    dtype: ClassVar[DTypeLike] = np.int32

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def env_shape(self) -> tuple[int, ...]:
        return self.shape if self.dims is None else self.dims

    @property
    def num_outputs(self) -> int:
        return self.n

    @property
    def num_noise(self) -> int:
        return self.n

    @property
    def tally_shape(self) -> tuple[int, ...]:
        return (self.n,)

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        return Bernoulli(outputs)

    def squashed(self) -> MultiBinary:
        return self

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        # The difference of two Gumbel variables has a logistic distribution.
        out[...] = rng.logistic(size=out.shape)

    def temper(self, params: Params, temperature: Array | float) -> Params:
        return divided_head(params, temperature)

    def entropy_of_share(self, share: float | None) -> float:
        """``share`` of the entropy of fair coins."""
        return or_start(share) * self.n * math.log(2)

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[..., : self.n].astype(np.int32)

    def to_env(self, action: PyTree) -> PyTree:
        return unflat(cast(action, np.int8), self.env_shape)

    def from_env(self, actions: PyTree) -> np.ndarray:
        found: np.ndarray = flat(np.asarray(actions), self.env_shape)
        return found

    def each(self, actions: PyTree) -> Sequence[PyTree]:
        return list(actions)

    def accept(self, actions: np.ndarray) -> np.ndarray:
        """Convert booleans to 0 and 1."""
        return actions.astype(np.int8) if actions.dtype == bool else actions

    def problem(self, actions: PyTree, env: str) -> str:
        whole = np.issubdtype(actions.dtype, np.integer)
        if actions.shape[1:] != self.env_shape or not whole:
            return (
                f"actions of type {actions.dtype} and shape {actions.shape[1:]}, but {env} takes "
                f"0 and 1 of shape {self.env_shape}"
            )
        if actions.min(initial=0) < 0 or actions.max(initial=0) > 1:
            return f"actions from {actions.min()} to {actions.max()}, but {env} takes 0 and 1"
        return ""

    def agreement(self, dist: PyTree, action: Array, weight: Array) -> dict[str, Array]:
        hit = (dist.mode() == action).astype(jnp.float32)
        return accuracy("multi_binary_accuracy", hit, weight)

    def tally(self, actions: PyTree) -> np.ndarray:
        return self.from_env(actions).astype(np.float64).sum(0)

    def tallied(self, sums: np.ndarray, count: int) -> str:
        return ", ".join(f"[{i}]: {100 * n / count:.1f} %" for i, n in enumerate(sums))

    def uniform(
        self, rng: np.random.Generator, count: int, mask: np.ndarray | None = None
    ) -> np.ndarray:
        found: np.ndarray = self.to_env(rng.integers(2, size=(count, self.n)))
        return found

    def describe(self) -> str:
        shape = "" if self.dims is None else f" of shape {self.dims}"
        return f"{self.n} binary actions{shape}"
