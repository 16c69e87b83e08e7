"""The random teacher: actions drawn uniformly from the allowed actions."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from jaxmaze.core import seeding
from jaxmaze.envs.environment import EnvInfo


def make(env: EnvInfo, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """A policy that ignores its observations; the same seed gives the same actions."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(seeding.POLICY,)))
    space = env.spaces.action
    mask_of = env.spaces.mask_of
    return lambda obs: space.uniform(rng, len(jax.tree.leaves(obs)[0]), mask_of(obs))
