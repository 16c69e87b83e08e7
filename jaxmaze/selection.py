"""Which of a member's policies is the best: by evaluation return, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmaze.checkpoint import digest
from jaxmaze.core.types import Policy


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

    Policies whose mean return lies within one standard error of the highest mean so far count as
    tied with it (the one-standard-error rule of Breiman et al., 1984, "Classification and
    Regression Trees", section 3.4.3); of the new one and the kept one, if both are tied, the one
    with the lower standard error is kept. Returns are told apart no better than that, and of equals
    the dependable one is wanted. One that was left is gone: its weights are not kept.

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


def block(kept: Selection, member: int, unit: str) -> dict[str, Any]:
    """The block ``selection`` of a member in summary.json: when, and how it did, in 95 %.

    Args:
      kept: the selection.
      member: whose.
      unit: what ``step`` counts.
    """
    mean, error = float(kept.mean[member]), float(kept.error[member])
    known = np.isfinite(error)  # not after a single episode
    return {
        unit: int(kept.step[member]),
        "mean": mean,
        "standard_error": error if known else None,
        "low": mean - 1.96 * error if known else None,
        "high": mean + 1.96 * error if known else None,
    }


class Best(NamedTuple):
    """The best policies so far.

    Attributes:
      policy: copies of the weights, ``[M, ...]`` on the host.
      selection: their evaluation when they were taken.
    """

    policy: Policy
    selection: Selection


def take(best: Best, policies: Policy, better: np.ndarray, chosen: Selection) -> Best:
    """``policies`` ``[M, ...]`` of the members ``better`` ``[M]``, the kept ones of the others."""

    def keep(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        return np.where(better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

    return Best(jax.tree.map(keep, policies, best.policy), chosen)


def play_off(
    best: Best, last: Policy, evaluator: Callable[..., list[Any]], seeds: np.ndarray, step: int
) -> tuple[Best, dict[str, np.ndarray]]:
    """Choose between the best so far and the last, over many episodes.

    Near the top the few episodes of an evaluation cannot tell policies apart, and the best of many
    such evaluations was lucky. Members whose best is their last have nothing to choose.

    Args:
      best: as it was chosen on the way.
      last: the last policies, ``[M, ...]`` on the host.
      evaluator: an :class:`jaxmaze.evaluation.Evaluator`.
      seeds: the episodes.
      step: when.

    Returns:
      The new best, and mean returns ``[M]`` of ``best`` and ``last`` (NaN where not played).
    """
    members = len(best.selection.mean)

    def digests(policies: Policy) -> list[str]:
        return [digest(jax.tree.map(lambda x, m=m: x[m], policies)) for m in range(members)]

    differ = np.array([a != b for a, b in zip(digests(best.policy), digests(last), strict=True)])
    returns = np.full((2, members, len(seeds)), np.nan)
    for i, policies in enumerate((best.policy, last) if differ.any() else ()):
        results = evaluator(policies, seeds, differ)
        returns[i, differ] = np.stack([r.returns for r in results])
    means, errors = returns.mean(-1), standard_error(returns)
    first, _ = choose(start(members), means[0], errors[0], 0)
    chosen, better = choose(first._replace(step=best.selection.step), means[1], errors[1], step)
    merged = [np.where(differ, new, old) for new, old in zip(chosen, best.selection, strict=True)]
    return take(best, last, better & differ, Selection(*merged)), {
        "best": means[0],
        "last": means[1],
    }
