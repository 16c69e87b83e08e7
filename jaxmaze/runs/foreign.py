"""Check, cast and write episodes that were recorded by other tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
import ml_collections
import numpy as np

from jaxmaze import config as config_lib
from jaxmaze.core.types import Json, PyTree
from jaxmaze.core.words import agree, counted
from jaxmaze.envs import environment, given
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs import checks, clipping, console, disk, run_folder, trajectories
from jaxmaze.runs.about import About
from jaxmaze.runs.filters import NO_REWARDS

Given: TypeAlias = object
"""Anything that numpy converts to an array: arrays, lists, tensors."""


class Raw(NamedTuple):
    """An episode of ``T`` steps as another tool recorded it.

    Attributes:
      observations: ``[T + 1, ...]``, or ``[T, ...]`` if the final one is not known.
      actions: ``[T, ...]``.
      rewards: ``[T]``; None if unknown.
      terminated: whether the episode terminated at the last step.
      truncated: whether it was truncated there; if neither, it is taken as truncated.
      seed: the environment's reset seed.
      final: the observation after the last step, if ``observations`` lacks it; None if unknown.
    """

    observations: PyTree
    actions: PyTree
    rewards: Given
    terminated: bool
    truncated: bool
    seed: int | None = None
    final: PyTree = None


def info_for(env: Given) -> EnvInfo:
    """The environment that data must fit, in any of the forms that :func:`dataset` takes.

    Raises:
      UserError: if it is none of them, or cannot be made.
    """
    if isinstance(env, str):
        env = {"env": {"id": env}}
    if isinstance(env, Mapping | ml_collections.ConfigDict | config_lib.Settings):
        settings = config_lib.to_settings(env)
        return environment.describe(environment.EnvConfig.of(settings.env), console.say)
    if given.has_spaces(env):
        return given.info_of(env)  # type: ignore[arg-type]
    if isinstance(env, tuple) and len(env) == 2:
        return given.info_of_spaces(env)
    raise UserError(
        f"env={env!r:.60} must be an environment's id, a configuration, an environment, or a pair "
        "of spaces, those of observations and of actions"
    )


def write(
    path: Path,
    raws: Iterable[Raw],
    info: EnvInfo,
    provenance: Json,
    about: About,
    clip: bool = False,
) -> Path:
    """Check episodes and write them to ``path/data``, whole or not at all.

    Actions outside their bounds are clipped if ``clip``, and refused otherwise.

    Raises:
      UserError: one line, if the folder is taken or an episode is invalid.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} is there already, and not empty; give another folder")
    writer = _Writer(info, clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance = provenance | {"versions": run_folder.versions()}
    if info.exists:
        provenance["env"] = environment.spec_dict(info)
    with disk.whole(path) as temporary:
        episodes = writer.episodes(raws, str(path))
        # Remarks on the episodes go into the provenance, which is written at the end.
        trajectories.write_each(temporary, episodes, info, writer.noticed(provenance), about, path)
    writer.say(path)
    return path


class _Writer:
    """Converts raw episodes, and counts what was noticed in them."""

    def __init__(self, info: EnvInfo, clip: bool):
        self._info, self._clip = info, clip
        self._returns: list[float] = []
        self._steps = self._terminated = self._cut = self._repeated = self._clipped = 0
        self._provenance: Json = {}

    def noticed(self, provenance: Json) -> Json:
        """The provenance, which :meth:`episodes` completes while it runs."""
        self._provenance = provenance
        return provenance

    def episodes(self, raws: Iterable[Raw], where: str) -> Iterator[Episode]:
        """Each episode, cast to the dtypes of the spaces."""
        for index, raw in enumerate(raws):
            episode = self._within(self._episode(index, raw, f"{where}: episode {index}"), where)
            self._returns.append(episode.episode_return)
            self._steps += episode.length
            self._terminated += episode.terminated
            self._cut += not (raw.terminated or raw.truncated)
            yield episode
        if not self._returns:
            raise UserError(f"there are no episodes to write to {where}")

    def _within(self, episode: Episode, where: str) -> Episode:
        """The episode with its actions clipped, or refused, where they are out of bounds."""
        space = self._info.spaces.action
        bounds = clipping.outside([episode], space)
        if not bounds.steps:
            return episode
        checks.check_numbers(episode, where)  # infinity is no action that clipping mends
        if not self._clip:
            raise UserError(
                f"{where}: episode {episode.index} has actions outside their bounds in {bounds}; "
                "clip them with clip_actions=True (--clip_actions), if they are not those of "
                "another environment"
            )
        self._clipped += bounds.steps
        self._provenance["clipped_steps"] = self._clipped
        return clipping.clip([episode], space)[0]

    def _episode(self, index: int, raw: Raw, where: str) -> Episode:
        parts = self._info.spaces.obs.parts
        dtype = self._info.action_space.dtype
        if dtype is None:  # of several parts
            actions = jax.tree.map(_single, arrays_of(raw.actions, where, tuples=True))
        else:
            shape = tuple(self._info.action_space.shape or ())
            actions = _cast(raw.actions, shape, np.dtype(dtype), f"{where}: actions")
        steps = len(jax.tree.leaves(actions)[0])
        leaves = [
            _cast(x, part.shape, np.dtype(part.dtype), f"{where}: observations")
            for x, part in zip(self._leaves(raw.observations, where), parts, strict=True)
        ]
        if all(len(x) == steps for x in leaves) and steps:
            after = [x[-1:] for x in leaves]
            if raw.final is not None:
                finals = [array_of(x, where)[None] for x in self._leaves(raw.final, where)]
                after = [
                    _cast(x, part.shape, np.dtype(part.dtype), f"{where}: next_observations")
                    for x, part in zip(finals, parts, strict=True)
                ]
            else:
                self._repeated += 1
                self._provenance["final_observations"] = "some repeat the last"
            leaves = [np.concatenate(pair) for pair in zip(leaves, after, strict=True)]
        rewards = raw.rewards
        if rewards is None:
            rewards = np.zeros(steps)
            self._provenance["rewards"] = NO_REWARDS
        return Episode(
            index,
            raw.seed,
            self._info.spaces.obs.build(leaves),
            actions,
            _cast(rewards, (), np.dtype(np.float64), f"{where}: rewards"),
            raw.terminated,
        )

    def _leaves(self, obs: PyTree, where: str) -> list[PyTree]:
        """The arrays of observations, in the order of the space's parts."""
        space = self._info.spaces.obs
        try:
            return [np.asarray(x) for x in space.leaves(obs)]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"{where}: observations do not fit {self._info.config.id}, which has "
                f"{space.describe()}: {type(error).__name__} {error}"
            ) from None

    def say(self, path: Path) -> None:
        """Print what was written."""
        count = len(self._returns)
        ends = f"{self._terminated} terminated, {count - self._terminated} truncated"
        console.say(
            f"{path}: {counted(count, 'episode')} of {counted(self._steps, 'step', ',')}; {ends}"
        )
        if self._provenance.get("rewards") == NO_REWARDS:
            console.say(
                "no rewards: nothing can be filtered by return, nor a critic fitted to them"
            )
        else:
            console.say(f"mean return {np.mean(self._returns):.5g}")
        if self._cut:
            console.say(
                f"{self._cut} of them "
                + agree(self._cut, "has no end of its own", "have no end of their own")
                + ": taken as truncated"
            )
        if self._clipped:
            console.say(
                f"actions of {counted(self._clipped, 'step', ',')} were outside their bounds: "
                "clipped"
            )
        if self._repeated:
            console.say(
                f"{self._repeated} of them {agree(self._repeated, 'has', 'have')} no observation "
                "after the last step: the one before it is repeated"
            )


