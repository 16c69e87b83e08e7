"""Selection of a member's best policy: candidates during training, a play-off at the end.

All policies of all members are compared on the same episodes, with paired differences per episode:
the returns of two policies in one episode differ far less than those of one policy between
episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import jax
import numpy as np

from jaxmaze.core.types import Json, Policy, PyTree

CANDIDATES = 2
"""Number of candidates per member that enter the play-off, in addition to the last policy."""
FIRST_ROUND = 0.4
"""Share of the play-off's episodes that all candidates play."""


class Played(Protocol):
    """The results of a policy's episodes."""

    @property
    def returns(self) -> np.ndarray:
        """``[E]`` undiscounted."""


class Selection(NamedTuple):
    """Scores of the kept policies, one for each of ``M`` members.

    Attributes:
      mean: ``[M]`` mean evaluation return (or another score); -inf before the first evaluation.
      error: ``[M]`` the standard error of that mean.
      step: ``[M]`` when the policy was taken (environment steps, labels or epochs).
      episodes: ``[M]`` number of episodes of the mean.
    """

    mean: np.ndarray
    error: np.ndarray
    step: np.ndarray
    episodes: np.ndarray


class Best(NamedTuple):
    """The best policies so far, on the host.

    Attributes:
      policy: the policies that would be handed over now, ``[M, ...]``.
      selection: their scores.
      candidates: the best during training, ``[M, K, ...]``, in descending order of their means.
      means: ``[M, K]`` their mean returns on the selection episodes; -inf where there is none.
      steps: ``[M, K]`` when they were taken.
    """

    policy: Policy
    selection: Selection
    candidates: Policy
    means: np.ndarray
    steps: np.ndarray


def start(members: int) -> Selection:
    """Nothing kept yet."""
    none = np.zeros(members, np.int64)
    return Selection(np.full(members, -np.inf), np.full(members, np.inf), none, none.copy())


def begin(policies: Policy) -> Best:
    """No candidates yet; ``policies`` ``[M, ...]`` are placeholders for them."""
    members = len(jax.tree.leaves(policies)[0])
    shape = (members, CANDIDATES)
    many = jax.tree.map(lambda x: np.repeat(np.asarray(x)[:, None], CANDIDATES, 1), policies)
    return Best(policies, start(members), many, np.full(shape, -np.inf), np.zeros(shape, np.int64))


