"""Seeds of environments and generators of stages, all spawned from one number.

Streams are children of ``SeedSequence``, so that no two purposes, members, environments or episodes
share one; ``seed + i`` schemes make neighbouring runs share most of their episodes.
"""

from __future__ import annotations

import numpy as np

ROLLOUT, TRAINING, SELECTION, TEST, POLICY, AGGREGATION, MIXTURE, ACTION, SWEEP, CURVE = range(10)
"""What a seed is for. Selecting a model and reporting it never use the same episodes."""

NOISE = 9
"""What disturbs a teacher's actions in a rollout."""

STAGE_BC, STAGE_PPO, STAGE_DAGGER = 101, 102, 103
"""Streams of the initial networks and of the keys that a stage goes on with."""


def episode_seed(root: int, *path: int) -> int:
    """The seed to ``reset`` an environment with: 31 bits, a function of ``root`` and ``path``."""
    return int(sequence(root, *path).generate_state(1)[0] >> 1)


def episode_seeds(root: int, stream: int, num: int) -> np.ndarray:
    """``[num]`` seeds of a fixed list of episodes; the first ones do not depend on ``num``."""
    return np.array([episode_seed(root, stream, i) for i in range(num)], np.int64)


def sequence(root: int, *path: int) -> np.random.SeedSequence:
    """A seed that is a function of ``root`` and ``path``."""
    return np.random.SeedSequence(root, spawn_key=path)


def generator(root: int, *path: int) -> np.random.Generator:
    """Random numbers that are a function of ``root`` and ``path``."""
    return np.random.Generator(np.random.PCG64(sequence(root, *path)))
