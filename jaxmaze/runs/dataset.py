"""Recorded episodes in memory, with their provenance."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.envs.episodes import Episode


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Episodes with their provenance.

    Attributes:
      episodes: in the order of their indices.
      provenance: policy, environment and versions, as recorded; JSON-like.
      sha256: hash over all arrays, in hexadecimal.
      weights: ``[E]`` weight of each episode's steps in a loss; None if all are equal.
      remarks: notes for the user on how the data were changed, a line each.
    """

    episodes: tuple[Episode, ...]
    provenance: Json
    sha256: str
    weights: np.ndarray | None = None
    remarks: tuple[str, ...] = ()

    @property
    def num_steps(self) -> int:
        """The number of steps of all episodes."""
        return sum(e.length for e in self.episodes)

    def row_weights(self) -> np.ndarray | None:
        """The weights of all steps ``[R]``, with mean 1; None if all are equal."""
        if self.weights is None:
            return None
        each = np.repeat(self.weights, [e.length for e in self.episodes])
        return (each / each.mean()).astype(np.float32)
