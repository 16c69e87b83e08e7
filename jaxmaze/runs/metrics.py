"""A run's metrics: metrics.jsonl for programs, TensorBoard and services for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike

from jaxmaze import config as config_lib
from jaxmaze.config import Settings
from jaxmaze.config.sections.ppo import policy_rate, segment_steps
from jaxmaze.core.types import Json
from jaxmaze.runs import console, disk, run_folder, sender, trackers
from jaxmaze.runs.board import Board
from jaxmaze.runs.sender import Sender
from jaxmaze.runs.trackers import About, Histogram, Point, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOT_SCALARS = ("step", "split", "members", "returns")
RETURN, ALSO = "rollout_stats/reward/mean", "return"
"""A figure that people look for by another name."""


class Writer(Protocol):
    """Where metrics go besides metrics.jsonl: TensorBoard, or a service."""

    def line(self, points: Sequence[Point]) -> None:
        """Take the points of the next line of metrics.jsonl."""

    def value(self, tag: str, value: Value, step: int) -> None:
        """Take a histogram or a picture, which metrics.jsonl does not have."""

    def flush(self) -> None:
        """Put everything on its way."""

    def close(self) -> None:
        """Flush and close."""


class MetricsWriter:
    """Appends to a run's metrics.jsonl, and passes on to where ``config.tracking.to`` says.

    A line is ``{"step", "split", "<group>/<name>": mean over members, "members": {name: [M
    values]}}``, and for an evaluation ``"returns"`` ``[M, E]``; elsewhere the tag is
    ``<split>/<group>/<name>``, and the mean return is ``<split>/return`` too.
    """

    def __init__(
        self,
        run: Path,
        resume_step: int | None = None,
        config: Settings | None = None,
        sections: Sequence[str] = (),
    ):
        """Open a run's logs.

        Args:
          run: the run's folder.
          resume_step: lines after this step are dropped, because they will be logged again; None
            starts new logs.
          config: says where metrics go; TensorBoard without it.
          sections: those of the configuration that the run is made with, for TensorBoard's table of
            hyper-parameters.
        """
        self._path = run / run_folder.METRICS
        kept = (
            []
            if resume_step is None
            else [line for line in _lines(self._path) if json.loads(line)["step"] <= resume_step]
        )
        with disk.whole(self._path) as temporary:  # safe against a second crash
            temporary.write_text("".join(line + "\n" for line in kept))
        self._file = self._path.open("a")
        self._writers: list[Writer] = []
        if config is None or trackers.BUILT_IN in config.tracking.to:
            board = Board(run, resume_step)
            if config is not None and sections:
                board.hparams(_hparams(config, sections))
            self._writers.append(board)
        if config is not None:
            about = _about(run, config)
            self._writers += [Sender(name, about) for name in trackers.services(config.tracking)]
        for line in kept:
            self._pass_on(json.loads(line))

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
          returns: ``[M, E]`` of an evaluation's episodes, kept in the line (and nowhere else) so
            that they can be compared with others' episode by episode.
        """
        line: Json = {"step": int(step), "split": split}
        members: dict[str, list[float | None]] = {}
        for name, value in values.items():
            each = np.atleast_1d(np.asarray(value, np.float64))
            known = each[np.isfinite(each)]
            if not len(known):
                continue
            line[f"{group}/{name}"] = float(known.mean())
            if len(each) > 1:
                members[f"{group}/{name}"] = [float(x) if math.isfinite(x) else None for x in each]
        if members:
            line["members"] = members
        if returns is not None:
            line["returns"] = returns.tolist()
        self._file.write(json.dumps(line) + "\n")
        self._pass_on(line)

    def _pass_on(self, line: Json) -> None:
        points = _points(line)
        for writer in self._writers:
            writer.line(points)

    def add_histogram(self, tag: str, histogram: Histogram, step: int) -> None:
        """Log a histogram; it is not in metrics.jsonl."""
        for writer in self._writers:
            writer.value(tag, histogram, step)

    def add_figure(self, tag: str, figure: Figure, step: int) -> None:
        """Log a matplotlib figure as a picture; it is not in metrics.jsonl."""
        from tensorboardX import utils

        picture = np.moveaxis(utils.figure_to_image(figure), 0, 2)
        for writer in self._writers:
            writer.value(tag, picture, step)

    def flush(self) -> None:
        """Put everything logged so far on disk."""
        self._file.flush()
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()
        for writer in self._writers:
            writer.close()

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def finished_already(run: Path, config: Settings) -> Json:
    """What comes of starting a finished run again: its summary.

    Services that ``config`` names are handed what they lack of its metrics.jsonl and those below
    it: one may have failed at the end, or was not named then.
    """
    for path in sorted(run.rglob(run_folder.METRICS)):
        _catch_up(path, config)
    console.say(f"{run} is finished already")
    return run_folder.summary(run)


def _catch_up(path: Path, config: Settings) -> None:
    """Open the services that lack lines of a metrics.jsonl, and hand it over."""
    lines, run = list(_lines(path)), path.parent
    for name in trackers.services(config.tracking):
        if sender.lines_sent(run, name) < len(lines):
            about = _about(run, config)
            writer = Sender(name, about._replace(config=run_folder.read_config(run)["config"]))
            for line in lines:
                writer.line(_points(json.loads(line)))
            writer.close()


def _points(line: Json) -> list[Point]:
    """The scalars of a line, under the tags that they have elsewhere."""
    step, split = line["step"], line["split"]
    points = [Point(step, f"{split}/{k}", x) for k, x in line.items() if k not in _NOT_SCALARS]
    if RETURN in line:
        points.append(Point(step, f"{split}/{ALSO}", line[RETURN]))
    return points


def _hparams(config: Settings, sections: Sequence[str]) -> Json:
    """By dotted name: what the environment is, seeds, and the fields of some sections."""
    values = config_lib.to_dict(config)
    env, ppo = values["env"], values["ppo"]
    assert isinstance(env, dict) and isinstance(ppo, dict)
    # What a rule sets is shown as what it came to.
    ppo |= {"num_steps": segment_steps(config.ppo), "learning_rate": policy_rate(config.ppo)}
    chosen = {name: values[name] for name in ("seed", "members", *sections)}
    return trackers.flat({"env": {name: env[name] for name in ("id", "kwargs")}, **chosen})


def _about(run: Path, config: Settings) -> About:
    """What services are told: a run within another's folder is a part of that one's group."""
    run = run.resolve()
    within = [p for p in run.parents if (p / run_folder.CONFIG).is_file()]
    whole = within[-1] if within else run
    group = "/".join(whole.parts[-2:])
    name = "/".join((*whole.parts[-2:], *run.relative_to(whole).parts))
    return About(run, name, group, config.tracking.project, config_lib.to_dict(config))


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
