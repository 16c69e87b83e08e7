"""Evaluation of all members at once on a fixed set of episodes, each counted exactly once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxmaze.config import Settings
from jaxmaze.core import seeding
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy
from jaxmaze.core.words import counted
from jaxmaze.envs import environment
from jaxmaze.envs.collectors import Collector, open_collector
from jaxmaze.runs import checkpoint, console, outcomes

NUM_ENVS = 16
"""Environments per member in an evaluation outside training."""


def size(members: int, episodes: int) -> str:
    """How much is played, in words: "3 members x 100 episodes"."""
    return f"{counted(members, 'member')} x {counted(episodes, 'episode')}"


def test_seeds(config: Settings) -> np.ndarray:
    """Seeds of the test episodes, on which results are reported."""
    section = config.evaluation
    return seeding.episode_seeds(section.seed, seeding.TEST, section.episodes)


def selection_seeds(config: Settings, num: int) -> np.ndarray:
    """Seeds of the selection episodes, for evaluation curves and the choice of the best policy."""
    return selection_seeds_of(config.evaluation.seed, num)


def selection_seeds_of(seed: int, num: int) -> np.ndarray:
    """The same, given ``evaluation.seed``."""
    return seeding.episode_seeds(seed, seeding.SELECTION, num)


def sweep_seeds(config: Settings) -> np.ndarray:
    """Seeds of the episodes by which a sweep compares its points, used for nothing else."""
    section = config.evaluation
    return seeding.episode_seeds(section.seed, seeding.SWEEP, section.episodes)


class Evaluator:
    """Evaluates populations; a member that has not changed since is not evaluated again.

    The same policy on the same seeds gives the same episodes, so members with learning rate 0 or in
    critic burn-in cost nothing, and identical members cost as much as one.
    """

    def __init__(self, collector: Collector, deterministic: bool):
        self._collector, self._deterministic = collector, deterministic
        self._known: dict[tuple[int | None, str, bytes], outcomes.Evaluation] = {}

    def __call__(
        self, policies: Policy, seeds: np.ndarray, wanted: np.ndarray | None = None
    ) -> list[outcomes.Evaluation]:
        """Evaluate each member on the same seeds.

        Args:
          policies: a policy for each member, leading axis ``[M]``.
          seeds: ``[E]`` episodes.
          wanted: ``[M]`` which members; all by default.

        Returns:
          One evaluation for each wanted member, in order.
        """
        policies = jax.device_get(policies)
        members = len(self._collector.config.seeds)
        each = [jax.tree.map(lambda x, m=m: x[m], policies) for m in range(members)]
        # Sampled actions differ between members, as their random numbers do.
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
            with console.doing("evaluates"):
                results = self._collector.evaluate(policies, seeds, self._deterministic, active)
            returns = np.full((members, len(seeds)), np.nan)
            lengths = np.zeros((members, len(seeds)), np.int64)
            for r in results:
                returns[r.member, r.episode], lengths[r.member, r.episode] = (
                    r.episode_return,
                    r.length,
                )
            for m in np.flatnonzero(active):
                self._known[keys[m]] = outcomes.Evaluation(returns[m], lengths[m])
        return [self._known[keys[m]] for m in np.flatnonzero(wanted)]


@contextlib.contextmanager
def open_evaluator(
    config: Settings, info: environment.EnvInfo, networks: Networks, members: Sequence[int]
) -> Iterator[Evaluator]:
    """An evaluator outside training, for members with these root seeds."""
    opened = open_collector(config.env, info, networks, members, NUM_ENVS, say=console.say)
    with contextlib.closing(opened) as collector:
        yield Evaluator(collector, config.evaluation.deterministic)


def of_run(run: Path, config: Settings, seeds: np.ndarray) -> list[outcomes.Evaluation]:
    """Each member's handed-over policy of a finished run on ``seeds`` ``[E]``.

    Args:
      run: its folder.
      config: the environment, and the number and kind of evaluation processes.
      seeds: the episodes.

    Raises:
      UserError: if it has no checkpoint that can be read.
    """
    networks, policies, meta = checkpoint.load_best(run)
    info = environment.describe(environment.EnvConfig.of(config.env), console.say)
    with open_evaluator(config, info, networks, meta["seeds"]) as evaluator:
        return evaluator(policies, seeds)
