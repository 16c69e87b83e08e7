"""The random teacher: actions drawn uniformly from the action space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jaxmaze.core import seeding
from jaxmaze.envs.environment import EnvInfo


def make(env: EnvInfo, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """A policy that ignores its observations; the same actions again for the same seed."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(seeding.POLICY,)))
    spaces = env.spaces

    def policy(obs: np.ndarray) -> np.ndarray:
        if spaces.kind == "discrete":
            return rng.integers(spaces.num_actions, size=len(obs))
        low = np.maximum(np.array(spaces.low, np.float32), -1e6)
        high = np.minimum(np.array(spaces.high, np.float32), 1e6)
        return rng.uniform(low, high, (len(obs), spaces.num_actions)).astype(np.float32)

    return policy
