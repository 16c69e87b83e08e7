"""Curves over seeds: interquartile means with intervals, a table and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
COLOURS = {"pretrained": "C0", "from_scratch": "C1", "pretrained_lr0": "C2", "random_lr0": "C3"}


class Curve(NamedTuple):
    """Evaluation returns of one arm on the way.

    Attributes:
      env_steps: ``[P]`` environment steps a member at each evaluation.
      returns: ``[P, M]`` mean return of each member.
    """

    env_steps: np.ndarray
    returns: np.ndarray


def iqm(x: np.ndarray) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter.

    Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice".
    With fewer than four values nothing is cut and it is the mean.
    """
    from scipy import stats

    return float(stats.trim_mean(np.asarray(x, np.float64), 0.25))


def interval(x: np.ndarray) -> tuple[float, float]:
    """A 95 % percentile-bootstrap interval of the interquartile mean over seeds ``[M]``."""
    from scipy import stats

    x = np.asarray(x, np.float64)
    if len(x) < 2 or np.ptp(x) == 0:
        return float(x.min()), float(x.max())
    result = stats.bootstrap(
        (x,),
        lambda sample, axis: stats.trim_mean(sample, 0.25, axis=axis),
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def area(curve: Curve) -> float:
    """Area under the curve of mean returns, divided by its length: the mean return on the way."""
    mean = curve.returns.mean(1)
    span = curve.env_steps[-1] - curve.env_steps[0]
    if span == 0:
        return float(mean[0])
    return float(np.trapezoid(mean, curve.env_steps) / span)


def steps_to(curve: Curve, target: float) -> int | None:
    """Environment steps a member when the interquartile mean first reaches a target, or None."""
    for step, returns in zip(curve.env_steps, curve.returns, strict=True):
        if iqm(returns) >= target:
            return int(step)
    return None


def arm_summary(summary: Mapping[str, Any], curve: Curve, teacher: float | None) -> dict[str, Any]:
    """The block of one arm in a comparison's summary.json."""
    best = np.array([m["evaluation"]["mean"] for m in summary["members"]])
    last = np.array([m.get("last", m["evaluation"])["mean"] for m in summary["members"]])
    low, high = interval(best)
    last_low, last_high = interval(last)
    bounds = [interval(r) for r in curve.returns]
    return {
        "iqm": iqm(best),
        "iqm_low": low,
        "iqm_high": high,
        "last": {"iqm": iqm(last), "iqm_low": last_low, "iqm_high": last_high},
        "area_under_curve": area(curve),
        "env_steps_to_teacher": None if teacher is None else steps_to(curve, teacher),
        "members": summary["members"],
        "curve": {
            "env_steps": [int(s) for s in curve.env_steps],
            "iqm": [iqm(r) for r in curve.returns],
            "low": [b[0] for b in bounds],
            "high": [b[1] for b in bounds],
        },
    }


def rows(arms: Mapping[str, Mapping[str, Any]], teacher: float | None) -> list[tuple[str, ...]]:
    """The comparison's table, one row an arm."""

    def span(block: Mapping[str, Any]) -> str:
        return f"{block['iqm']:.1f} [{block['iqm_low']:.1f}, {block['iqm_high']:.1f}]"

    def steps(block: Mapping[str, Any]) -> str:
        reached = block["env_steps_to_teacher"]
        return "never" if reached is None else f"{reached:,}"

    return [
        (name, str(len(a["members"])), span(a["last"]), span(a), f"{a['area_under_curve']:.1f}",
         steps(a) if teacher is not None else "-")
        for name, a in arms.items()
    ]  # fmt: skip


HEADER = ("arm", "seeds", "final: IQM [95 %]", "best: IQM [95 %]", "area", "env steps to teacher")


def figure(
    arms: Mapping[str, Mapping[str, Any]], teacher: Mapping[str, Any] | None, title: str
) -> Any:
    """Returns against environment steps: a line and a band an arm, and the teacher."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.add_subplot()
    longest = max(a["curve"]["env_steps"][-1] for a in arms.values())
    for i, (name, arm) in enumerate(arms.items()):
        curve, colour = arm["curve"], COLOURS.get(name, f"C{i % 10}")
        steps = curve["env_steps"]
        if len(steps) == 1:
            axes.axhline(curve["iqm"][0], color=colour, label=name)
            axes.axhspan(curve["low"][0], curve["high"][0], color=colour, alpha=0.15, lw=0)
            continue
        axes.plot(steps, curve["iqm"], color=colour, label=name)
        axes.fill_between(steps, curve["low"], curve["high"], color=colour, alpha=0.2, lw=0)
    if teacher is not None:
        axes.axhline(teacher["mean"], color="black", ls="--", lw=1, label="teacher")
    axes.set(xlabel="environment steps a seed", ylabel="evaluation return", title=title)
    axes.set_xlim(0, max(longest, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    axes.ticklabel_format(axis="x", style="plain")
    return fig


def curve_of(lines: Sequence[Mapping[str, Any]], members: int) -> Curve | None:
    """The evaluation curve in a run's metrics, None without evaluations."""
    name = "rollout_stats/reward/mean"
    points = [
        (line["step"], line.get("members", {}).get(name, [line[name]] * members))
        for line in lines
        if line["split"] == "eval" and name in line
    ]
    if not points:
        return None
    returns = np.array([[math.nan if v is None else v for v in p[1]] for p in points])
    return Curve(np.array([p[0] for p in points]), returns)


def save(fig: Any, path: Path) -> None:
    """Write a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=150)
