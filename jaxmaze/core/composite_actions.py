"""Composite actions: an environment's Dict or Tuple of actions, possibly nested."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core.action_space import ActionSpace, Leaf
from jaxmaze.core.distributions import Distribution, Joint
from jaxmaze.core.types import Array, Params, PyTree


@dataclasses.dataclass(frozen=True)
class Composite:
    """Several actions at once, independent of each other given the observation.

    Internally, an action is one row of numbers: its parts concatenated.

    Attributes:
      parts: the kind of each part; for a dict, in the order of ``names``.
      names: names of a dict's parts, sorted; empty for a tuple.
    """

    parts: tuple[ActionSpace, ...]
    names: tuple[str, ...] = ()
    kind: ClassVar[str] = "composite"
    mask_size: ClassVar[int] = 0

    def _widths(self) -> tuple[int, ...]:
        """Columns of each part; 0 for a scalar part, which has no axis of its own."""
        return tuple(math.prod(p.shape) if p.shape else 0 for p in self.parts)

    def _spans(self, sizes: Sequence[int]) -> list[tuple[ActionSpace, slice]]:
        ends = np.cumsum(sizes).tolist()
        spans = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        return list(zip(self.parts, spans, strict=True))

    def _outputs(self) -> list[tuple[ActionSpace, slice]]:
        """Each part with its slice of the policy head's outputs."""
        return self._spans([p.num_outputs for p in self.parts])

    def _labels(self) -> tuple[str, ...]:
        return self.names or tuple(str(i) for i in range(len(self.parts)))

    def _split(self, action: PyTree) -> list[PyTree]:
        """Split rows ``[..., A]`` into actions ``[..., *part.shape]`` of each part's type."""
        found, at = [], 0
        for part, width in zip(self.parts, self._widths(), strict=True):
            piece = action[..., at : at + width] if width else action[..., at]
            found.append(piece.astype(part.dtype))
            at += width or 1
        return found

    def _together(self, values: Sequence[PyTree]) -> PyTree:
        """Combine the parts into an action in the environment's form."""
        return dict(zip(self.names, values, strict=True)) if self.names else tuple(values)

    def _apart(self, actions: PyTree) -> list[PyTree]:
        """Split actions in the environment's form into their parts."""
        if self.names:
            if not isinstance(actions, Mapping):
                raise TypeError(f"it is no dict of {', '.join(self.names)}")
            missing, unknown = set(self.names) - set(actions), set(actions) - set(self.names)
            if missing or unknown:
                what = f"no {min(missing)}" if missing else f"{min(unknown, key=str)}"
                raise KeyError(f"it has {what}")
            return [actions[name] for name in self.names]
        if not isinstance(actions, tuple | list) or len(actions) != len(self.parts):
            raise TypeError(f"it is no tuple of {len(self.parts)}")
        return list(actions)

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(width or 1 for width in self._widths()),)

    @property
    def dtype(self) -> PyTree:
        whole = all(np.issubdtype(p.dtype, np.integer) for p in self.parts)
        return np.int32 if whole else np.float32

    @property
    def num_outputs(self) -> int:
        return sum(p.num_outputs for p in self.parts)

    @property
    def num_noise(self) -> int:
        return sum(p.num_noise for p in self.parts)

    @property
    def tally_shape(self) -> tuple[int, ...]:
        return (sum(math.prod(p.tally_shape) for p in self.parts),)

    def in_units(self, actions: np.ndarray | None = None) -> Composite:
        pieces = [None] * len(self.parts) if actions is None else self._split(actions)
        pairs = zip(self.parts, pieces, strict=True)
        return Composite(tuple(part.in_units(piece) for part, piece in pairs), self.names)

    def bare(self) -> Composite:
        return Composite(tuple(part.bare() for part in self.parts), self.names)

    def needs_actions(self) -> bool:
        return any(part.needs_actions() for part in self.parts)

    def free_params(self) -> dict[str, tuple[int, ...]]:
        return {
            f"{name}_{i}": shape
            for i, part in enumerate(self.parts)
            for name, shape in part.free_params().items()
        }

    def distribution(self, outputs: Array, free: Mapping[str, Array]) -> Distribution:
        each = [
            part.distribution(
                outputs[..., span], {name: free[f"{name}_{i}"] for name in part.free_params()}
            )
            for i, (part, span) in enumerate(self._outputs())
        ]
        noise = tuple(p.num_noise for p in self.parts)
        return Joint(tuple(each), self._widths(), noise)

    def masked(self, dist: PyTree, mask: Array) -> Distribution:
        raise TypeError("Composite actions have no masks")

    def forbidden(self, actions: PyTree, mask: np.ndarray) -> np.ndarray:
        raise TypeError("Composite actions have no masks")

    def blocked(self, mask: np.ndarray) -> np.ndarray:
        raise TypeError("Composite actions have no masks")

    def squashed(self) -> Composite:
        parts = []
        for name, part in zip(self._labels(), self.parts, strict=True):
            try:
                parts.append(part.squashed())
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return Composite(tuple(parts), self.names)

    def fill_noise(self, rng: np.random.Generator, out: np.ndarray) -> None:
        for part, span in self._spans([p.num_noise for p in self.parts]):
            part.fill_noise(rng, out[..., span])

    def project(self, params: Params, most_std: Array | float = jnp.inf) -> Params:
        found = dict(params)
        for i, part in enumerate(self.parts):
            own = {name: params[f"{name}_{i}"] for name in part.free_params()}
            projected = part.project(own, most_std) if own else own
            found |= {f"{name}_{i}": x for name, x in projected.items()}
        return found

    def widest(self, params: Params) -> Array:
        widest = jnp.zeros(())
        for i, part in enumerate(self.parts):
            own = {name: params[f"{name}_{i}"] for name in part.free_params()}
            widest = jnp.maximum(widest, part.widest(own))
        return widest

    def temper(self, params: Params, temperature: Array | float) -> Params:
        heads, found = [], dict(params)
        for i, (part, span) in enumerate(self._outputs()):
            own = {name: params[f"{name}_{i}"] for name in part.free_params()}
            head = jax.tree.map(lambda x, s=span: x[..., s], params["head"])
            tempered = dict(part.temper({**own, "head": head}, temperature))
            heads.append(tempered.pop("head"))
            found |= {f"{name}_{i}": x for name, x in tempered.items()}
        return found | {"head": jax.tree.map(lambda *x: jnp.concatenate(x, -1), *heads)}

    @property
    def never_cooled(self) -> bool:
        return all(p.never_cooled for p in self.parts)

    def entropy_of_share(self, share: float | None) -> float:
        return sum(p.entropy_of_share(share) for p in self.parts)

    def from_numbers(self, numbers: np.ndarray) -> np.ndarray:
        found: np.ndarray = numbers[..., : self.shape[0]].astype(self.dtype)
        return found

    def to_env(self, action: PyTree) -> PyTree:
        pieces = zip(self.parts, self._split(action), strict=True)
        return self._together([part.to_env(piece) for part, piece in pieces])

    def from_env(self, actions: PyTree) -> np.ndarray:
        pieces = zip(self.parts, self._apart(actions), strict=True)
        columns = [part.from_env(piece) for part, piece in pieces]
        rows = [x.astype(self.dtype).reshape(len(x), -1) for x in columns]
        return np.concatenate(rows, -1)

    def each(self, actions: PyTree) -> Sequence[PyTree]:
        columns = zip(self.parts, self._apart(actions), strict=True)
        singles = [part.each(column) for part, column in columns]
        return [self._together(values) for values in zip(*singles, strict=True)]

    def leaves(self, actions: PyTree) -> list[tuple[str, Leaf, np.ndarray]]:
        pieces = zip(self._labels(), self.parts, self._apart(actions), strict=True)
        return [
            (f"{label}.{name}" if name else label, leaf, array)
            for label, part, piece in pieces
            for name, leaf, array in part.leaves(piece)
        ]

    def build(self, arrays: Sequence[np.ndarray]) -> PyTree:
        values, at = [], 0
        for part in self.parts:
            size = len(part.parts_of()) if isinstance(part, Composite) else 1
            values.append(part.build(arrays[at : at + size]))
            at += size
        return self._together(values)

    def parts_of(self) -> list[ActionSpace]:
        """The kinds that are not themselves composite, in order."""
        each = [p.parts_of() if isinstance(p, Composite) else [p] for p in self.parts]
        return [leaf for leaves in each for leaf in leaves]

    def accept(self, actions: PyTree) -> PyTree:
        pieces = zip(self.parts, self._apart(actions), strict=True)
        return self._together([part.accept(piece) for part, piece in pieces])

    def problem(self, actions: PyTree, env: str) -> str:
        try:
            pieces = self._apart(actions)
        except (KeyError, TypeError) as error:
            return f"actions that do not fit {env}, which takes {self.describe()}: {error.args[0]}"
        for label, part, piece in zip(self._labels(), self.parts, pieces, strict=True):
            found = part.problem(piece, env)
            if found:
                return f"in {label} {found}"
        return ""

    def agreement(self, dist: PyTree, action: Array, weight: Array) -> dict[str, Array]:
        """The agreement of each part, by its name."""
        pieces = zip(self._labels(), self.parts, dist.parts, self._split(action), strict=True)
        return {
            f"{label}.{metric}": x
            for label, part, own, piece in pieces
            for metric, x in part.agreement(own, piece, weight).items()
        }

    def tally(self, actions: PyTree) -> np.ndarray:
        pieces = zip(self.parts, self._apart(actions), strict=True)
        return np.concatenate([part.tally(piece).ravel() for part, piece in pieces])

    def tallied(self, sums: np.ndarray, count: int) -> str:
        texts = [
            part.tallied(sums[span].reshape(part.tally_shape), count)
            for part, span in self._spans([math.prod(p.tally_shape) for p in self.parts])
        ]
        return "; ".join(f"{a} ({b})" for a, b in zip(self._labels(), texts, strict=True))

    def uniform(
        self, rng: np.random.Generator, count: int, mask: np.ndarray | None = None
    ) -> PyTree:
        return self._together([part.uniform(rng, count) for part in self.parts])

    def describe(self) -> str:
        texts = zip(self._labels(), (p.describe() for p in self.parts), strict=True)
        return f"actions of parts ({'; '.join(f'{a}: {b}' for a, b in texts)})"
