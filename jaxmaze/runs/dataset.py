"""Recorded episodes in memory, with where they come from."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.envs.episodes import Episode


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Episodes with where they come from.

    Attributes:
      episodes: in the order of their indices.
      provenance: policy, environment and versions, as recorded; JSON-like.
      sha256: hash over all arrays, in hexadecimal.
      weights: ``[E]`` how much a step of each episode counts in a loss; None if all count alike.
      remarks: what a user should know of how the data were taken, a line each.
    """

    episodes: tuple[Episode, ...]
    provenance: Json
    sha256: str
    weights: np.ndarray | None = None
    remarks: tuple[str, ...] = ()

    @property
    def num_steps(self) -> int:
        """Steps of all episodes together."""
        return sum(e.length for e in self.episodes)

    def row_weights(self) -> np.ndarray | None:
        """The weights of all steps ``[R]``, of mean 1; None if all count alike."""
        if self.weights is None:
            return None
        each = np.repeat(self.weights, [e.length for e in self.episodes])
        return (each / each.mean()).astype(np.float32)
