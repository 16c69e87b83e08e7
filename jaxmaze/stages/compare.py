"""Comparison: finished runs to a table and a figure with intervals over seeds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmaze import console, metrics, report, runs
from jaxmaze.errors import UserError

KIND = "compare"
FIGURE = "report/comparison.png"


def labels(folders: Sequence[Path]) -> dict[str, Path]:
    """A short name for each run: its folder's, with the parents' where that is not enough.

    Raises:
      UserError: for the same folder twice.
    """
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise UserError("the same run was given twice")
    depth = 1
    while True:
        names = ["/".join(folder.parts[-depth:]) for folder in resolved]
        if len(set(names)) == len(names):
            return dict(zip(names, folders, strict=True))
        depth += 1


def load(run: Path) -> tuple[dict[str, Any], report.Curve]:
    """A finished run's summary and evaluation curve.

    Raises:
      UserError: if it is not a finished run.
    """
    if not run.is_dir():
        raise UserError(f"{run} is not a folder; give the folders of finished runs")
    if not runs.finished(run):
        if (run / runs.CONFIG).exists():
            raise UserError(
                f"{run} is not finished; go on with python -m jaxmaze.train --resume={run}"
            )
        raise UserError(f"{run} is not a run's folder: it has no {runs.SUMMARY}")
    summary = runs.summary(run)
    if not summary.get("members"):
        raise UserError(f"{run} is a {summary.get('kind')}; give the folders of its bc or ppo runs")
    curve = None
    if summary["kind"] in ("ppo", "dagger"):
        curve = report.curve_of(metrics.read(run), len(summary["members"]))
    if curve is None:
        # Without environment steps of its own (a clone, a teacher) a run is a level.
        means = [m["evaluation"]["mean"] for m in summary["members"]]
        curve = report.Curve(np.zeros(1, int), np.array([means]))
    return summary, curve


def run(
    folders: Mapping[str, Path], workdir: Path, teacher: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Compare finished runs.

    Args:
      folders: runs by the name they are shown under.
      workdir: where the comparison is written.
      teacher: the teacher's evaluation block, for a line in the figure.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: if one of them is not a finished run.
    """
    start = time.perf_counter()
    loaded = {name: load(folder) for name, folder in folders.items()}
    # Made anew from the runs each time, in a moment; never skipped as finished.
    runs.claim(workdir, {"kind": KIND, "runs": sorted(loaded)})
    level = None if teacher is None else float(teacher["mean"])
    arms = {name: report.arm_summary(s, curve, level) for name, (s, curve) in loaded.items()}
    show(arms, teacher)
    fig = report.figure(arms, teacher, "Return on fixed evaluation episodes, IQM and 95 % interval")
    report.save(fig, workdir / FIGURE)
    with metrics.MetricsWriter(workdir) as writer:
        writer.board.add_figure("compare/returns", fig, 0)
    summary: dict[str, Any] = {
        "kind": KIND,
        "env_steps": sum(s["env_steps"] for s, _ in loaded.values()),
        "wall_seconds": time.perf_counter() - start,
        "arms": arms,
    }
    if teacher is not None:
        summary["teacher"] = {"evaluation": dict(teacher)}
    runs.write_json(workdir / runs.SUMMARY, summary)
    console.say(f"figure: {workdir / FIGURE}")
    return summary


def show(arms: Mapping[str, Any], teacher: Mapping[str, Any] | None) -> None:
    """Print the table."""
    level = None if teacher is None else float(teacher["mean"])
    console.table("Returns over seeds on fresh episodes", report.HEADER, report.rows(arms, level))
    if teacher is not None:
        console.say(
            f"teacher: mean return {teacher['mean']:.1f} ± {teacher['std']:.1f} over "
            f"{teacher['episodes']} episodes"
        )
