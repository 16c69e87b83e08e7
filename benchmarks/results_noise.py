"""How far the policy that PPO trains, with its noise, fell on the way.

Evaluations act without noise, and what PPO raises is the return with it. Where episodes are all
alike, as Hopper's are, a policy without noise falls over in all of them or in none, and its curve
jumps while that of the training episodes rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from jaxmaze.runs import metrics

EPISODES = 40
"""At least, in a window."""
_KEYS = tuple(f"rollout_stats/{x}" for x in ("episode_count", "reward/mean", "reward/std"))


def fall(run: Path, span: float, limit: float) -> dict[str, Any] | None:
    """Falls of training episodes' returns below those at first, in percent of ``span``.

    The training episodes of a seed are taken in windows of ``EPISODES`` or more, in order. The
    first window is nearly all the clone's; short episodes end first, so it is a little low where
    these are bad. ``None`` where no seed has two windows, or without a span.

    Args:
      run: the folder of PPO's run.
      span: the teacher's return less a random policy's.
      limit: percent; ``sure`` counts seeds whose deepest window is below the first by more, by the
        lower end of a one-sided 95 % interval (Welch's standard error, normal).
    """
    if span <= 0:
        return None
    deepest = [_deepest(*seed) for seed in _windows(run)]
    known = 100 * np.array([x for x in deepest if x is not None]).reshape(-1, 2) / span
    if not len(known):
        return None
    worst, surely = known[:, 0], known[:, 0] - stats.norm.ppf(0.95) * known[:, 1]
    return {
        "mean": float(np.maximum(worst, 0).mean()),
        "worst": float(max(worst.max(), 0)),
        "sure": int((surely > limit).sum()),
        "members": worst.tolist(),
    }


def _windows(run: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and squared standard error ``[W]`` of each seed's windows."""
    segments = [
        _of_segment(entry.get("members", entry))
        for entry in metrics.read(run)
        if entry["split"] == "train" and _KEYS[0] in entry
    ]
    return [_of_seed(seed) for seed in np.array(segments).transpose(2, 0, 1)] if segments else []


def _of_segment(entry: Mapping[str, Any]) -> np.ndarray:
    """Number of episodes, mean and standard deviation ``[3, M]``; NaN where none ended."""
    return np.array([np.atleast_1d(np.array(entry[key], np.float64)) for key in _KEYS])


def _of_seed(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same from a seed's segments ``[T, 3]``."""
    means, errors = [], []
    window = np.zeros(3)  # episodes, sum and sum of squares of returns
    for count, mean, deviation in np.nan_to_num(segments):
        window += np.array([count, count * mean, count * (mean**2 + deviation**2)])
        if window[0] >= EPISODES:
            average = window[1] / window[0]
            variance = max(window[2] / window[0] - average**2, 0)
            means.append(average)
            errors.append(variance / (window[0] - 1))
            window = np.zeros(3)
    return np.array(means), np.array(errors)


def _deepest(means: np.ndarray, errors: np.ndarray) -> tuple[float, float] | None:
    """The deepest fall below the first window, and its standard error."""
    if len(means) < 2:
        return None
    fallen = means[0] - means[1:]
    at = int(fallen.argmax())
    return float(fallen[at]), float(np.sqrt(errors[0] + errors[1 + at]))
