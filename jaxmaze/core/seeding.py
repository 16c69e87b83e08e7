"""Environment seeds and random generators, all derived from one root seed.

Every purpose, member, environment and episode has its own stream, a child of a ``SeedSequence``;
with ``seed + i`` schemes, runs with neighbouring seeds would share most of their episodes.
"""

from __future__ import annotations

import numpy as np

ROLLOUT, TRAINING, SELECTION, TEST, POLICY, AGGREGATION, MIXTURE, ACTION, SWEEP, CURVE = range(10)
"""The purposes of seeds. Model selection and reported tests never use the same episodes."""

NOISE = 9
"""Noise on a teacher's actions in a rollout."""

STAGE_BC, STAGE_PPO, STAGE_DAGGER = 101, 102, 103
"""Streams of each stage's initial networks and random keys."""


def episode_seed(root: int, *path: int) -> int:
    """A 31-bit seed for an environment's ``reset``, determined by ``root`` and ``path``."""
    return int(sequence(root, *path).generate_state(1)[0] >> 1)


def episode_seeds(root: int, stream: int, num: int) -> np.ndarray:
    """Seeds ``[num]`` of a fixed list of episodes; a larger ``num`` only appends seeds."""
    return np.array([episode_seed(root, stream, i) for i in range(num)], np.int64)


def sequence(root: int, *path: int) -> np.random.SeedSequence:
    """A ``SeedSequence`` determined by ``root`` and ``path``."""
    return np.random.SeedSequence(root, spawn_key=path)


def generator(root: int, *path: int) -> np.random.Generator:
    """A random generator determined by ``root`` and ``path``."""
    return np.random.Generator(np.random.PCG64(sequence(root, *path)))
