"""Evaluation on fixed, fresh episodes: each counted once, none twice, all members at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmaze import checkpoint, metrics, runs
from jaxmaze.core import seeding
from jaxmaze.core.types import Policy
from jaxmaze.envs import gymnasium as backend
from jaxmaze.envs.actors import ActorConfig
from jaxmaze.envs.episodes import Episode
from jaxmaze.envs.workers import Pool, num_shards
from jaxmaze.errors import UserError

NUM_ENVS = 16
"""Environments of a member in an evaluation that belongs to no training."""


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


class Table(NamedTuple):
    """Returns of all members in the same episodes.

    Attributes:
      seeds: ``[E]`` what the environment was reset with.
      returns: ``[M, E]``.
      lengths: ``[M, E]``.
    """

    seeds: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray


BEST, LAST = "best", "last"
"""Which of a member's policies an evaluation is of."""


def write_episodes(
    run: Path, members: Sequence[int], seeds: np.ndarray, played: Mapping[str, Sequence[Evaluation]]
) -> None:
    """Keep each reported episode in a run's episodes.jsonl, so that runs can be paired.

    Args:
      run: the folder.
      members: the members' seeds.
      seeds: ``[E]`` of the episodes.
      played: by policy (``"best"``, ``"last"``) each member's evaluation on them.
    """
    lines = [
        {
            "policy": policy, "member": member, "episode": i, "seed": int(seed),
            "return": float(result.returns[i]), "length": int(result.lengths[i]),
        }
        for policy, results in played.items()
        for member, result in zip(members, results, strict=True)
        for i, seed in enumerate(seeds)
    ]  # fmt: skip
    path = run / runs.EPISODES
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
    temporary.replace(path)


def read_episodes(run: Path, policy: str = BEST) -> Table:
    """The episodes that a finished run reports; the teacher's, of a rollout.

    Raises:
      UserError: if they are missing or damaged.
    """
    path = run / runs.EPISODES
    found: dict[Any, dict[int, tuple[float, int]]] = {}
    try:
        for text in path.read_text().splitlines():
            line = json.loads(text)
            if line.get("policy", policy) == policy:
                mine = found.setdefault(line.get("member"), {})
                mine[line["seed"]] = (float(line["return"]), int(line["length"]))
    except FileNotFoundError:
        raise UserError(f"{run} has no {runs.EPISODES}; make the run anew") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    seeds = sorted(next(iter(found.values()), {}))
    if not seeds or any(sorted(mine) != seeds for mine in found.values()):
        raise UserError(f"{path} is damaged: members without episodes, or with different ones")
    both = np.array([[mine[s] for s in seeds] for mine in found.values()])
    return Table(np.array(seeds), both[..., 0], both[..., 1].astype(np.int64))


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
    return selection_seeds_of(config.evaluation.seed, num)


def selection_seeds_of(seed: int, num: int) -> np.ndarray:
    """The same of ``evaluation.seed``."""
    return seeding.episode_seeds(seed, seeding.SELECTION, num)


def sweep_seeds(config: Any) -> np.ndarray:
    """Seeds of the episodes by which a sweep chooses between its points: nobody else's."""
    section = config.evaluation
    return seeding.episode_seeds(section.seed, seeding.SWEEP, section.episodes)


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


def of_run(run: Path, config: Any, seeds: np.ndarray) -> list[Evaluation]:
    """Each member's handed-over policy of a finished run on ``seeds`` ``[E]``.

    Args:
      run: its folder.
      config: the environment, and how many processes and of which kind evaluate.
      seeds: the episodes.

    Raises:
      UserError: if it has no checkpoint that can be read.
    """
    networks, policies, meta = checkpoint.load_best(run)
    info = backend.describe(backend.EnvConfig.of(config.env))
    shards = num_shards(NUM_ENVS, config.env.shards)
    actors = ActorConfig(info.config, networks, tuple(meta["seeds"]), NUM_ENVS, shards)
    with Pool(actors, info, config.env.workers) as pool:
        return Evaluator(pool, config.evaluation.deterministic)(policies, seeds)
