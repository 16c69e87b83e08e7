"""Replaying recorded actions from the recorded seeds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from jaxmaze import trust
from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs import environment
from jaxmaze.envs.leaves import arrays_of
from jaxmaze.errors import UserError

ROUNDING = 1e-5
"""Relative and absolute tolerance for differences between machines and versions."""


class Source(NamedTuple):
    """A way to make an environment.

    Attributes:
      name: the environment's name.
      make: a function that makes one, given a render mode or None.
    """

    name: str
    make: Callable[[str | None], gym.Env]


@dataclasses.dataclass(frozen=True)
class Replay:
    """The result of replaying an episode.

    Attributes:
      index: the episode's index.
      steps: number of steps that were played.
      differs_at: the first observation that differs (0: after the reset); None if none does.
      difference: the largest difference between finite numbers.
      rewards_differ: whether any reward differs.
      error: message of the exception that the environment raised; empty if none.
    """

    index: int
    steps: int
    differs_at: int | None
    difference: float
    rewards_differ: bool
    error: str = ""

    @property
    def same(self) -> bool:
        """Whether the replay equals the recording, up to rounding."""
        return self.differs_at is None and not self.rewards_differ and not self.error


def source_of(config: environment.EnvConfig) -> Source:
    """The environment of a configuration."""
    return Source(config.id, lambda render_mode: environment.make(config, render_mode))


def source_in_data(text: object, trusted: bool) -> Source:
    """The environment that a data set names.

    Without trust, only environments that are already registered in this process are made: anything
    else would import code chosen by the author of the data.

    Args:
      text: gymnasium's specification as JSON, as Minari stores it.
      trusted: whether code that it names may be imported.

    Raises:
      UserError: if it names no environment, or one that may not or cannot be made.
    """
    if not isinstance(text, str):
        raise UserError("the data name no environment; give one with --config")
    try:
        found = json.loads(text)
        name = found["id"]
        kwargs = {k: v for k, v in (found.get("kwargs") or {}).items() if k != "render_mode"}
        if not isinstance(name, str):
            raise TypeError(name)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError("the data's environment is not JSON; give one with --config") from None
    wrapped = bool(found.get("additional_wrappers"))
    known = name in gym.registry and not wrapped and ":" not in json.dumps(list(_texts(kwargs)))
    if not known and not trusted:
        raise UserError(
            f"the data name an environment whose code would be imported ({name}, "
            f"{found.get('entry_point')}): if you trust whoever made them, say so with --trust (in "
            "Python: trust=True), or give the environment with --config"
        )
    if name in gym.registry and not wrapped:
        limit = found.get("max_episode_steps")
        return source_of(environment.EnvConfig(name, json.dumps(kwargs), limit))
    return Source(name, lambda render_mode: _from_spec(text, found, render_mode))


def _texts(value: PyTree) -> list[str]:
    """All strings in nested JSON."""
    if isinstance(value, str):
        return [value]
    parts = value.items() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list | tuple):
        return []
    return [text for part in parts for text in _texts(part)]


def _from_spec(text: str, found: Json, render_mode: str | None) -> gym.Env:
    """Make an environment from its specification; imports the code that it names."""
    points = [
        found.get("entry_point"),
        *(w.get("entry_point") for w in found["additional_wrappers"]),
    ]
    with environment.current_folder_first():
        for point in points:
            if isinstance(point, str):
                trust.refuse_runs(point.partition(":")[0])
        try:
            spec = gym.envs.registration.EnvSpec.from_json(text)
            spec.kwargs.pop("render_mode", None)
            return gym.make(spec, disable_env_checker=True, render_mode=render_mode)
        except Exception as error:  # Third-party code may raise anything.
            raise UserError(
                f"{found['id']} cannot be made: {type(error).__name__}: {error}"
            ) from error


def play(
    env: gym.Env,
    index: int,
    seed: int,
    options: Json,
    actions: PyTree,
    observations: Mapping[str, np.ndarray],
    rewards: np.ndarray,
) -> Replay:
    """Replay an episode's actions and compare.

    Args:
      env: the environment.
      index: the episode's index.
      seed: the seed of the reset.
      options: the options of the reset.
      actions: ``[T, ...]`` a pytree in the environment's form.
      observations: ``[T + 1, ...]`` by name; values that are not finite are not compared.
      rewards: ``[T]`` likewise.
    """
    steps = len(rewards)
    seen: list[dict[str, np.ndarray]] = []
    earned: list[float] = []
    error = ""
    try:
        for observation, reward in follow(env, seed, options, actions, steps):
            seen.append(observation)
            if reward is not None:
                earned.append(reward)
    except Exception as raised:  # An environment may raise anything.
        error = " ".join(f"{type(raised).__name__}: {raised}".split())
    at, largest = _difference(seen, observations)
    if at is None and len(seen) < steps + 1:
        at = len(seen)  # it ended before the recorded episode did
    ours, theirs = np.array(earned), rewards[: len(earned)].astype(np.float64)
    finite = np.isfinite(theirs)
    alike = np.allclose(ours[finite], theirs[finite], ROUNDING, ROUNDING)
    return Replay(index, len(earned), at, largest, not alike, error)


def follow(
    env: gym.Env, seed: int, options: Json, actions: PyTree, steps: int
) -> Iterator[tuple[dict[str, np.ndarray], float | None]]:
    """Take recorded actions one by one; whatever the environment raises is passed on.

    Args:
      env: the environment.
      seed: the seed of the reset.
      options: the options of the reset.
      actions: ``[T, ...]`` a pytree in the environment's form.
      steps: ``T``.

    Yields:
      Observations by name, and the reward; first those of the reset, with None. It ends where the
      environment does.
    """
    yield _copied(env.reset(seed=seed, options=options or None)[0]), None
    for t in range(steps):
        observation, reward, terminated, truncated, _ = env.step(_at(actions, t))
        yield _copied(observation), float(reward)
        if terminated or truncated:
            return


def apart(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> bool:
    """Whether two observations differ by more than rounding, where both are finite."""
    for name, recorded in theirs.items():
        found = ours.get(name)
        if found is None or found.shape != recorded.shape:
            return True
        a, b = np.asarray(found, np.float64), np.asarray(recorded, np.float64)
        kept = np.isfinite(a) & np.isfinite(b)
        if (np.abs(a - b)[kept] > ROUNDING * (1 + np.abs(b[kept]))).any():
            return True
    return False


def _copied(observation: PyTree) -> dict[str, np.ndarray]:
    """Copies of an observation's arrays, as the environment may reuse their memory."""
    return {name: array.copy() for name, array in arrays_of(observation).items()}


def _at(actions: PyTree, t: int) -> PyTree:
    """The action at step ``t``."""
    if isinstance(actions, Mapping):
        return {key: _at(part, t) for key, part in actions.items()}
    if isinstance(actions, tuple):
        return tuple(_at(part, t) for part in actions)
    return actions[t]


def _difference(
    seen: list[dict[str, np.ndarray]], recorded: Mapping[str, np.ndarray]
) -> tuple[int | None, float]:
    """The index of the first observation that differs, and the largest difference."""
    first: int | None = None
    largest = 0.0
    for name, theirs in recorded.items():
        for t, each in enumerate(seen[: len(theirs)]):
            ours = each.get(name)
            if ours is None or ours.shape != theirs[t].shape:
                return 0, float("inf")
            a, b = np.asarray(ours, np.float64), np.asarray(theirs[t], np.float64)
            kept = np.isfinite(a) & np.isfinite(b)
            apart = np.abs(a - b)[kept]
            largest = max(largest, float(apart.max(initial=0.0)))
            if (apart > ROUNDING * (1 + np.abs(b[kept]))).any():
                first = t if first is None else min(first, t)
                break
    return first, largest
