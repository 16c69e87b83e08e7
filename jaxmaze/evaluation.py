"""Evaluation on fixed, fresh episodes: each counted once, none twice, all members at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmaze import checkpoint, metrics, seeding
from jaxmaze.core.types import Policy
from jaxmaze.trajectories import Episode
from jaxmaze.workers import Pool


class Evaluation(NamedTuple):
    """A policy's episodes, in the order of the seeds.

    Attributes:
      returns: ``[E]`` undiscounted returns.
      lengths: ``[E]`` steps.
    """

    returns: np.ndarray
    lengths: np.ndarray

    def summary(self) -> dict[str, Any]:
        """The block ``evaluation`` of a summary.json."""
        r = self.returns
        return {
            "episodes": len(r),
            "mean": float(r.mean()),
            "std": float(r.std()),
            "median": float(np.median(r)),
            "min": float(r.min()),
            "max": float(r.max()),
            "mean_step_count": float(self.lengths.mean()),
        }

    def stats(self) -> dict[str, float]:
        """The same as logged: ``reward/mean`` and so on."""
        return metrics.rollout_stats(self.returns, self.lengths)  # type: ignore[arg-type]


def of_episodes(episodes: Sequence[Episode]) -> Evaluation:
    """The evaluation that recorded episodes amount to."""
    return Evaluation(
        np.array([e.episode_return for e in episodes]), np.array([e.length for e in episodes])
    )


def pooled(evaluations: Sequence[Evaluation]) -> Evaluation:
    """All members' episodes together."""
    return Evaluation(
        np.concatenate([e.returns for e in evaluations]),
        np.concatenate([e.lengths for e in evaluations]),
    )


def test_seeds(config: Any) -> np.ndarray:
    """Seeds of the episodes that results are reported on."""
    section = config.evaluation
    return seeding.episode_seeds(section.seed, seeding.TEST, section.episodes)


def selection_seeds(config: Any, num: int) -> np.ndarray:
    """Seeds of the episodes that curves are drawn from and the best model is chosen by."""
    return seeding.episode_seeds(config.evaluation.seed, seeding.SELECTION, num)


class Evaluator:
    """Evaluates populations; a member that has not changed since is not played again.

    The same policy on the same seeds gives the same episodes, so members with learning rate 0 or in
    burn-in cost nothing, and members that are alike cost as much as one.
    """

    def __init__(self, pool: Pool, deterministic: bool):
        self._pool, self._deterministic = pool, deterministic
        self._known: dict[tuple[int | None, str, bytes], Evaluation] = {}

    def __call__(
        self, policies: Policy, seeds: np.ndarray, wanted: np.ndarray | None = None
    ) -> list[Evaluation]:
        """Evaluate each member on the same seeds.

        Args:
          policies: a policy for each member, leading axis ``[M]``.
          seeds: ``[E]`` episodes.
          wanted: ``[M]`` which members; all by default.

        Returns:
          One evaluation for each wanted member, in order.
        """
        policies = jax.device_get(policies)
        members = len(self._pool.config.seeds)
        each = [jax.tree.map(lambda x, m=m: x[m], policies) for m in range(members)]
        # Samples differ between members, as their random numbers do.
        keys = [
            (None if self._deterministic else m, checkpoint.digest(each[m]), seeds.tobytes())
            for m in range(members)
        ]
        wanted = np.ones(members, bool) if wanted is None else wanted
        new = {key: m for m, key in reversed(list(enumerate(keys))) if wanted[m]}
        active = np.array(
            [key not in self._known and new.get(key) == m for m, key in enumerate(keys)]
        )
        if active.any():
            results = self._pool.evaluate(policies, seeds, self._deterministic, active)
            returns = np.full((members, len(seeds)), np.nan)
            lengths = np.zeros((members, len(seeds)), np.int64)
            for r in results:
                returns[r.member, r.episode], lengths[r.member, r.episode] = (
                    r.episode_return,
                    r.length,
                )
            for m in np.flatnonzero(active):
                self._known[keys[m]] = Evaluation(returns[m], lengths[m])
        return [self._known[keys[m]] for m in np.flatnonzero(wanted)]
