"""Short hashes of rows of arrays, to find equal ones among millions."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np


def row_hashes(arrays: Iterable[np.ndarray], count: int) -> np.ndarray:
    """A 64-bit hash of each of ``count`` rows: equal rows have equal hashes.

    Two unequal rows collide with probability about 2^-64; any two of a million rows with 1e-8.

    Args:
      arrays: ``[count, ...]`` each; a row consists of the values of all arrays at one index.
      count: how many rows.

    Returns:
      ``[count]`` uint64.
    """
    total = np.zeros(count, np.uint64)
    for number, array in enumerate(arrays):
        words = _words(array, count)
        mixed = _mix(words ^ _keys(number, words.shape[1])).sum(1, dtype=np.uint64)
        total = _mix(total + mixed)
    return total


def _words(array: np.ndarray, count: int) -> np.ndarray:
    """The bytes of each row as ``[count, W]`` uint64."""
    rows = np.ascontiguousarray(array).reshape(count, -1)
    if np.issubdtype(rows.dtype, np.floating):
        rows = rows + np.zeros((), rows.dtype)  # -0.0 is 0.0
    raw = np.ascontiguousarray(rows).view(np.uint8).reshape(count, -1)
    room = np.zeros((count, -(-raw.shape[1] // 8) * 8), np.uint8)
    room[:, : raw.shape[1]] = raw
    return room.view(np.uint64)


@functools.lru_cache(maxsize=64)
def _keys(number: int, width: int) -> np.ndarray:
    rng = np.random.default_rng((number, width))
    return rng.integers(0, 2**64, width, dtype=np.uint64)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele et al., 2014): each bit depends on all input bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
