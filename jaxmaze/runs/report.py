"""Comparison of runs over seeds: gain on the teacher, and a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxmaze.core.types import Json, JsonMap
from jaxmaze.core.words import counted
from jaxmaze.runs import intervals
from jaxmaze.runs.outcomes import Table

FEW_SEEDS = 5
IN_A_ROW = 2
"""Consecutive evaluations above the teacher needed to have surpassed it."""

Teacher = Callable[[np.ndarray], np.ndarray | None]
"""Seeds ``[E]`` to the teacher's returns ``[E]`` in those episodes; None if it cannot play them."""


class Curve(NamedTuple):
    """Evaluation returns of one arm during training; all evaluations use the same episodes.

    Attributes:
      env_steps: ``[P]`` environment steps per member at each evaluation.
      returns: ``[P, M, E]`` return of each member in each episode.
      seeds: ``[E]`` the episodes.
    """

    env_steps: np.ndarray
    returns: np.ndarray
    seeds: np.ndarray


class Arm(NamedTuple):
    """A finished run in a comparison.

    Attributes:
      summary: its summary.json.
      curve: its evaluations during training.
      best: the policies handed over, on the test episodes.
      last: the policies at the end of training, likewise.
    """

    summary: JsonMap
    curve: Curve
    best: Table
    last: Table


def area(curve: Curve) -> float:
    """Area under the curve of mean returns, divided by its length."""
    mean = curve.returns.mean((1, 2))
    span = curve.env_steps[-1] - curve.env_steps[0]
    if span == 0:
        return float(mean[0])
    return float(np.trapezoid(mean, curve.env_steps) / span)


def dips(curve: Curve) -> np.ndarray | None:
    """Each member's largest drop ``[M]`` below its initial return; None with one evaluation.

    Paired: all evaluations are means over the same episodes. 0 for a member that never dropped.
    """
    if len(curve.returns) < 2:
        return None
    means = curve.returns.mean(2)
    return np.maximum(means[0] - means[1:].min(0), 0.0)


def steps_to(curve: Curve, teacher: np.ndarray) -> int | None:
    """Environment steps per member until the members surpass the teacher; None if they do not.

    That is the first of two consecutive evaluations at which the 95 % interval of the paired
    difference is above 0. A single one could be luck, as there are many evaluations.

    Args:
      curve: of all members, or of one (``returns[:, m : m + 1]``).
      teacher: ``[E]`` its returns in the curve's episodes.
    """
    above = [intervals.estimate(r - teacher).low > 0 for r in curve.returns]
    for i in range(len(above) - IN_A_ROW + 1):
        if all(above[i : i + IN_A_ROW]):
            return int(curve.env_steps[i])
    return None


def block(estimate: intervals.Estimate) -> dict[str, float]:
    """An estimate with its interval, as in summary.json."""
    return {"iqm": estimate.value, "iqm_low": estimate.low, "iqm_high": estimate.high}


def _gain(table: Table, teacher: Teacher | None) -> dict[str, float] | None:
    """The paired difference to the teacher on the same episodes."""
    played = None if teacher is None else teacher(table.seeds)
    return None if played is None else block(intervals.estimate(table.returns - played))


