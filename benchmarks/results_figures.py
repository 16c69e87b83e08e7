"""A finished row's figures: returns, paired differences, dips, and steps to the teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import results_noise
from benchmarks.results_envs import Row
from jaxmaze.config import to_settings
from jaxmaze.envs import environment
from jaxmaze.runs import intervals, outcomes, report, run_folder, trajectories
from jaxmaze.stages import compare

ARMS = {
    "clone": "bc",
    "dagger": "dagger",
    "fine_tuned": "ppo/pretrained",
    "from_scratch": "ppo/from_scratch",
}
"""What is reported, and the folder that it is in."""
DIP = 5.0
"""Percent of the way from random to the teacher: no seed is to dip further below its clone."""


def figures(row: Row, folder: Path, data: str) -> dict[str, Any]:
    """All figures of a row, as the page and its JSON have them.

    Args:
      row: what was asked for.
      folder: the row's, finished.
      data: the folder of the teacher's recorded episodes.
    """
    teacher = compare.Teacher(compare.on_record(folder / "judged"))
    arms = {
        arm: compare.load(folder / place)
        for arm, place in ARMS.items()
        if run_folder.finished(folder / place)
    }
    tuned, scratch = arms["fine_tuned"], arms["from_scratch"]
    taught = teacher(tuned.best.seeds)
    assert taught is not None
    random = float(outcomes.read_episodes(folder / "random").returns.mean())
    span = float(taught.mean()) - random
    on_curve = float(np.mean(teacher(tuned.curve.seeds)))
    steps = {arm: steps_to(arms[arm].curve, on_curve) for arm in ("fine_tuned", "from_scratch")}
    budget = int(tuned.curve.env_steps[-1])
    found: dict[str, Any] = {
        "environment": dict(row.env),
        "env_steps": budget,
        "episodes": len(tuned.best.seeds),
        "teacher": {"about": row.about, "mean": float(taught.mean()), "std": float(taught.std())},
        "random": random,
        "data": _recorded(folder / "bc", data),
        "arms": {arm: _arm(run, taught) for arm, run in arms.items()},
        "gain_on_teacher": _difference(tuned.best.returns, taught),
        "gain_on_scratch": _difference(tuned.best.returns, scratch.best.returns),
        "gain_on_clone": _difference(tuned.best.returns, arms["clone"].best.returns),
        "dip": _dip(tuned.curve, span),
        "dip_with_noise": results_noise.fall(folder / ARMS["fine_tuned"], span, DIP),
        "steps_to_teacher": steps,
        "steps_saved": _saved(steps, budget),
        "curves": {arm: _curve(arms[arm].curve) for arm in ("fine_tuned", "from_scratch")},
        "teacher_on_curve": on_curve,
        "seconds": {
            arm: run_folder.summary(folder / place)["wall_seconds"]
            for arm, place in ARMS.items()
            if arm in arms
        },
        "peers": _peers(folder / "peers"),
    }
    return found | {"targets": targets(row, found)}


def steps_to(curve: report.Curve, level: float) -> int | None:
    """Steps of a seed until the IQM over seeds is at a level at two evaluations in a row.

    (The last one counts alone.) ``None`` if it never is.
    """
    means = intervals.iqm(curve.returns.mean(2), 1)
    at = means >= level
    lasting = at & np.append(at[1:], True)
    return int(curve.env_steps[lasting.argmax()]) if lasting.any() else None


def _saved(steps: dict[str, int | None], budget: int) -> dict[str, Any] | None:
    """How many steps sooner than from scratch; ``at_least`` if from scratch never got there."""
    ours, theirs = steps["fine_tuned"], steps["from_scratch"]
    if ours is None:
        return None
    if theirs is None:
        return {"steps": budget - ours, "at_least": True}
    return {"steps": theirs - ours, "at_least": False}


def _arm(run: report.Arm, taught: np.ndarray) -> dict[str, Any]:
    means = run.best.returns.mean(1)
    return {
        **report.block(intervals.estimate(run.best.returns)),
        "worst": float(means.min()),
        "members": means.tolist(),
        "last": report.block(intervals.estimate(run.last.returns)),
        "gain_on_teacher": _difference(run.best.returns, taught),
    }


def _difference(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """The paired difference on the same episodes, with its 95 % interval."""
    return report.block(intervals.estimate(ours - theirs))


def _dip(curve: report.Curve, span: float) -> dict[str, Any]:
    """How far seeds fell below their clone on the way, in percent of teacher less random."""
    fallen = report.dips(curve)
    assert fallen is not None
    percent = 100 * fallen / span if span > 0 else np.full(len(fallen), np.nan)
    return {
        "sure": int((_at_least(curve, span) > DIP).sum()),
        "mean": float(percent.mean()),
        "worst": float(percent.max()),
        "members": percent.tolist(),
        "episodes": len(curve.seeds),
        "evaluations": len(curve.env_steps),
    }


def _at_least(curve: report.Curve, span: float) -> np.ndarray:
    """By how much seeds ``[M]`` surely fell at their deepest evaluation, in percent.

    The lower end of a one-sided 95 % t interval over that evaluation's paired episodes: with 20,
    a single lost one can be 5 % of the mean.
    """
    fallen = 100 * (curve.returns[0] - curve.returns[1:]) / span
    episodes = fallen.shape[2]
    if episodes < 2 or span <= 0:
        return np.full(fallen.shape[1], np.nan)
    deepest = fallen.mean(2).argmax(0)
    there = fallen[deepest, np.arange(len(deepest))]
    error = there.std(1, ddof=1) / np.sqrt(episodes)
    return np.asarray(there.mean(1) - stats.t.ppf(0.95, episodes - 1) * error)


def _curve(curve: report.Curve) -> dict[str, Any]:
    level = [intervals.estimate(r.mean(1)) for r in curve.returns]
    return {
        "env_steps": curve.env_steps.tolist(),
        "iqm": [e.value for e in level],
        "low": [e.low for e in level],
        "high": [e.high for e in level],
        "members": curve.returns.mean(2).T.tolist(),
    }


def _recorded(clone: Path, data: str) -> dict[str, Any]:
    """The recorded episodes: how many, their return, and the hash over all arrays."""
    info = environment.describe(
        environment.EnvConfig.of(to_settings(run_folder.load_config(clone)).env)
    )
    recorded = trajectories.read(data, info)
    returns = [e.episode_return for e in recorded.episodes]
    about = Path(data).parent / "teacher.json"
    return {
        "episodes": len(returns),
        "steps": recorded.num_steps,
        "mean": float(np.mean(returns)),
        "sha256": recorded.sha256,
        "trained": json.loads(about.read_text()) if about.exists() else None,
    }


def _peers(folder: Path) -> dict[str, Any]:
    """Runs of other libraries, by what they did: the mean return of each seed."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        run = json.loads(path.read_text())
        for what in ("clone", "fine_tuned", "from_scratch"):
            if what in run:
                entry = found.setdefault(what, {"members": [], "about": run["about"]})
                entry["members"].append(run[what]["mean"])
                entry.setdefault("env_steps", run["env_steps"])
    for entry in found.values():
        entry["mean"] = float(np.mean(entry["members"]))
    return found


