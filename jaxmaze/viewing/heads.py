"""Actions in parts: each a choice among several, or a real number.

Every kind of action, however nested, is shown as a list of such parts ("heads"), beside what
policies would do in each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxmaze.core.distributions import (
    LOG_STD_MAX,
    LOG_STD_MIN,
    Bernoulli,
    Categorical,
    DiagGaussian,
    Joint,
    MultiCategorical,
    SquashedGaussian,
)
from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs.leaves import Leaf
from jaxmaze.viewing.traces import numbers

MOST_NAMED = 64
"""Choices or numbers that are given names of their own."""


class Spread(NamedTuple):
    """Mean and standard deviation ``[T]`` of a real number, in the policy's units."""

    mean: np.ndarray
    std: np.ndarray


class Head(NamedTuple):
    """One part of an action.

    Attributes:
      key: the name of its array and its position in it.
      name: how it is called; empty if the action has no other part.
      choices: what its choices are called; empty for a real number.
      first: the number of the first choice.
      low: the lower bound of a real number; None if there is none.
      high: likewise, upper.
    """

    key: tuple[str, int]
    name: str
    choices: tuple[str, ...]
    first: int
    low: float | None
    high: float | None

    def plain(self) -> Json:
        """As JSON has it."""
        return {
            "name": self.name,
            "choices": list(self.choices),
            "low": self.low,
            "high": self.high,
        }


def heads_of(leaves: Sequence[Leaf], given: Sequence[str]) -> list[Head]:
    """The parts of an action.

    Args:
      leaves: its arrays.
      given: names of the choices, if it is one choice; else of the parts. Ignored unless there are
        as many.
    """
    found: list[Head] = []
    total = sum(math.prod(leaf.shape) for leaf in leaves)
    for leaf in leaves:
        for at in range(math.prod(leaf.shape)):
            low, high = (float(np.ravel(x)[at]) for x in (leaf.low, leaf.high))
            index = "" if not leaf.shape else f"[{at}]"
            name = f"{leaf.name}{index}" if leaf.name or total > 1 else ""
            if total > 1 and not leaf.name:
                name = f"action{index}"
            if len(given) == total and (total > 1 or not leaf.discrete):
                name = given[len(found)]
            choices: tuple[str, ...] = ()
            if leaf.discrete:
                plain = tuple(str(i) for i in range(int(low), int(high) + 1))
                choices = plain
                if total == 1 and len(given) == len(plain):
                    choices = tuple(f"{i} {n}" for i, n in zip(plain, given, strict=True))
            bounds = (x if math.isfinite(x) else None for x in (low, high))
            found.append(Head((leaf.name, at), name, choices, int(low) if choices else 0, *bounds))
    return found


def taken(heads: Sequence[Head], arrays: Mapping[str, np.ndarray]) -> list[list[float | None]]:
    """What was done in each part, ``[H][T]``; choices are counted from 0.

    Args:
      heads: the parts.
      arrays: ``[T, ...]`` actions by the names of their arrays.
    """
    columns = []
    for head in heads:
        array = np.asarray(arrays[head.key[0]])
        column = array.reshape(len(array), -1)[:, head.key[1]].astype(np.float64)
        columns.append(numbers(column - head.first))
    return columns


def marginals(heads: Sequence[Head], space: PyTree, dist: PyTree) -> list[Json | None]:
    """What a policy would do in each part.

    Args:
      heads: the parts.
      space: the policy's :class:`jaxmaze.core.action_space.ActionSpace`.
      dist: its distributions ``[T]``, of numpy arrays.

    Returns:
      For each part ``{"p": [T][choices]}`` or ``{"mean": [T], "std": [T]}`` in the environment's
      units; None for what is not known here.
    """
    known: dict[tuple[str, int], Json] = {}
    for name, part, own in _leaves(space, dist, ""):
        units = getattr(part, "units", None)
        for at, found in enumerate(_shown(own)):
            scale, middle = (units.scale[at], units.middle[at]) if units else (1.0, 0.0)
            if isinstance(found, Spread):
                known[name, at] = {
                    "mean": numbers(found.mean * scale + middle),
                    "std": numbers(found.std * scale),
                }
            else:
                known[name, at] = found
    parts = [known.get(head.key) for head in heads]
    for head, own in zip(heads, parts, strict=True):
        if own is not None and "p" in own:  # choices of one size are padded to the largest
            own["p"] = [row[: len(head.choices)] for row in own["p"]]
    return parts


def _leaves(space: PyTree, dist: PyTree, name: str) -> Iterator[tuple[str, PyTree, PyTree]]:
    """Spaces and distributions of the parts, by their names as in ``envs.leaves``."""
    if not isinstance(dist, Joint):
        yield name, space, dist
        return
    labels = space.names or tuple(str(i) for i in range(len(space.parts)))
    for label, part, own in zip(labels, space.parts, dist.parts, strict=True):
        yield from _leaves(part, own, f"{name}.{label}" if name else label)


@functools.singledispatch
def _shown(dist: PyTree) -> Sequence[Json | Spread]:
    """A distribution's parts; a kind that is not registered here is shown without them."""
    return []


@_shown.register
def _(dist: Categorical) -> list[Json]:
    return [_choice(np.asarray(dist.logits))]


@_shown.register
def _(dist: MultiCategorical) -> list[Json]:
    logits = np.asarray(dist.logits)
    return [_choice(logits[:, k]) for k in range(logits.shape[1])]


@_shown.register
def _(dist: Bernoulli) -> list[Json]:
    logits = np.asarray(dist.logits)
    return [_choice(np.stack([0 * x, x], -1)) for x in logits.T]


@_shown.register
def _(dist: DiagGaussian) -> list[Spread]:
    return _spread(np.asarray(dist.mean), _std(dist))


@_shown.register
def _(dist: SquashedGaussian) -> list[Spread]:
    # Half the width of what lies within one standard deviation before squashing.
    mean, std = np.asarray(dist.mean), _std(dist)
    low, high = np.array(dist.low), np.array(dist.high)

    def squashed(x: np.ndarray) -> np.ndarray:
        return low + (high - low) * (1 + np.tanh(x)) / 2

    return _spread(squashed(mean), (squashed(mean + std) - squashed(mean - std)) / 2)


# In numpy: JAX would compile these anew for each length of an episode.


def _std(dist: DiagGaussian | SquashedGaussian) -> np.ndarray:
    log_std = np.clip(np.asarray(dist.log_std), LOG_STD_MIN, LOG_STD_MAX)
    return np.broadcast_to(np.exp(log_std), np.shape(dist.mean))


def _choice(logits: np.ndarray) -> Json:
    odds = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return {"p": [numbers(row, 4) for row in odds / odds.sum(-1, keepdims=True)]}


def _spread(mean: np.ndarray, std: np.ndarray) -> list[Spread]:
    return [Spread(m, s) for m, s in zip(mean.T, std.T, strict=True)]
