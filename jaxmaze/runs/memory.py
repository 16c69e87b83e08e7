"""Arrays laid out so that large data need little more than themselves."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

BLOCK_BYTES = 2**26
"""Room for the arrays of many episodes, taken at once: untouched it costs nothing, and blocks of
this size go back to the system when they are freed, unlike small arrays."""
ALIGNMENT = 64
"""Bytes; XLA uses the host's arrays as its own, without a copy, where they start at a multiple."""


class Blocks:
    """Arrays of many episodes in a few blocks.

    Blocks, because what is read goes there and is freed again: as many small arrays it would stay
    scattered between others' leftovers, which took four times its size.
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
    """An uninitialised array that a device which computes in the host's memory can use as it is."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)
