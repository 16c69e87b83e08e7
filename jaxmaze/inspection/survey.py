"""One pass over recorded episodes that collects the statistics for all checks.

Memory holds one episode at a time, a few numbers per step (hashes, the action), and a sample of the
observations, independent of their size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.envs.episodes import Episode
from jaxmaze.envs.leaves import Leaf
from jaxmaze.inspection.hashing import row_hashes
from jaxmaze.inspection.recordings import Recorded, Recordings, Unreadable
from jaxmaze.runs import trajectories

SAMPLE = 20_000
"""Number of steps in the sample of observations."""
FEATURES = 256
"""Values of an array up to which each is a feature; of larger arrays, e.g. images, the mean."""
ACTIONS = 64
"""Largest number of action dimensions that are checked."""
ENDS = ("terminated", "truncated", "both", "no end flag")
_END = {(True, False): 0, (False, True): 1, (True, True): 2, (False, False): 3}


class Column(NamedTuple):
    """One dimension of an action.

    Attributes:
      name: for display.
      discrete: whether it is one of a few choices.
      low: the smallest value allowed.
      high: the largest.
    """

    name: str
    discrete: bool
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Survey:
    """Statistics of a data set: ``E`` complete episodes, ``N`` steps, ``F`` features.

    Attributes:
      problems: incomplete episodes and why, one line each.
      broken: the number of those.
      index: ``[E]`` the complete episodes' numbers in the data set.
      seeds: ``[E]`` reset seeds; None where unknown.
      returns: ``[E]``.
      lengths: ``[E]``.
      ends: ``[E]`` index into ``ENDS``.
      not_finite: counts of NaN or infinite values, by array.
      not_finite_in: episodes with such values.
      episode_hashes: ``[E]`` of observations and actions.
      state_hashes: ``[N]`` of the observation of each step.
      step_hashes: ``[N]`` of observation, action and next observation.
      actions: ``[N, A]`` the targets of cloning: the labels, where an episode has them.
      columns: ``[A]`` a description of each action dimension.
      labelled: episodes with labels.
      features: ``[F]`` names of the observation's features.
      whole_features: whether the features are the complete observation.
      means: ``[E, F]`` of each feature in each episode.
      lowest: ``[F]`` of each feature.
      highest: ``[F]``.
      stds: ``[F]``.
      sample: ``[S]`` steps, as indices into the ``N``.
      sampled: ``[S, F]`` their features.
      sha256: as ``trajectories.fingerprint``; None if it cannot be computed.
    """

    problems: list[str]
    broken: int
    index: np.ndarray
    seeds: list[int | None]
    returns: np.ndarray
    lengths: np.ndarray
    ends: np.ndarray
    not_finite: Mapping[str, int]
    not_finite_in: int
    episode_hashes: np.ndarray
    state_hashes: np.ndarray
    step_hashes: np.ndarray
    actions: np.ndarray
    columns: list[Column]
    labelled: int
    features: list[str]
    whole_features: bool
    means: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    stds: np.ndarray
    sample: np.ndarray
    sampled: np.ndarray
    sha256: str | None

    @property
    def episode_of(self) -> np.ndarray:
        """``[N]`` the episode of each step, as an index into the ``E``."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def problem(found: Recorded, recordings: Recordings) -> str:
    """What is wrong with the layout of an episode, in words; empty if it is complete."""
    steps = len(found.rewards) if found.rewards.ndim == 1 else -1
    if steps < 1:
        return "it has no steps" if steps == 0 else "its rewards are no list of numbers"
    parts = [
        ("observations", found.observations, recordings.observations, steps + 1),
        ("actions", found.actions, recordings.actions, steps),
        ("labels", found.labels or {}, recordings.actions if found.labels else [], steps),
        *((k, {"": getattr(found, k)}, [], steps) for k in ("terminations", "truncations")),
    ]
    for name, arrays, leaves, count in parts:
        wanted = {leaf.name: leaf.shape for leaf in leaves}
        for key, array in arrays.items():
            called = f"{name} {key}".strip()
            if array.dtype.kind not in "biuf":
                return f"its {called} are of type {array.dtype}, which are not numbers"
            if array.ndim < 1 or len(array) != count:
                length = len(array) if array.ndim else 0
                return (
                    f"it has {length} {called} for {steps} rewards; T steps need T + 1 "
                    "observations and T of the rest"
                )
            if key in wanted and array.shape[1:] != wanted[key]:
                return f"its {called} have shape {array.shape[1:]}, but the space {wanted[key]}"
        if leaves and set(wanted) != set(arrays):
            return f"its {name} have the parts {sorted(arrays)}, but the space {sorted(wanted)}"
    over = found.terminations.astype(bool) | found.truncations.astype(bool)
    return "it goes on after its end" if over[:-1].any() else ""


