"""Conversion of teachers' actions to numpy: tensors, lists, and tuples with a state."""

from __future__ import annotations

import numpy as np


def to_numpy(x: object) -> np.ndarray:
    """An array from a number, list, numpy or JAX array, or a tensor of any library.

    Tensors may require gradients and be on another device.

    Raises:
      ValueError: for what is none of these.
    """
    if isinstance(x, list | tuple):
        if any(hasattr(item, "detach") for item in x):
            x = [to_numpy(item) for item in x]
    else:
        for step in ("detach", "cpu", "numpy"):
            method = getattr(x, step, None)
            if callable(method):
                x = method()
    found = np.asarray(x)
    if found.dtype.kind not in "biuf":
        raise ValueError(f"gave a {type(x).__name__}, which is no number or array of numbers")
    if found.dtype.kind == "b":
        return found.astype(np.int64)  # a boolean for one of two actions
    return found


def unpack(x: object) -> tuple[object, object]:
    """Action and state from the pair that ``model.predict`` returns.

    Raises:
      ValueError: if it is no such pair.
    """
    if isinstance(x, tuple) and len(x) == 2:
        return x
    raise ValueError(f"a {type(x).__name__} is no pair of action and state")


def shaped(x: object, shape: tuple[int, ...]) -> np.ndarray:
    """Reshape to a shape; after the first axis, axes of length 1 may be missing or extra.

    Raises:
      ValueError: if it has another shape.
    """
    found = to_numpy(x)
    if found.shape == shape:
        return found
    without = [tuple(n for n in s[1:] if n != 1) for s in (found.shape, shape)]
    if found.ndim and shape and found.shape[0] == shape[0] and without[0] == without[1]:
        return found.reshape(shape)
    raise ValueError(f"gave shape {found.shape} instead of {shape}")
