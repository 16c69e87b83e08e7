"""A grid of hyper-parameters: each point a run of its own, PPO's all as one compiled program.

Like the workflow, it calls other stages.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import ml_collections

from jaxmaze import console, runs, sweeps
from jaxmaze.stages import bc, compare, ppo

KIND = "sweep"


def run(config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Any]:
    """Run every point of ``config.sweep`` with the stage that the configuration names.

    Each point has a folder of its own in ``workdir``, with all of a run's files, and ``members``
    seeds. Points of a ppo sweep train side by side; those of a bc sweep one after another.

    Returns:
      The summary, as in summary.json: the best point's by the mean over its seeds' evaluations, all
      points under ``points``, and ``arms`` as a comparison has them.

    Raises:
      UserError: for a configuration that the stage cannot use.
    """
    if runs.claim(workdir, runs.identity(config, KIND)):
        console.say(f"{workdir} is finished already")
        compare.show(runs.summary(workdir)["arms"], None)
        return runs.summary(workdir)
    start = time.perf_counter()
    points = sweeps.grid(config.sweep.to_dict())
    listed = {name: (_at(config, point), workdir / name) for name, point in points.items()}
    console.say(f"sweep: {len(points)} points of {config.members} members each")
    if config.stage == "ppo":
        done = ppo.run_arms(listed)
    else:
        done = {name: bc.run(c, folder) for name, (c, folder) in listed.items()}
    compared = compare.run({name: folder for name, (_, folder) in listed.items()},
                           workdir / "compare")  # fmt: skip
    best = max(done, key=lambda name: done[name]["evaluation"]["mean"])
    console.say(f"best: {best}")
    summary = {
        "kind": KIND,
        "env_steps": sum(d["env_steps"] for d in done.values()),
        "wall_seconds": time.perf_counter() - start,
        "evaluation": done[best]["evaluation"],
        "members": done[best]["members"],
        "best": best,
        "points": {
            name: {"fields": points[name], "evaluation": d["evaluation"]}
            for name, d in done.items()
        },
        "arms": compared["arms"],
    }
    runs.write_json(workdir / runs.SUMMARY, summary)
    return summary


def _at(config: ml_collections.ConfigDict, point: dict[str, Any]) -> ml_collections.ConfigDict:
    """The configuration of one point."""
    changed = copy.deepcopy(config).unlock()
    changed.sweep = ml_collections.ConfigDict()
    with changed[config.stage].ignore_type():
        changed[config.stage].update(point)
    return changed.lock()
