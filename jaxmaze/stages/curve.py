"""Data efficiency: the clones' return against the number of recorded episodes.

Like the workflow, it calls other stages: each point is a bc run in a folder of its own.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxmaze import stages
from jaxmaze.config import Settings
from jaxmaze.config.fields import names_of
from jaxmaze.config.sections.bc import BC
from jaxmaze.config.sections.curve import Curve
from jaxmaze.core import seeding
from jaxmaze.core.types import Json
from jaxmaze.core.words import agree, counted
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs import (
    console,
    curves,
    disk,
    metrics,
    outcomes,
    run_folder,
    sources,
    splits,
    style,
    trajectories,
)
from jaxmaze.training import bc_learner

KIND = "curve"
NEXT = "to fine-tune a clone of the most episodes, start a ppo run"
FIGURE, TABLE = "report/curve.png", "curve.csv"
DATA = "data"
"""The folder of the episodes that were drawn."""


def run(config: Settings, workdir: Path, reported: np.ndarray | None = None) -> Json:
    """Clone ``config.curve.episodes`` episodes of ``config.bc.data``, each number several times.

    A draw is a random order of all recorded episodes. Its points take the first ones, so that each
    point's episodes contain those of the smaller points. All clones play the same test episodes,
    which are not used for any choice.

    Args:
      config: the configuration.
      workdir: the run's folder; what is finished in it is not done again.
      reported: seeds ``[E]`` of the episodes to report; the test episodes by default.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for data that cannot be used, or are too few.
    """
    if config.bc.data is None:
        raise UserError("config.bc.data is not set; it must be a folder with recorded episodes")
    info = environment.describe(environment.EnvConfig.of(config.env), console.say)
    dataset = sources.read(config.bc, info)
    if dataset.weights is not None:
        raise UserError("config.bc.data_weights are not for curves, which draw from all data alike")
    counts = sorted(config.curve.episodes)
    if counts[-1] > len(dataset.episodes):
        raise UserError(
            f"config.curve.episodes={config.curve.episodes} asks for "
            f"{counted(counts[-1], 'episode')}, but {config.bc.data} has {len(dataset.episodes)}; "
            "record more, or ask for fewer"
        )
    most = _name(counts[-1], 0)
    identity = run_folder.identity(config, KIND, data_sha256=dataset.sha256)
    if run_folder.claim(workdir, identity, hands_over=most):
        summary = metrics.finished_already(workdir, config)
        show(summary)
        return summary
    start = time.perf_counter()
    _note(config, counts)
    points = []
    with console.progress("curve", len(counts) * config.curve.draws) as bar:
        for n in counts:
            parts = []
            for draw in range(config.curve.draws):
                bar.note(f"{counted(n, 'episode')}, draw {draw}")
                parts.append(_clone(config, workdir, dataset, info, n, draw, reported))
                bar.advance()
            points.append(_point(n, parts))
            console.say(
                f"clones of {counted(n, 'episode')}: mean return {points[-1].returns.mean():.1f}"
            )
    summary = _summary(dataset, run_folder.summary(workdir / most), points)
    summary["wall_seconds"] = time.perf_counter() - start
    _draw(workdir, config, points, summary)
    run_folder.write_json(workdir / run_folder.SUMMARY, summary)
    show(summary)
    console.say(f"figure: {workdir / FIGURE}")
    return summary


def _summary(dataset: trajectories.Dataset, last: Json, points: Sequence[curves.Point]) -> Json:
    """The summary, without the time: ``last`` is that of the run that is handed over."""
    return {
        "kind": KIND,
        "env_steps": 0,
        "wall_seconds": 0.0,
        "evaluation": last["evaluation"],
        "members": last["members"],
        "data": {
            "sha256": dataset.sha256,
            "episodes": len(dataset.episodes),
            "steps": dataset.num_steps,
            **dataset.provenance,
        },
        "teacher": {"evaluation": outcomes.of_episodes(dataset.episodes).summary()},
        "points": curves.summary(points),
    }


def _name(episodes: int, draw: int) -> str:
    """The folder of a point's run."""
    return f"episodes={episodes},draw={draw}"


def _note(config: Settings, counts: Sequence[int]) -> None:
    """Print which settings have to differ for few episodes."""
    if counts[0] == 1 and config.bc.validation_percentage > 0:
        console.say(
            "note: one episode leaves none to validate on: its clones are trained for all epochs"
        )


def _clone(
    config: Settings,
    workdir: Path,
    dataset: trajectories.Dataset,
    info: environment.EnvInfo,
    count: int,
    draw: int,
    reported: np.ndarray | None,
) -> tuple[int, tuple[int, ...], np.ndarray]:
    """Clone the first episodes of a draw; returns steps, seeds, and returns ``[M, E]``."""
    order = seeding.generator(config.seed, seeding.CURVE, draw).permutation(len(dataset.episodes))
    # In recorded order, so that all episodes together are the original data set in each draw.
    drawn = np.sort(order[:count])
    episodes = [dataset.episodes[i] for i in drawn]
    folder = workdir / _name(count, draw)
    data = _write(config, workdir, dataset, info, drawn, folder.name)
    wanted = _at(config, dataset, info, episodes, draw, data)
    with console.hushed():
        stages.run_all("bc", {folder.name: (wanted, folder)}, reported)
    table = outcomes.read_episodes(folder)
    return sum(e.length for e in episodes), bc_learner.member_seeds(wanted), table.returns


