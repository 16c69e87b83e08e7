"""Conversion of teachers' actions to numpy: tensors, lists, and tuples with a state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class NotAnActionError(ValueError):
    """What a teacher gave is no action.

    Attributes:
      row: the row of the observations that it gave this for; None if it is not known.
    """

    row: int | None = None

    def __init__(self, what: str, part: str = ""):
        """``what`` it gave, in words, and the part of a Dict or Tuple in which it gave this."""
        super().__init__(f"gave {part}{': ' * bool(part)}{what}")

    @classmethod
    def of_rows(cls, what: str, wrong: Sequence[bool]) -> NotAnActionError:
        """For a batch with wrong rows ``[N]``; the error names the first, if not all are wrong."""
        error = cls(what)
        error.row = None if all(wrong) else wrong.index(True)
        return error


def shown(x: object) -> str:
    """What a teacher gave, in words: ``None``, ``a str ('left')``, ``a list``."""
    if x is None:
        return "None"
    text = f" ({x!r:.40})" if isinstance(x, str | bytes) else ""
    return f"a {type(x).__name__}{text}"


def to_numpy(x: object, part: str = "") -> np.ndarray:
    """An array from a number, list, numpy or JAX array, or a tensor of any library.

    Tensors may require gradients and be on another device.

    Args:
      x: what a teacher gave.
      part: the part of the action that it is, for error messages.

    Raises:
      NotAnActionError: for what is none of these.
    """
    if isinstance(x, list | tuple):
        if any(hasattr(item, "detach") for item in x):
            x = [to_numpy(item, part) for item in x]
    else:
        for step in ("detach", "cpu", "numpy"):
            method = getattr(x, step, None)
            if callable(method):
                x = method()
    try:
        found = np.asarray(x)
    except ValueError:  # lists of different lengths
        found = np.asarray(None)
    if found.dtype.kind not in "biuf":
        raise NotAnActionError(f"{shown(x)}, which is no number or array of numbers", part)
    if found.dtype.kind == "b":
        return found.astype(np.int64)  # a boolean for one of two actions
    return found


def unpack(x: object) -> tuple[object, object]:
    """Action and state from the pair that ``model.predict`` returns.

    Raises:
      NotAnActionError: if it is no such pair.
    """
    if isinstance(x, tuple) and len(x) == 2:
        return x
    raise NotAnActionError(f"{shown(x)}, which is no pair of action and state")


def shaped(x: object, shape: tuple[int, ...], part: str = "") -> np.ndarray:
    """Reshape to a shape; after the first axis, axes of length 1 may be missing or extra.

    Raises:
      NotAnActionError: if it has another shape, or is no array of numbers.
    """
    found = to_numpy(x, part)
    if found.shape == shape:
        return found
    without = [tuple(n for n in s[1:] if n != 1) for s in (found.shape, shape)]
    if found.ndim and shape and found.shape[0] == shape[0] and without[0] == without[1]:
        return found.reshape(shape)
    raise NotAnActionError(f"shape {found.shape} instead of {shape}", part)