def take(recordings: Recordings, advance: Callable[[], None] = lambda: None) -> Survey:
    """Survey all episodes.

    Args:
      recordings: the data set.
      advance: called after each episode.
    """
    surveyor = _Surveyor(recordings)
    for found in recordings:
        if isinstance(found, Unreadable):
            surveyor.broken(found.index, f"it cannot be read ({found.why})")
        elif wrong := problem(found, recordings):
            surveyor.broken(found.index, wrong)
        else:
            surveyor.add(found)
        advance()
    return surveyor.result()


class _Surveyor:
    """Accumulates the statistics of episodes."""

    def __init__(self, recordings: Recordings) -> None:
        self._problems: list[str] = []
        self._rows: list[Json] = []
        self._steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._not_finite: Counter[str] = Counter()
        self._not_finite_in = 0
        self._labelled = 0
        self._digest, self._hashed = hashlib.sha256(), True
        self._observations = recordings.observations
        self._features = [n for leaf in recordings.observations for n in _names(leaf, "obs")]
        self._leaves = recordings.actions
        self._columns = [c for leaf in recordings.actions for c in _action_columns(leaf)]
        self._moments = _Moments(len(self._features))
        self._sample = _Sample(SAMPLE)

    def broken(self, index: int, why: str) -> None:
        """Add an incomplete episode."""
        self._problems.append(f"episode {index}: {why}")

    def add(self, e: Recorded) -> None:
        """Add a complete episode."""
        steps = len(e.rewards)
        rewards = e.rewards.astype(np.float64)
        self._count_not_finite(e)
        taught = e.actions if e.labels is None else e.labels
        self._labelled += e.labels is not None
        features = _columns(e.observations, self._observations, steps + 1)
        means = self._moments.add(features)
        numbers = [taught[leaf.name].reshape(steps, -1)[:, :ACTIONS] for leaf in self._leaves]
        actions = _together(numbers, steps)[:, :ACTIONS].astype(np.float32)
        now = row_hashes([x[:-1] for x in e.observations.values()], steps)
        after = row_hashes([x[1:] for x in e.observations.values()], steps)
        done = row_hashes(taught.values(), steps)
        step = row_hashes([now, done, after], steps)
        self._steps.append((now, step, actions))
        self._sample.add(features[:-1])
        terminated, truncated = bool(e.terminations[-1]), bool(e.truncations[-1])
        self._rows.append(
            {
                "index": e.index,
                "seed": e.seed,
                "return": float(rewards.sum()),
                "length": steps,
                "end": _END[terminated, truncated],
                "hash": int(row_hashes([np.concatenate([step, after[-1:]])[None]], 1)[0]),
                "means": means,
            }
        )
        self._fingerprint(e, rewards, terminated)

    def _count_not_finite(self, e: Recorded) -> None:
        listed = [("observations", x) for x in e.observations.values()]
        listed += [("actions", x) for x in e.actions.values()]
        listed += [("labels", x) for x in (e.labels or {}).values()]
        any_here = False
        for name, array in (*listed, ("rewards", e.rewards)):
            if np.issubdtype(array.dtype, np.inexact):
                count = array.size - int(np.isfinite(array).sum())
                if count:
                    self._not_finite[name] += count
                    any_here = True
        self._not_finite_in += any_here

    def _fingerprint(self, e: Recorded, rewards: np.ndarray, terminated: bool) -> None:
        if not isinstance(e.taken, np.ndarray):
            self._hashed = False
            return
        labels = None if e.labels is None else next(iter(e.labels.values()))
        episode = Episode(e.index, e.seed, e.seen, e.taken, rewards, terminated, labels)
        trajectories.add_to_fingerprint(self._digest, episode)

    def result(self) -> Survey:
        """The survey of all episodes added."""
        rows, moments = self._rows, self._moments
        columns = self._columns[:ACTIONS]
        none = np.zeros(0, np.uint64)
        listed = self._steps or [(none, none, np.zeros((0, len(columns)), np.float32))]
        states, steps, actions = (np.concatenate(x) for x in zip(*listed, strict=True))
        sample, sampled = self._sample.result(len(self._features))
        return Survey(
            problems=self._problems,
            broken=len(self._problems),
            index=np.array([r["index"] for r in rows], int),
            seeds=[r["seed"] for r in rows],
            returns=np.array([r["return"] for r in rows], np.float64),
            lengths=np.array([r["length"] for r in rows], int),
            ends=np.array([r["end"] for r in rows], int),
            not_finite=dict(self._not_finite),
            not_finite_in=self._not_finite_in,
            episode_hashes=np.array([r["hash"] for r in rows], np.uint64),
            state_hashes=states,
            step_hashes=steps,
            actions=actions,
            columns=columns,
            labelled=self._labelled,
            features=self._features,
            whole_features=all(math.prod(x.shape) <= FEATURES for x in self._observations),
            means=np.array([r["means"] for r in rows]).reshape(len(rows), len(self._features)),
            lowest=moments.lowest,
            highest=moments.highest,
            stds=moments.stds(),
            sample=sample,
            sampled=sampled,
            sha256=self._digest.hexdigest() if self._hashed and not self._problems else None,
        )