def _write(
    config: Settings,
    workdir: Path,
    dataset: trajectories.Dataset,
    info: environment.EnvInfo,
    drawn: np.ndarray,
    name: str,
) -> Path:
    """Write the drawn episodes as a data set, so that the point's run is like any other."""
    names = names_of(config.bc.data)
    if len(drawn) == len(dataset.episodes) and len(names) == 1 and not sources.taken_of(config.bc):
        return sources.locate(names[0]).resolve()
    place = workdir / DATA / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        chosen = [
            dataclasses.replace(dataset.episodes[old], index=new) for new, old in enumerate(drawn)
        ]
        origin = {"sha256": dataset.sha256, "episodes": drawn.tolist()}
        with disk.whole(place) as temporary:
            trajectories.write(
                temporary, chosen, info, {**dataset.provenance, "drawn_from": origin}
            )
    return place.resolve()


def _at(
    config: Settings,
    dataset: trajectories.Dataset,
    info: environment.EnvInfo,
    episodes: Sequence[Episode],
    draw: int,
    data: Path,
) -> Settings:
    """The configuration of one point: the user's, adapted to the number of episodes."""
    section = config.bc
    seeded = config.replace(stage="bc", seed=config.seed + draw * config.members)
    lengths = np.array([e.length for e in episodes])
    percentage = _held_out(section.validation_percentage, len(episodes))
    smallest = min(
        int(lengths[~splits.split(len(episodes), percentage, seed)].sum())
        for seed in bc_learner.member_seeds(seeded)
    )
    batch = min(section.batch_size, smallest)
    mean = dataset.num_steps / len(dataset.episodes)
    most = math.ceil(max(config.curve.episodes) * mean / section.batch_size)
    plan, times = bc_learner.plan(section, most, info.spaces.obs.num_pixels > 0), 1.0
    if config.curve.equal_updates:
        times = max(1.0, most / math.ceil(int(lengths.sum()) / batch))
    epochs = round(plan.epochs * times)
    # Evaluations during training are used by nothing but a choice by return.
    every = round(plan.eval_every * times) if section.best_by == "return" else epochs
    usual = BC()
    fields: Json = {name: getattr(usual, name) for name in sources.TAKING}  # already applied
    fields |= {
        "data": str(data),
        "batch_size": batch,
        "validation_percentage": percentage,
        "num_epochs": epochs,
        "patience": round(plan.patience * times),
        "eval_every": every,
    }
    # The curve's own fields are not part of the identity of a point's run.
    return seeded.replace("bc", **fields).replace("curve", **dataclasses.asdict(Curve()))


def _held_out(percentage: float, count: int) -> float:
    """The validation percentage that leaves at least one of ``count`` episodes on each side."""
    if percentage == 0 or count == 1:
        return 0.0
    held_out = math.ceil(count * percentage / 100 - 0.5)
    if 0 < held_out < count:
        return percentage
    return 100 / count * min(max(held_out, 1), count - 1)


def _point(count: int, parts: Sequence[tuple[int, tuple[int, ...], np.ndarray]]) -> curves.Point:
    steps, seeds, returns = zip(*parts, strict=True)
    return curves.Point(count, np.array(steps), np.array(seeds), np.stack(returns))


def _draw(workdir: Path, config: Settings, points: Sequence[curves.Point], summary: Json) -> None:
    """Write the figure, to the folder and to TensorBoard, and the CSV file."""
    draws, members, tested = points[0].returns.shape
    played = (
        f"{counted(draws, 'draw')} × {counted(members, 'seed')}, {tested} test "
        f"{agree(tested, 'episode', 'episodes')} each"
    )
    teacher = summary["teacher"]["evaluation"]["mean"]
    fig, table = curves.figure(summary["points"], teacher, played), curves.table(points)
    style.save(fig, workdir / FIGURE, table)
    style.write_csv(workdir / TABLE, table)
    with metrics.MetricsWriter(workdir, config=config) as writer:
        writer.add_figure("curve/returns", fig, 0)


def show(summary: Json) -> None:
    """Print the table."""
    tested = summary["evaluation"]["episodes"] // len(summary["members"])
    title = f"Returns of clones on {tested} test episodes, by the episodes they were cloned from"
    console.table(title, curves.HEADER, curves.rows(summary["points"]))
    e = summary["teacher"]["evaluation"]
    console.say(
        f"teacher, as recorded: mean return {e['mean']:.1f} ± {e['std']:.1f} over {e['episodes']} "
        "episodes"
    )
