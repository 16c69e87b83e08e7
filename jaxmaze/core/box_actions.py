"""Continuous actions: Gaussians clipped to the bounds, or squashed into them by tanh.

Policies work in units of their own, see :mod:`jaxmaze.core.action_units`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core import action_units, losses
from jaxmaze.core.action_space import START_OF_NUMBERS, OneArray, cast, flat, unflat
from jaxmaze.core.action_units import Units
from jaxmaze.core.distributions import (
    LOG_STD_MAX,
    LOG_STD_MIN,
    DiagGaussian,
    Distribution,
    SquashedGaussian,
)
from jaxmaze.core.types import Array, Params, PyTree
from jaxmaze.core.words import agree

LARGEST_WHOLE = 2.0**30
"""Integer bounds are limited to this: float32 cannot represent those of larger types exactly."""


@dataclasses.dataclass(frozen=True)
class Box(OneArray):
    """Real numbers, one per dimension.

    Attributes:
      low: lower bounds, in the environment's units; ``-inf`` for none.
      high: upper bounds.
      dims: the shape in which the environment arranges the numbers; one row if None.
      whole: the integer type that actions are rounded to; empty for real numbers.
      units: those of policies; None if they are the environment's.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    dims: tuple[int, ...] | None = None
    whole: str = ""
    units: Units | None = None
    kind: ClassVar[str] = "continuous"
    dtype: ClassVar[DTypeLike] = np.float32

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.low),)

    @property
    def env_shape(self) -> tuple[int, ...]:
        return self.shape if self.dims is None else self.dims

    @property
    def num_outputs(self) -> int:
        return len(self.low)

    @property
    def num_noise(self) -> int:
        return len(self.low)

    @property
    def tally_shape(self) -> tuple[int, ...]:
        return (2, len(self.low))

    def in_units(self, actions: np.ndarray | None = None) -> Box:
        units = action_units.between(self.low, self.high, actions)
        return dataclasses.replace(self, units=units)

    def bare(self) -> Box:
        return dataclasses.replace(self, units=None)

    def needs_actions(self) -> bool:
        return not all(map(action_units.bounded, self.low, self.high))

    def _own_bounds(self) -> list[tuple[float, ...]]:
        """The bounds in the units of policies: exactly -1 and 1 where those come from bounds."""
        pair = self.low, self.high
        if self.units is None:
            return list(pair)
        return [tuple(action_units.to_policy(self.units, np.array(x)).tolist()) for x in pair]

    def free_params(self) -> dict[str, tuple[int, ...]]:
        return {"log_std": self.shape}

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        return DiagGaussian(outputs, jnp.broadcast_to(free["log_std"], outputs.shape))

    def squashed(self) -> Box:
        for i, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            if not (math.isfinite(low) and math.isfinite(high)):
                raise ValueError(f"dimension {i} goes from {low} to {high}")
        return SquashedBox(**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)})

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        out[...] = rng.standard_normal(out.shape, np.float32)

    def project(self, params: Params, most_std: Array | float = jnp.inf) -> Params:
        """Clip the standard deviation to its range, beyond which it has no gradient."""
        most = jnp.minimum(jnp.log(most_std), LOG_STD_MAX)
        return {**params, "log_std": jnp.clip(params["log_std"], LOG_STD_MIN, most)}

    def widest(self, params: Params) -> Array:
        return jnp.exp(params["log_std"].max(-1))

    def temper(self, params: Params, temperature: Array | float) -> Params:
        return self.project({**params, "log_std": params["log_std"] + jnp.log(temperature)})

    @property
    def never_cooled(self) -> bool:
        return False

    def entropy_of_share(self, share: float | None) -> float:
        """The entropy of Gaussians whose standard deviation is ``share`` times half the range.

        It is that in the units of policies, where an unbounded range counts as having a half width
        of 1.
        """
        share = START_OF_NUMBERS if share is None else share
        ends = zip(self.low, self.high, *self._own_bounds(), strict=True)
        half = [
            0.5 * (end - start) if action_units.bounded(low, high) and end > start else 1.0
            for low, high, start, end in ends
        ]
        return sum(math.log(share * h) + 0.5 * math.log(2 * math.pi * math.e) for h in half)

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[..., : len(self.low)]

    def _clipped(self, action: PyTree) -> PyTree:
        """Actions ``[..., A]`` clipped to the bounds, and rounded if they must be integers."""
        low, high = self._bounds
        if not self.whole:
            return action.clip(low, high)
        return cast(action.round().clip(low, high), self.whole)

    @functools.cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        if self.whole:
            low, high = (x.clip(-LARGEST_WHOLE, LARGEST_WHOLE) for x in (low, high))
        return low, high

    @functools.cached_property
    def _affine(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.units is not None
        return np.asarray(self.units.middle, np.float32), np.asarray(self.units.scale, np.float32)

    def to_env(self, action: PyTree) -> PyTree:
        """Convert actions to the environment's units, and clip them to the bounds."""
        if self.units is not None:
            middle, scale = self._affine
            action = action * scale + middle
        return unflat(self._clipped(action), self.env_shape)

    def from_env(self, actions: PyTree) -> np.ndarray:
        rows = self._rows(actions)
        return rows if self.units is None else action_units.to_policy(self.units, rows)

    def _rows(self, actions: PyTree) -> np.ndarray:
        """Actions ``[N, A]``, still in the environment's units."""
        found: np.ndarray = flat(np.asarray(actions), self.env_shape)
        return found

    def each(self, actions: PyTree) -> Sequence[PyTree]:
        return list(actions)

    def accept(self, actions: np.ndarray) -> np.ndarray:
        """Clip to the bounds; integers are accepted as reals, and reals are rounded to integers."""
        real = actions.astype(np.result_type(actions, np.float32))
        found: np.ndarray = unflat(self._clipped(self._rows(real)), self.env_shape)
        return found

    def problem(self, actions: PyTree, env: str) -> str:
        wanted = np.integer if self.whole else np.floating
        if actions.shape[1:] != self.env_shape or not np.issubdtype(actions.dtype, wanted):
            shape = "" if self.dims is None else f" of shape {self.dims}"
            return (
                f"actions of type {actions.dtype} and shape {actions.shape[1:]}, but {env} takes "
                f"{len(self.low)} {'whole' if self.whole else 'real'} "
                f"{agree(len(self.low), 'number', 'numbers')}{shape}"
            )
        low, high = np.array(self.low) - 1e-5, np.array(self.high) + 1e-5
        numbers = self._rows(actions)
        outside = ((numbers < low) | (numbers > high)).any()
        return f"actions outside the bounds of {env}" if outside else ""

    def agreement(self, dist: PyTree, action: Array, weight: Array) -> dict[str, Array]:
        deviation = jnp.abs(dist.mode() - action).mean(-1)
        return {"box_mean_abs_deviation": losses.weighted_mean(deviation, weight)}

    def tally(self, actions: PyTree) -> np.ndarray:
        real = self._rows(actions).astype(np.float64)
        return np.stack([real.sum(0), (real**2).sum(0)])

    def tallied(self, sums: np.ndarray, count: int) -> str:
        mean, square = sums / count
        std = np.sqrt(np.maximum(square - mean**2, 0))
        each = enumerate(zip(mean, std, strict=True))
        return ", ".join(f"[{i}]: {m:.2f} ± {s:.2f}" for i, (m, s) in each)

    def uniform(
        self, rng: np.random.Generator, count: int, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """Sample as gymnasium does: exponentially from a single bound, normally without bounds."""
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        below, above = np.isfinite(low), np.isfinite(high)
        start, end = np.where(below & above, (low, high), 0.0).astype(np.float32)
        drawn = rng.uniform(start, end, (count, len(low))).astype(np.float32)
        if not (below & above).all():
            beyond = rng.standard_exponential(drawn.shape, np.float32)
            drawn = np.where(below & ~above, low + beyond, drawn)
            drawn = np.where(above & ~below, high - beyond, drawn)
            normal = rng.standard_normal(drawn.shape, np.float32)
            drawn = np.where(below | above, drawn, normal)
        found: np.ndarray = unflat(self._clipped(drawn), self.env_shape)
        return found

    def describe(self) -> str:
        kind = "whole-number" if self.whole else "continuous"
        shape = "" if self.dims is None else f" of shape {self.dims}"
        if len(self.low) == 1:
            return f"1 {kind} action{shape} from {self.low[0]:g} to {self.high[0]:g}"
        bounds = f"from {list(self.low)} to {list(self.high)}"
        if len(self.low) > 8 and len({*zip(self.low, self.high, strict=True)}) == 1:
            bounds = f"from {self.low[0]} to {self.high[0]} each"
        return f"{len(self.low)} {kind} actions{shape} {bounds}"


@dataclasses.dataclass(frozen=True)
class SquashedBox(Box):
    """A box bounded in all dimensions; tanh squashes a Gaussian into the bounds."""

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        log_std = jnp.broadcast_to(free["log_std"], outputs.shape)
        return SquashedGaussian(outputs, log_std, *self._own_bounds())

    def entropy_of_share(self, share: float | None) -> float:
        """The entropy of a uniform distribution over ``share`` of the range."""
        share = START_OF_NUMBERS if share is None else share
        ranges = zip(*self._own_bounds(), strict=True)
        return sum(math.log(share * (high - low)) for low, high in ranges)
