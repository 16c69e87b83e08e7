"""A run's logs: metrics.jsonl for programs and TensorBoard for people, from one call."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from jaxmaze.core.types import Json
from jaxmaze.runs import disk, run_folder
from jaxmaze.runs.board import Board

_NOT_SCALARS = ("step", "split", "members", "returns")


class MetricsWriter:
    """Appends to a run's metrics.jsonl and to its TensorBoard events.

    A line is ``{"step", "split", "<group>/<name>": mean over members, "members": {name: [M
    values]}}``, and for an evaluation ``"returns"`` ``[M, E]``; TensorBoard's tag is
    ``<split>/<group>/<name>``.
    """

    def __init__(self, run: Path, resume_step: int | None = None):
        """Open a run's logs.

        Args:
          run: the run's folder.
          resume_step: lines after this step are dropped, because they will be logged again; None
            starts new logs.
        """
        self._path = run / run_folder.METRICS
        kept = (
            []
            if resume_step is None
            else [line for line in _lines(self._path) if json.loads(line)["step"] <= resume_step]
        )
        # A crash may have cut off TensorBoard's file: it is rebuilt from metrics.jsonl.
        for events in run.glob("events.out.tfevents.*"):
            events.unlink()
        with disk.whole(self._path) as temporary:  # safe against a second crash
            temporary.write_text("".join(line + "\n" for line in kept))
        self._file = self._path.open("a")
        self.board = Board(run)
        for line in map(json.loads, kept):
            for name, value in line.items():
                if name not in _NOT_SCALARS:
                    self.board.add_scalar(f"{line['split']}/{name}", value, line["step"])

    def write(
        self,
        step: int,
        split: str,
        group: str,
        values: Mapping[str, ArrayLike],
        returns: np.ndarray | None = None,
    ) -> None:
        """Log one step's figures.

        Args:
          step: environment steps per member (PPO) or epochs (BC) so far.
          split: ``"train"`` or ``"eval"``.
          group: ``"imitation"``, ``"rollout_stats"``, ``"ppo"``.
          values: scalars, or ``[M]`` values, one per member (NaN where a member has none).
          returns: ``[M, E]`` of an evaluation's episodes, kept in the line (not in TensorBoard) so
            that they can be compared with others' episode by episode.
        """
        line: Json = {"step": int(step), "split": split}
        members: dict[str, list[float | None]] = {}
        for name, value in values.items():
            each = np.atleast_1d(np.asarray(value, np.float64))
            known = each[np.isfinite(each)]
            if not len(known):
                continue
            mean = float(known.mean())
            line[f"{group}/{name}"] = mean
            if len(each) > 1:
                members[f"{group}/{name}"] = [float(x) if math.isfinite(x) else None for x in each]
            self.board.add_scalar(f"{split}/{group}/{name}", mean, step)
        if members:
            line["members"] = members
        if returns is not None:
            line["returns"] = returns.tolist()
        self._file.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Put everything logged so far on disk."""
        self._file.flush()
        self.board.flush()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()
        self.board.close()

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lines(path: Path) -> Iterable[str]:
    """The complete lines of a log; a last line cut off by a crash is left out."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            json.loads(line)
        except json.JSONDecodeError:
            return
        yield line


def read(run: Path) -> list[Json]:
    """All lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in _lines(run / run_folder.METRICS)]


def rollout_stats(returns: Sequence[float], lengths: Sequence[float]) -> dict[str, float]:
    """Statistics of episodes under Maze's names; empty without episodes.

    Args:
      returns: undiscounted return of each episode.
      lengths: steps of each episode.
    """
    if not len(returns):
        return {}
    r, n = np.asarray(returns, np.float64), np.asarray(lengths)
    return {
        "reward/mean": float(r.mean()),
        "reward/std": float(r.std()),
        "reward/min": float(r.min()),
        "reward/max": float(r.max()),
        "reward/median": float(np.median(r)),
        "median_step_count": float(np.median(n)),
        "mean_step_count": float(n.mean()),
        "total_step_count": float(n.sum()),
        "episode_count": float(len(r)),
    }


def per_member(stats: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Members' statistics as ``[M]`` arrays by name; NaN for members without any."""
    names = {name: None for s in stats for name in s}
    return {n: np.array([s.get(n, math.nan) for s in stats]) for n in names}