def standard_error(returns: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the last axis of ``returns`` ``[..., E]``; inf for one."""
    count = returns.shape[-1]
    if count < 2:
        return np.full(returns.shape[:-1], np.inf)
    return returns.std(-1, ddof=1) / np.sqrt(count)


def surpasses(new: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Whether policies are better than others on the same episodes.

    That is, by more than one standard error of the mean difference, episode by episode: the
    one-standard-error rule of Breiman et al. (1984), "Classification and Regression Trees", section
    3.4.3, with paired errors. In a tie the kept one stays.

    Args:
      new: returns ``[..., E]``.
      kept: returns ``[..., E]``.

    Returns:
      Booleans ``[...]``.
    """
    difference = new - kept
    return difference.mean(-1) > standard_error(difference)


def _rows(condition: np.ndarray, new: PyTree, old: PyTree) -> PyTree:
    """``new`` for the members that a condition ``[M]`` marks, ``old`` for the others."""

    def leaf(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(condition.reshape((-1,) + (1,) * (np.ndim(a) - 1)), a, b)

    return jax.tree.map(leaf, new, old)


def keep(better: np.ndarray, new: Selection, kept: Selection) -> Selection:
    """The selection after the new policies of the members in ``better`` ``[M]`` were taken."""
    return Selection(*_rows(better, tuple(new), tuple(kept)))


def consider(best: Best, policies: Policy, returns: np.ndarray, step: int) -> Best:
    """Make each member's new policy a candidate if its mean return is high enough.

    A policy with exactly the mean of a candidate is taken for that same policy and not added again;
    of equal means the first is kept.

    Args:
      best: so far.
      policies: ``[M, ...]`` on the host.
      returns: ``[M, E]`` in the selection episodes, which are the same each time.
      step: when.
    """
    mean = returns.mean(1)
    place = (best.means >= mean[:, None]).sum(1)  # how many candidates are at least as good
    new = ~(best.means == mean[:, None]).any(1)
    candidates, means, steps = best.candidates, best.means, best.steps
    for k in reversed(range(CANDIDATES)):
        here, below = new & (place == k), new & (place < k)

        def put(
            into: np.ndarray,
            value: np.ndarray,
            k: int = k,
            at: tuple[np.ndarray, ...] = (here, below),
        ) -> PyTree:
            into = np.array(into)
            moved = _rows(at[1], into[:, max(k - 1, 0)], into[:, k])
            into[:, k] = _rows(at[0], value, moved)
            return into

        candidates = jax.tree.map(put, candidates, policies)
        means, steps = put(means, mean), put(steps, np.full(len(mean), step))
    first = new & (place == 0)
    count = np.full(len(mean), returns.shape[1])
    found = Selection(mean, standard_error(returns), np.full(len(mean), step), count)
    return Best(
        _rows(first, policies, best.policy),
        keep(first, found, best.selection),
        candidates,
        means,
        steps,
    )


def play_off(
    best: Best,
    last: Policy,
    evaluator: Callable[[Policy, np.ndarray], Sequence[Played]],
    seeds: np.ndarray,
    step: int,
) -> tuple[Best, dict[str, np.ndarray]]:
    """Choose between the candidates and the last policies, over many episodes.

    Near the top, the few episodes of an evaluation cannot separate policies, and the best of many
    evaluations is biased upwards. All candidates play the first episodes; the best of them and the
    last policy play the rest. The last stays unless the candidate :func:`surpasses` it, so that the
    policy handed over is not expected to be worse than the last.

    Args:
      best: the best policies chosen during training.
      last: the last policies, ``[M, ...]`` on the host.
      evaluator: an :class:`jaxmaze.training.evaluation.Evaluator`.
      seeds: ``[E]`` of the episodes, which served for no choice before.
      step: when.

    Returns:
      The new best, and mean returns ``[M]`` of the best candidate (``best``) and of the ``last``.
    """
    count = max(1, round(FIRST_ROUND * len(seeds)))

    def played(policies: Policy, on: np.ndarray) -> np.ndarray:
        return np.stack([r.returns for r in evaluator(policies, on)])

    def candidate(k: np.ndarray) -> Policy:
        return jax.tree.map(lambda x: x[np.arange(len(k)), k], best.candidates)

    members = len(best.means)
    numbers = [np.full(members, k) for k in range(CANDIDATES)]
    first = np.stack([played(candidate(k), seeds[:count]) for k in numbers])  # [K, M, count]
    known = np.where(np.isfinite(best.means), first.mean(2).T, -np.inf)
    chosen = known.argmax(1)
    of_chosen = first[chosen, np.arange(members)]
    of_last = played(last, seeds[:count])
    if count < len(seeds):
        of_chosen = np.hstack([of_chosen, played(candidate(chosen), seeds[count:])])
        of_last = np.hstack([of_last, played(last, seeds[count:])])
    # Policies with equal returns count as one, with the step at which it became a candidate.
    keeps = surpasses(of_chosen, of_last) | (of_chosen == of_last).all(1)
    returns = np.where(keeps[:, None], of_chosen, of_last)
    taken = np.where(keeps, best.steps[np.arange(members), chosen], step)
    selection = Selection(
        returns.mean(1), standard_error(returns), taken, np.full(members, len(seeds))
    )
    new = best._replace(policy=_rows(keeps, candidate(chosen), last), selection=selection)
    return new, {"best": of_chosen.mean(1), "last": of_last.mean(1)}


def block(kept: Selection, member: int, unit: str) -> Json:
    """The block ``selection`` of a member in summary.json: step, mean and its 95 % interval.

    Args:
      kept: the selection.
      member: whose.
      unit: what ``step`` counts.
    """
    from scipy import stats

    mean, error = float(kept.mean[member]), float(kept.error[member])
    count = int(kept.episodes[member])
    known = np.isfinite(error)  # not after a single episode
    half = float(stats.t.ppf(0.975, count - 1)) * error if known else 0.0
    return {
        unit: int(kept.step[member]),
        "episodes": count,
        "mean": mean,
        "standard_error": error if known else None,
        "low": mean - half if known else None,
        "high": mean + half if known else None,
    }