def _cast(x: Given, shape: tuple[int, ...], dtype: np.dtype, where: str) -> np.ndarray:
    """Numbers ``[N, *shape]`` of a dtype, from anything numpy can convert to an array.

    Raises:
      UserError: if they are no numbers, or the cast would change them.
    """
    array = array_of(x, where)
    if array.dtype.kind not in "biuf":
        raise UserError(f"{where} are of type {array.dtype}, which are not numbers")
    if not array.ndim:
        raise UserError(f"{where} are a single number; there must be one for each step")
    if array.shape[1:] != shape and _long(array.shape[1:]) == _long(shape):
        array = array.reshape(len(array), *shape)
    if array.dtype == dtype:
        return array
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype)
    if dtype.kind in "iu" and array.size and not (cast == array).all():
        index = tuple(int(i) for i in np.argwhere(cast != array)[0])
        at = checks.place(index)
        odd = f"{array[index]}{' in ' * bool(at)}{at} at step {index[0]}"
        raise UserError(f"{where} are to be of type {dtype}, which {odd} is not")
    return cast


def array_of(x: Given, where: str) -> np.ndarray:
    """An array of numbers.

    Raises:
      UserError: if numpy cannot convert it.
    """
    try:
        return np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors with gradients
        raise UserError(f"{where} cannot be made an array: {error}") from None


def _single(x: np.ndarray) -> np.ndarray:
    """Real numbers in the dtype that spaces use for them."""
    return x.astype(np.float32) if x.dtype == np.float64 else x


def arrays_of(x: Given, where: str, tuples: bool = False) -> PyTree:
    """The same for a (nested) dict of arrays; with ``tuples``, for tuples of arrays too."""
    if isinstance(x, Mapping):
        return {str(name): arrays_of(v, f"{where}.{name}", tuples) for name, v in x.items()}
    if tuples and isinstance(x, tuple):
        return tuple(arrays_of(v, f"{where}[{i}]", tuples) for i, v in enumerate(x))
    return array_of(x, where)


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its axes of length 1."""
    return tuple(n for n in shape if n != 1)