def _names(leaf: Leaf, default: str) -> list[str]:
    """The names of an array's features."""
    name = leaf.name or default
    if not leaf.shape:
        return [name]
    if math.prod(leaf.shape) > FEATURES:
        return [f"mean of {name}"]
    return [f"{name}[{','.join(map(str, i))}]" for i in np.ndindex(*leaf.shape)]


def _action_columns(leaf: Leaf) -> list[Column]:
    """Descriptions of an action's dimensions, up to ``ACTIONS``."""
    low, high = (np.asarray(x, np.float64).reshape(-1)[:ACTIONS] for x in (leaf.low, leaf.high))
    name = leaf.name or "action"
    names = [name] if not leaf.shape else [f"{name}[{i}]" for i in range(len(low))]
    return [
        Column(n, leaf.discrete, float(a), float(b))
        for n, a, b in zip(names, low, high, strict=True)
    ]


def _columns(arrays: Mapping[str, np.ndarray], leaves: Sequence[Leaf], count: int) -> np.ndarray:
    """The features ``[count, F]`` of observations."""
    columns = []
    for leaf in leaves:
        rows = arrays[leaf.name].reshape(count, -1)
        large = rows.shape[1] > FEATURES
        columns.append(rows.mean(1, keepdims=True, dtype=np.float64) if large else rows)
    return _together(columns, count)


def _together(columns: Sequence[np.ndarray], count: int) -> np.ndarray:
    if not columns:
        return np.zeros((count, 0))
    return np.concatenate([x.astype(np.float64) for x in columns], 1)


class _Moments:
    """Range and standard deviation of each feature over all finite values."""

    def __init__(self, width: int) -> None:
        self.lowest, self.highest = np.full(width, np.inf), np.full(width, -np.inf)
        self._count, self._mean, self._square = np.zeros(width), np.zeros(width), np.zeros(width)

    def add(self, x: np.ndarray) -> np.ndarray:
        """Add rows ``[n, F]``; returns their means ``[F]``, NaN where none is finite."""
        finite = np.isfinite(x)
        count = finite.sum(0)
        filled = np.where(finite, x, 0.0)
        mean = filled.sum(0) / np.maximum(count, 1)
        square = (np.where(finite, x - mean, 0.0) ** 2).sum(0)
        # Chan et al. (1983): combine the moments of two parts, without cancellation.
        total = self._count + count
        delta = mean - self._mean
        share = count / np.maximum(total, 1)
        self._square += square + delta**2 * self._count * share
        self._mean += delta * share
        self._count = total
        self.lowest = np.minimum(self.lowest, np.where(finite, x, np.inf).min(0))
        self.highest = np.maximum(self.highest, np.where(finite, x, -np.inf).max(0))
        return np.where(count > 0, mean, np.nan)

    def stds(self) -> np.ndarray:
        """``[F]`` standard deviations."""
        return np.sqrt(self._square / np.maximum(self._count, 1))


class _Sample:
    """A uniform sample of the rows of a stream of arrays."""

    def __init__(self, size: int) -> None:
        self._size, self._seen = size, 0
        self._rng = np.random.default_rng(0)
        self._limit = np.inf
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._kept = 0

    def add(self, rows: np.ndarray) -> None:
        """Add rows ``[n, F]``."""
        keys = self._rng.random(len(rows))
        kept = np.flatnonzero(keys < self._limit)
        self._parts.append((keys[kept], self._seen + kept, rows[kept]))
        self._seen += len(rows)
        self._kept += len(kept)
        if self._kept > 2 * self._size:
            self._shrink()

    def _shrink(self) -> None:
        """Keep the rows with the smallest random keys, a uniform sample of all so far."""
        keys, index, rows = (np.concatenate(x) for x in zip(*self._parts, strict=True))
        if len(keys) > self._size:
            best = np.argpartition(keys, self._size)[: self._size]
            keys, index, rows = keys[best], index[best], rows[best]
            self._limit = keys.max()
        self._parts, self._kept = [(keys, index, rows)], len(keys)

    def result(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices ``[S]`` in step order, and their rows ``[S, F]``."""
        if not self._parts:
            return np.zeros(0, int), np.zeros((0, width))
        self._shrink()
        _, index, rows = self._parts[0]
        order = np.argsort(index)
        return index[order], rows[order]
