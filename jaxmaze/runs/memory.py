"""Memory layout of large data sets, so that they need little more than their own size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

BLOCK_BYTES = 2**26
"""Size of a block. Untouched memory costs nothing, and blocks of this size, unlike small
arrays, go back to the system when they are freed."""
ALIGNMENT = 64
"""Bytes; XLA uses host arrays without a copy if they start at a multiple of this."""


class Blocks:
    """Stores the arrays of many episodes in a few large blocks.

    Reading an episode allocates arrays that are freed again; as many small arrays, the data would
    stay scattered between these, which took four times their size.
    """

    def __init__(self) -> None:
        self._block = np.empty(0)
        self._used = 0

    def put(self, part: np.ndarray) -> np.ndarray:
        """A copy of ``part`` ``[n, ...]``, a view into a block."""
        block, end = self._block, self._used + len(part)
        if (block.dtype, block.shape[1:]) != (part.dtype, part.shape[1:]) or end > len(block):
            size = max(1, part.nbytes // max(1, len(part)))
            room = max(len(part), BLOCK_BYTES // size)
            block = self._block = np.empty((room, *part.shape[1:]), part.dtype)
            self._used, end = 0, len(part)
        view = block[self._used : end]
        view[:] = part
        self._used = end
        return view


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """An uninitialised array, aligned so that a CPU device can use it without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)
