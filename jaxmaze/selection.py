"""Which of a member's policies is the best: by evaluation return, with its uncertainty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Selection(NamedTuple):
    """What is kept of each of ``M`` members, and the mark to beat.

    Attributes:
      mean: ``[M]`` mean evaluation return of the policy that is kept.
      error: ``[M]`` the standard error of that mean.
      step: ``[M]`` when the policy was taken (environment steps, or epochs).
      top_mean: ``[M]`` the highest mean so far, of the kept policy or another.
      top_error: ``[M]`` the standard error of that one.
    """

    mean: np.ndarray
    error: np.ndarray
    step: np.ndarray
    top_mean: np.ndarray
    top_error: np.ndarray


def start(members: int) -> Selection:
    """Nothing kept yet."""
    nothing = np.full(members, -np.inf)
    error = np.full(members, np.inf)
    return Selection(nothing, error, np.zeros(members, np.int64), nothing.copy(), error.copy())


def standard_error(returns: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the last axis of ``returns`` ``[..., E]``; inf for one."""
    count = returns.shape[-1]
    if count < 2:
        return np.full(returns.shape[:-1], np.inf)
    return returns.std(-1, ddof=1) / np.sqrt(count)


def choose(
    kept: Selection, mean: np.ndarray, error: np.ndarray, step: int
) -> tuple[Selection, np.ndarray]:
    """Take or leave each member's new policy.

    Policies whose mean return lies within one standard error of the highest mean count as tied
    with it (the one-standard-error rule of Breiman et al., 1984, "Classification and Regression
    Trees", section 3.4.3); among the tied the one with the lowest standard error is kept. Returns
    are told apart no better than that, and of equals the dependable one is wanted.

    Args:
      kept: the selection so far.
      mean: ``[M]`` mean evaluation return of the new policies.
      error: ``[M]`` its standard error.
      step: when.

    Returns:
      The new selection, and ``[M]`` whether the new policy is kept.
    """
    rises = mean > kept.top_mean
    top_mean = np.where(rises, mean, kept.top_mean)
    top_error = np.where(rises, error, kept.top_error)
    limit = top_mean - top_error
    steadier = (error < kept.error) | ((error == kept.error) & (mean > kept.mean))
    better = (mean >= limit) & (steadier | (kept.mean < limit))

    def keep(new: Any, old: np.ndarray) -> np.ndarray:
        return np.where(better, new, old)

    chosen = Selection(
        keep(mean, kept.mean), keep(error, kept.error), keep(step, kept.step), top_mean, top_error
    )
    return chosen, better
