"""Recorded actions slightly out of bounds, as people's often are: counted and clipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze.core.spaces import ActionSpace
from jaxmaze.core.types import PyTree
from jaxmaze.core.words import counted
from jaxmaze.envs.episodes import Episode


class Outside(NamedTuple):
    """Actions outside their bounds.

    Attributes:
      steps: the number of such steps.
      of: the number of all steps.
      most: the largest distance from the bounds, in the environment's units.
    """

    steps: int
    of: int
    most: float

    def __str__(self) -> str:
        share = 100 * self.steps / self.of
        return (
            f"{self.steps:,} of {counted(self.of, 'step', ',')} ({share:.3g} %), by up to "
            f"{self.most:.3g}"
        )


def outside(episodes: Sequence[Episode], action: ActionSpace) -> Outside:
    """Count the steps whose actions (or labels) clipping would bring into their bounds."""
    steps, most = 0, 0.0
    for e in episodes:
        distance = np.zeros(e.length)
        for taken in _taken(e):
            far = _distance(taken, action)
            if len(far) == len(distance):
                distance = np.maximum(distance, far)
        steps += int((distance > 0).sum())
        most = max(most, float(distance.max(initial=0.0)))
    return Outside(steps, sum(e.length for e in episodes), most)


def clip(episodes: Sequence[Episode], action: ActionSpace) -> list[Episode]:
    """The episodes with actions and labels clipped to their bounds."""
    clipped = []
    for e in episodes:
        actions, *labels = (
            _clipped(x, action) if _distance(x, action).any() else x for x in _taken(e)
        )
        clipped.append(
            dataclasses.replace(e, actions=actions, labels=labels[0] if labels else None)
        )
    return clipped


def _taken(episode: Episode) -> list[PyTree]:
    """The episode's actions, and its labels if it has any."""
    return [episode.actions] if episode.labels is None else [episode.actions, episode.labels]


def _clipped(actions: PyTree, action: ActionSpace) -> PyTree:
    """Actions clipped to their bounds, with their dtype unchanged."""
    return jax.tree.map(lambda new, old: new.astype(old.dtype), action.accept(actions), actions)


def _distance(actions: PyTree, action: ActionSpace) -> np.ndarray:
    """``[T]`` distances of actions from their bounds; empty where clipping cannot help."""
    none = np.zeros(0)
    if not action.problem(actions, ""):
        return none
    try:
        clipped = _clipped(actions, action)
        if action.problem(clipped, ""):
            return none
    except (ValueError, TypeError, AttributeError):
        return none  # of another shape or type, which clipping cannot fix
    far = [np.abs(a - b) for a, b in zip(*map(jax.tree.leaves, (clipped, actions)), strict=True)]
    return np.max([x.reshape(len(x), -1).max(1, initial=0.0) for x in far], axis=0)
