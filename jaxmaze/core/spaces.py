"""Spaces: all that depends on the kind of the actions, and what observations are made of.

A kind of action is one class, :class:`Discrete` or :class:`Box`, which is asked instead of being
told apart. To add one, write such a class, give it a line in ``ACTIONS``, and let
:func:`jaxmaze.envs.environment.actions_of` make it. All are hashable, so that they can be static.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core import losses, observations
from jaxmaze.core.distributions import (
    LOG_STD_MAX,
    LOG_STD_MIN,
    Categorical,
    DiagGaussian,
    Distribution,
)
from jaxmaze.core.observations import Observations
from jaxmaze.core.types import Array, JsonMap, Params, PyTree

TINY = np.float32(1e-30)


class ActionSpace(Protocol):
    """A kind of action.

    Attributes:
      kind: its name in files.
      shape: of one action.
      dtype: of an action in arrays.
      num_outputs: numbers that the policy's head gives for each observation.
      num_noise: random numbers that a sample takes.
    """

    kind: ClassVar[str]

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> PyTree: ...
    @property
    def num_outputs(self) -> int: ...
    @property
    def num_noise(self) -> int: ...

    def free_params(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the head's parameters beside its layer, by name; they start at 0."""

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        """The distribution ``[...]`` that outputs ``[..., num_outputs]`` stand for."""

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        """Draw what ``Distribution.pick`` takes into ``out`` ``[..., num_noise]`` float32."""

    def project(self, params: Params) -> Params:
        """A policy's parameters put back into the range where they have a gradient."""

    def temper(self, params: Params, temperature: Array | float) -> Params:
        """A policy's parameters at a temperature, which moves no mode."""

    def entropy_of_share(self, share: float) -> float:
        """The entropy (nats) of a policy that explores a share of what it could."""

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        """Actions ``[..., *shape]`` out of float32 numbers ``[..., at least their size]``."""

    def to_env(self, action: PyTree) -> PyTree:
        """Actions of a numpy or JAX array as the environment takes them."""

    def each(self, actions: np.ndarray) -> Sequence[PyTree]:
        """A batch of actions one by one, as an environment's ``step`` takes them."""

    def accept(self, actions: np.ndarray) -> np.ndarray:
        """What a policy gave, with what an environment would mend anyway mended."""

    def problem(self, actions: np.ndarray, env: str) -> str:
        """What is wrong with actions ``[N, ...]`` for ``env``, in words; empty if nothing is."""

    def agreement(self, dist: Distribution, action: Array, weight: Array) -> dict[str, Array]:
        """How well a distribution's mode agrees with actions ``[B, ...]``, for the log."""

    def tally(self, actions: np.ndarray) -> np.ndarray:
        """Sums over actions ``[N, ...]``, which can be added up, for :meth:`tallied`."""

    def tallied(self, sums: np.ndarray, count: int) -> str:
        """What the sums over ``count`` actions say of them, in words."""

    def uniform(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Actions drawn uniformly, as far as the space is bounded."""

    def describe(self) -> str:
        """The space in words."""


@dataclasses.dataclass(frozen=True)
class Discrete:
    """One of ``n`` actions, from 0.

    Attributes:
      n: how many.
    """

    n: int
    kind: ClassVar[str] = "discrete"
    shape: ClassVar[tuple[int, ...]] = ()
    dtype: ClassVar[DTypeLike] = np.int32

    @property
    def num_outputs(self) -> int:
        return self.n

    @property
    def num_noise(self) -> int:
        return self.n

    def free_params(self) -> dict[str, tuple[int, ...]]:
        return {}

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        return Categorical(outputs)

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        # Minus the logarithm of an exponential is Gumbel.
        out[...] = rng.standard_exponential(out.shape, np.float32)
        np.negative(np.log(np.maximum(out, TINY, out=out), out=out), out=out)

    def project(self, params: Params) -> Params:
        return params

    def temper(self, params: Params, temperature: Array | float) -> Params:
        # The head is linear, so that dividing it divides the logits exactly.
        return {**params, "head": jax.tree.map(lambda x: x / temperature, params["head"])}

    def entropy_of_share(self, share: float) -> float:
        """That share of the uniform choice's entropy."""
        return share * math.log(self.n)

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[..., 0].astype(np.int32)

    def to_env(self, action: PyTree) -> PyTree:
        return action

    def each(self, actions: np.ndarray) -> Sequence[PyTree]:
        return actions.tolist()  # type: ignore[no-any-return]  # Python's integers

    def accept(self, actions: np.ndarray) -> np.ndarray:
        return actions

    def problem(self, actions: np.ndarray, env: str) -> str:
        if actions.ndim != 1 or not np.issubdtype(actions.dtype, np.integer):
            return (
                f"actions of type {actions.dtype} and shape {actions.shape[1:]}, but {env} takes "
                "one integer"
            )
        low, high = actions.min(initial=0), actions.max(initial=0)
        if low < 0 or high >= self.n:
            return (
                f"actions from {actions.min()} to {actions.max()}, but {env} has actions 0 to "
                f"{self.n - 1}"
            )
        return ""

    def agreement(self, dist: Distribution, action: Array, weight: Array) -> dict[str, Array]:
        hit = (dist.mode() == action).astype(jnp.float32)
        return {"discrete_accuracy": losses.weighted_mean(hit, weight)}

    def tally(self, actions: np.ndarray) -> np.ndarray:
        return np.bincount(actions, minlength=self.n).astype(np.float64)

    def tallied(self, sums: np.ndarray, count: int) -> str:
        return ", ".join(f"{a}: {100 * n / count:.1f} %" for a, n in enumerate(sums))

    def uniform(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.integers(self.n, size=count)

    def describe(self) -> str:
        return f"{self.n} discrete actions"


@dataclasses.dataclass(frozen=True)
class Box:
    """Real numbers, one a dimension.

    Attributes:
      low: lower bounds, in the environment's units.
      high: upper bounds.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    kind: ClassVar[str] = "continuous"
    dtype: ClassVar[DTypeLike] = np.float32

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.low),)

    @property
    def num_outputs(self) -> int:
        return len(self.low)

    @property
    def num_noise(self) -> int:
        return len(self.low)

    def free_params(self) -> dict[str, tuple[int, ...]]:
        return {"log_std": self.shape}

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        return DiagGaussian(outputs, jnp.broadcast_to(free["log_std"], outputs.shape))

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        out[...] = rng.standard_normal(out.shape, np.float32)

    def project(self, params: Params) -> Params:
        """With the standard deviation in its range; beyond it a clipped one has no gradient."""
        return {**params, "log_std": jnp.clip(params["log_std"], LOG_STD_MIN, LOG_STD_MAX)}

    def temper(self, params: Params, temperature: Array | float) -> Params:
        return self.project({**params, "log_std": params["log_std"] + jnp.log(temperature)})

    def entropy_of_share(self, share: float) -> float:
        """That of Gaussians whose standard deviation is that share of half the range.

        Of 1, where the range has no end.
        """
        half = [
            0.5 * (high - low) if high - low < math.inf else 1.0
            for low, high in zip(self.low, self.high, strict=True)
        ]
        return sum(math.log(share * h) + 0.5 * math.log(2 * math.pi * math.e) for h in half)

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[..., : len(self.low)]

    def to_env(self, action: PyTree) -> PyTree:
        """Clipped to the bounds."""
        return action.clip(np.asarray(self.low, np.float32), np.asarray(self.high, np.float32))

    def each(self, actions: np.ndarray) -> Sequence[PyTree]:
        return list(actions)

    def accept(self, actions: np.ndarray) -> np.ndarray:
        """Clipped to the bounds; integers are taken for numbers."""
        return self.to_env(actions.astype(np.result_type(actions, np.float32)))  # type: ignore[no-any-return]

    def problem(self, actions: np.ndarray, env: str) -> str:
        if actions.shape[1:] != self.shape or not np.issubdtype(actions.dtype, np.floating):
            return (
                f"actions of type {actions.dtype} and shape {actions.shape[1:]}, but {env} takes "
                f"{len(self.low)} real numbers"
            )
        low, high = np.array(self.low) - 1e-5, np.array(self.high) + 1e-5
        outside = ((actions < low) | (actions > high)).any()
        return f"actions outside the bounds of {env}" if outside else ""

    def agreement(self, dist: Distribution, action: Array, weight: Array) -> dict[str, Array]:
        deviation = jnp.abs(dist.mode() - action).mean(-1)
        return {"box_mean_abs_deviation": losses.weighted_mean(deviation, weight)}

    def tally(self, actions: np.ndarray) -> np.ndarray:
        real = actions.astype(np.float64)
        return np.stack([real.sum(0), (real**2).sum(0)])

    def tallied(self, sums: np.ndarray, count: int) -> str:
        mean, square = sums / count
        std = np.sqrt(np.maximum(square - mean**2, 0))
        each = enumerate(zip(mean, std, strict=True))
        return ", ".join(f"[{i}]: {m:.2f} ± {s:.2f}" for i, (m, s) in each)

    def uniform(self, rng: np.random.Generator, count: int) -> np.ndarray:
        low = np.maximum(np.array(self.low, np.float32), -1e6)
        high = np.minimum(np.array(self.high, np.float32), 1e6)
        return rng.uniform(low, high, (count, len(self.low))).astype(np.float32)

    def describe(self) -> str:
        return f"{len(self.low)} continuous actions from {list(self.low)} to {list(self.high)}"


ACTIONS: dict[str, Callable[..., ActionSpace]] = {space.kind: space for space in (Discrete, Box)}
"""The kinds of action by their name in files."""


@dataclasses.dataclass(frozen=True)
class Spaces:
    """What a network must know of an environment.

    Attributes:
      obs: its observations.
      action: its actions.
    """

    obs: Observations
    action: ActionSpace

    def describe(self) -> str:
        """Both in words."""
        return f"observations {self.obs.describe()} and {self.action.describe()}"

    def to_plain(self) -> dict[str, PyTree]:
        """As JSON can hold them."""
        return {
            "observations": observations.to_plain(self.obs),
            "actions": {"kind": self.action.kind} | dataclasses.asdict(self.action),  # type: ignore[call-overload]
        }

    @classmethod
    def from_plain(cls, values: JsonMap) -> Spaces:
        """The inverse of :meth:`to_plain`; raises KeyError or TypeError for anything else."""
        fields = dict(values["actions"])
        make = ACTIONS[fields.pop("kind")]
        tuples = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in fields.items()}
        return cls(observations.from_plain(values["observations"]), make(**tuples))

    def difference(self, other: Spaces) -> str:
        """How these differ from others, in words; empty if they do not."""
        for name in ("obs", "action"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{mine.describe()} there and {theirs.describe()} here"
        return ""
