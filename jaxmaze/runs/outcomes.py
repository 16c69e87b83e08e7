"""Results of episodes: an evaluation's returns, their summary, and episodes.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs import disk, metrics, run_folder


class Evaluation(NamedTuple):
    """A policy's episodes, in the order of the seeds.

    Attributes:
      returns: ``[E]`` undiscounted returns.
      lengths: ``[E]`` steps.
    """

    returns: np.ndarray
    lengths: np.ndarray

    def summary(self) -> Json:
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
        """The statistics to be logged: ``reward/mean`` and so on."""
        return metrics.rollout_stats(self.returns, self.lengths)  # type: ignore[arg-type]


class Table(NamedTuple):
    """Returns of all members in the same episodes.

    Attributes:
      seeds: ``[E]`` the environment's reset seeds.
      returns: ``[M, E]``.
      lengths: ``[M, E]``.
    """

    seeds: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray


BEST, LAST = "best", "last"
"""Names of a member's policies that are evaluated."""


def write_episodes(
    run: Path, members: Sequence[int], seeds: np.ndarray, played: Mapping[str, Sequence[Evaluation]]
) -> None:
    """Write each reported episode to a run's episodes.jsonl, for paired comparisons of runs.

    Args:
      run: the folder.
      members: the members' seeds.
      seeds: ``[E]`` of the episodes.
      played: by policy (``"best"``, ``"last"``) each member's evaluation on them.
    """
    lines = [
        {
            "policy": policy,
            "member": member,
            "episode": i,
            "seed": int(seed),
            "return": float(result.returns[i]),
            "length": int(result.lengths[i]),
        }
        for policy, results in played.items()
        for member, result in zip(members, results, strict=True)
        for i, seed in enumerate(seeds)
    ]
    path = run / run_folder.EPISODES
    with disk.whole(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))


def read_episodes(run: Path, policy: str = BEST) -> Table:
    """The episodes that a finished run reports; of a rollout, the teacher's.

    Raises:
      UserError: if they are missing or damaged.
    """
    path = run / run_folder.EPISODES
    found: dict[int | None, dict[int, tuple[float, int]]] = {}
    try:
        for text in path.read_text().splitlines():
            line = json.loads(text)
            if line.get("policy", policy) == policy:
                mine = found.setdefault(line.get("member"), {})
                mine[line["seed"]] = (float(line["return"]), int(line["length"]))
    except FileNotFoundError:
        raise UserError(f"{run} has no {run_folder.EPISODES}; make the run anew") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    seeds = sorted(next(iter(found.values()), {}))
    if not seeds or any(sorted(mine) != seeds for mine in found.values()):
        raise UserError(f"{path} is damaged: members without episodes, or with different ones")
    both = np.array([[mine[s] for s in seeds] for mine in found.values()])
    return Table(np.array(seeds), both[..., 0], both[..., 1].astype(np.int64))


def of_episodes(episodes: Sequence[Episode]) -> Evaluation:
    """The returns and lengths of recorded episodes."""
    return Evaluation(
        np.array([e.episode_return for e in episodes]), np.array([e.length for e in episodes])
    )


def pooled(evaluations: Sequence[Evaluation]) -> Evaluation:
    """All members' episodes together."""
    return Evaluation(
        np.concatenate([e.returns for e in evaluations]),
        np.concatenate([e.lengths for e in evaluations]),
    )