def arm_summary(arm: Arm, teacher: Teacher | None) -> Json:
    """The block of one arm in a comparison's summary.json.

    Intervals of returns and gains cover other seeds and other episodes; those of the curve cover
    other seeds only, because all curves and the teacher share its episodes.
    """
    curve, fallen = arm.curve, dips(arm.curve)
    on_curve = None if teacher is None else teacher(curve.seeds)
    passed, each = None, []
    if on_curve is not None:
        passed = steps_to(curve, on_curve)
        each = [
            steps_to(curve._replace(returns=curve.returns[:, m : m + 1]), on_curve)
            for m in range(curve.returns.shape[1])
        ]
    level = [intervals.estimate(r.mean(1)) for r in curve.returns]
    return {
        **block(intervals.estimate(arm.best.returns)),
        "last": block(intervals.estimate(arm.last.returns)),
        "episodes": len(arm.best.seeds),
        "gain": _gain(arm.best, teacher),
        "last_gain": _gain(arm.last, teacher),
        "area_under_curve": area(curve),
        "dip": None
        if fallen is None
        else {
            "mean": float(fallen.mean()),
            "worst": float(fallen.max()),
            "members": fallen.tolist(),
        },
        "env_steps_to_teacher": passed,
        "env_steps_to_teacher_of_members": each,
        "members": arm.summary["members"],
        "curve": {
            "env_steps": [int(s) for s in curve.env_steps],
            "iqm": [e.value for e in level],
            "low": [e.low for e in level],
            "high": [e.high for e in level],
            "members": curve.returns.mean(2).T.tolist(),
            "episodes": len(curve.seeds),
            "teacher": None if on_curve is None else float(on_curve.mean()),
        },
    }


def teacher_levels(arms: Mapping[str, JsonMap]) -> list[tuple[float, str]]:
    """The teacher's mean return in the episodes of the curves, and what to call it.

    There is one level if all curves share their episodes; else each is told by their number, or,
    where that is the same, by what they are for: runs without steps have played the test's alone.
    """
    found = {a["curve"]["teacher"]: a["curve"] for a in arms.values()}
    found.pop(None, None)
    if len(found) < 2:
        return [(level, "teacher") for level in found]
    levels = sorted(found.items())
    if len({c["episodes"] for c in found.values()}) == len(found):
        return [(level, f"teacher, {counted(c['episodes'], 'episode')}") for level, c in levels]
    what = {True: "evaluation", False: "test"}
    return [(y, f"teacher, {what[len(c['env_steps']) > 1]} episodes") for y, c in levels]


def span(figure: Mapping[str, float] | None) -> str:
    """An estimate with its interval, as shown in tables."""
    if figure is None:
        return "-"
    return f"{figure['iqm']:.1f} [{figure['iqm_low']:.1f}, {figure['iqm_high']:.1f}]"


def reached(arm: JsonMap) -> str:
    """Environment steps until the teacher is surpassed, with the range over seeds if it has one."""
    if arm["curve"]["teacher"] is None or len(arm["curve"]["env_steps"]) < 2:
        return "-"

    def shown(steps: int | None) -> str:
        return "never" if steps is None else f"{steps:,}"

    each = sorted(arm["env_steps_to_teacher_of_members"], key=lambda s: (s is None, s or 0))
    all_seeds = shown(arm["env_steps_to_teacher"])
    if all_seeds == shown(each[0]) == shown(each[-1]) == "never":
        return "never"
    return f"{all_seeds} [{shown(each[0])}, {shown(each[-1])}]"


def rows(arms: Mapping[str, JsonMap]) -> list[tuple[str, ...]]:
    """The comparison's table, one row per arm."""
    return [
        (
            name,
            str(len(a["members"])),
            f"{a['last']['iqm']:.1f}",
            span(a),
            span(a["gain"]),
            "-" if a["dip"] is None else f"{a['dip']['mean']:.1f} / {a['dip']['worst']:.1f}",
            reached(a),
        )
        for name, a in arms.items()
    ]


HEADER = (
    "arm",
    "seeds",
    "last",
    "best: IQM [95 %]",
    "gain on teacher [95 %]",
    "dip: mean / worst",
    "steps to beat teacher",
)


def curve_of(lines: Sequence[JsonMap], seeds: np.ndarray) -> Curve | None:
    """The evaluation curve in a run's metrics, None without evaluations.

    Args:
      lines: of metrics.jsonl.
      seeds: ``[E]`` of the evaluations' episodes.
    """
    points = [(x["step"], x["returns"]) for x in lines if x["split"] == "eval" and "returns" in x]
    if not points:
        return None
    steps, returns = zip(*points, strict=True)
    return Curve(np.array(steps), np.array(returns, np.float64), seeds)