def targets(row: Row, found: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked for, what came out, and whether that is met."""
    listed = [
        _not_below("not below the teacher", found["gain_on_teacher"]),
        _not_below("not below from scratch", found["gain_on_scratch"]),
        {
            "what": f"no seed dips more than {DIP:.0f} % below its clone",
            "found": f"worst seed {found['dip']['worst']:.1f} %; {found['dip']['sure']} surely",
            "met": bool(found["dip"]["worst"] <= DIP),
        },
    ]
    tuned = found["arms"]["fine_tuned"]
    if row.at_least is not None:
        listed.append(
            {
                "what": f"IQM at least {row.at_least:g}",
                "found": f"{tuned['iqm']:.1f}",
                "met": bool(tuned["iqm"] >= row.at_least),
            }
        )
    if row.worst is not None:
        listed.append(
            {
                "what": f"worst seed at least {row.worst:g}",
                "found": f"{tuned['worst']:.1f}",
                "met": bool(tuned["worst"] >= row.worst),
            }
        )
    if row.within is not None:
        level, steps = row.within
        curve = found["curves"]["fine_tuned"]
        had = [s for s, x in zip(curve["env_steps"], curve["iqm"], strict=True) if x >= level]
        listed.append(
            {
                "what": f"{level:g} within {steps:,} steps",
                "found": f"after {had[0]:,}" if had else "never",
                "met": bool(had and had[0] <= steps),
            }
        )
    return listed


def _not_below(what: str, gain: dict[str, float]) -> dict[str, Any]:
    """Met unless the whole 95 % interval of the difference is below 0."""
    return {"what": what, "found": report.span(gain), "met": bool(gain["iqm_high"] >= 0)}
