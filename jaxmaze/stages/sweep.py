"""A grid of hyper-parameters: each point is a run; PPO's points share one compiled program.

Like the workflow, it calls other stages.
"""

from __future__ import annotations

import time
from pathlib import Path

from jaxmaze import stages
from jaxmaze.config import Settings, sweeps
from jaxmaze.core.types import Json
from jaxmaze.core.words import counted
from jaxmaze.runs import console, metrics, outcomes, run_folder
from jaxmaze.stages import compare
from jaxmaze.training import bc_learner, evaluation

KIND = "sweep"


def run(config: Settings, workdir: Path) -> Json:
    """Run every point of ``config.sweep`` with the stage that the configuration names.

    Each point has a folder of its own in ``workdir``, with all of a run's files, and ``members``
    seeds. Points of a ppo sweep train side by side; those of a bc sweep one after another.

    The points are compared on episodes that serve for nothing else. Only the best point plays the
    test episodes: the best of many points chosen on them would be biased upwards.

    Returns:
      The summary, as in summary.json: ``evaluation`` and ``members`` of the best point on the test
      episodes; all points, as they were judged, under ``points``, and ``arms`` likewise as a
      comparison has them.

    Raises:
      UserError: for a configuration that the stage cannot use.
    """
    if run_folder.claim(workdir, run_folder.identity(config, KIND)):
        summary = metrics.finished_already(workdir, config)
        compare.show(summary["arms"], None, choosing=True)
        return summary
    start = time.perf_counter()
    points = sweeps.grid(config.sweep)
    listed = {name: (_at(config, point), workdir / name) for name, point in points.items()}
    console.say(
        f"sweep: {counted(len(points), 'point')} of {counted(config.members, 'member')} each"
    )
    judged = evaluation.sweep_seeds(config)
    done = stages.run_all(config.stage, listed, judged)
    folders = {name: folder for name, (_, folder) in listed.items()}
    compared = compare.run(folders, workdir / "compare", choosing=True)
    best = max(done, key=lambda name: done[name]["evaluation"]["mean"])
    seeds = evaluation.test_seeds(config)
    tested = evaluation.of_run(listed[best][1], config, seeds)
    outcomes.write_episodes(workdir, bc_learner.member_seeds(config), seeds, {"best": tested})
    evaluated = outcomes.pooled(tested).summary()
    console.say(
        f"best: {best}, mean return {evaluated['mean']:.1f} on the test episodes, which it alone "
        "has played"
    )
    summary = {
        "kind": KIND,
        "env_steps": sum(d["env_steps"] for d in done.values()),
        "wall_seconds": time.perf_counter() - start,
        "evaluation": evaluated,
        "members": [
            {"seed": m["seed"], "env_steps": m["env_steps"], "evaluation": result.summary()}
            for m, result in zip(done[best]["members"], tested, strict=True)
        ],
        "best": best,
        "points": {
            name: {"fields": points[name], "evaluation": d["evaluation"]}
            for name, d in done.items()
        },
        "arms": compared["arms"],
    }
    run_folder.write_json(workdir / run_folder.SUMMARY, summary)
    return summary


def _at(config: Settings, point: Json) -> Settings:
    """The configuration of one point."""
    return config.replace(sweep={}).replace(config.stage, **point)
