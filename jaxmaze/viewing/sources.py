"""Where the episodes on a page come from: a data set, or a policy that plays them."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from jaxmaze.core.types import PyTree
from jaxmaze.envs import replay
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Act, Episode, play_episodes
from jaxmaze.envs.leaves import Leaf, arrays_of, leaves_of
from jaxmaze.errors import UserError
from jaxmaze.inspection.recordings import Recorded, Recordings
from jaxmaze.viewing.names import Names

NUM_ENVS = 16
"""Environments that a policy plays in at once."""
HDF5 = "main_data.hdf5"


@dataclasses.dataclass(frozen=True)
class Row:
    """An episode in the table.

    Attributes:
      index: its number.
      seed: of its reset; None if unknown.
      length: its steps.
      total: its return; None if it cannot be read, or is not a number.
      end: how it ended.
    """

    index: int
    seed: int | None
    length: int
    total: float | None
    end: str


class Source(Protocol):
    """Episodes by number.

    Attributes:
      name: what it is called on the page.
      environment: its environment's name; empty if unknown.
      made: the environment, or why there is none.
      names: what a configuration calls observations and actions.
      spaces: of observations and actions.
      leaves: the arrays of observations, and those of actions.
    """

    name: str
    environment: str
    made: replay.Source | UserError
    names: Names
    spaces: tuple[PyTree, PyTree]
    leaves: tuple[list[Leaf], list[Leaf]]

    def rows(self) -> list[Row]:
        """All episodes."""

    def episode(self, index: int) -> Recorded:
        """One episode.

        Raises:
          UserError: if it cannot be read, or there is none.
        """

    def at_seed(self, seed: int) -> int:
        """The number of the episode of a seed.

        Raises:
          UserError: if there is none.
        """


def ending(terminated: bool, truncated: bool) -> str:
    """How an episode ended, in a word."""
    if terminated:
        return "terminated"
    return "truncated" if truncated else "cut off"


class FromData:
    """The episodes of a data set; attributes as :class:`Source`."""

    def __init__(
        self,
        name: str,
        recordings: Recordings,
        made: replay.Source | UserError,
        environment: str,
        names: Names,
    ):
        self.name, self.environment, self.made, self.names = name, environment, made, names
        self.spaces = recordings.spaces
        self.leaves = recordings.observations, recordings.actions
        self._recordings, self._lock = recordings, threading.Lock()
        self._rows: list[Row] = []

    def rows(self) -> list[Row]:
        with self._lock:
            self._rows = self._rows or list(_rows_of(self._recordings))
            return self._rows

    def episode(self, index: int) -> Recorded:
        if not 0 <= index < self._recordings.count:
            raise UserError(f"{self.name} has episodes 0 to {self._recordings.count - 1}")
        with self._lock:  # HDF5 is opened by one thread at a time
            found = self._recordings.episode(index)
        if not isinstance(found, Recorded):
            raise UserError(f"episode {index} of {self.name} cannot be read: {found.why}")
        steps = len(found.rewards)
        parts = [*found.actions.values(), *(found.labels or {}).values()]
        seen = found.observations.values()
        if not steps or any(len(x) != steps for x in parts) or any(len(x) <= steps for x in seen):
            raise UserError(
                f"episode {index} of {self.name} is not whole: {steps} rewards, "
                f"{'/'.join(str(len(x)) for x in parts)} actions and "
                f"{'/'.join(str(len(x)) for x in seen)} observations"
            )
        return found

    def at_seed(self, seed: int) -> int:
        for row in self.rows():
            if row.seed == seed:
                return row.index
        raise UserError(f"{self.name} holds no episode of seed {seed}")


def _rows_of(recordings: Recordings) -> Iterator[Row]:
    """A row an episode; only rewards and ends are read, if the files are HDF5."""
    done = 0
    with contextlib.suppress(Exception):  # damaged files raise anything; read one by one then
        for row in _rows_of_hdf5(recordings):
            yield row
            done += 1
        return
    for index in range(done, recordings.count):
        found = recordings.episode(index)
        if isinstance(found, Recorded) and len(found.rewards):
            ends = (bool(np.any(x[-1:])) for x in (found.terminations, found.truncations))
            seed = None if found.seed is None else int(found.seed)
            total = float(found.rewards.sum())
            yield Row(index, seed, len(found.rewards), _finite(total), ending(*ends))
        else:
            yield Row(index, None, 0, None, "cannot be read")


def _rows_of_hdf5(recordings: Recordings) -> Iterator[Row]:
    """The same by HDF5's own functions, in a third of the time."""
    from h5py import h5f

    file = h5f.open(str(recordings.folder / HDF5).encode(), h5f.ACC_RDONLY)
    try:
        for index in range(recordings.count):
            rewards = _array(file, index, "rewards")
            terminated = bool(_array(file, index, "terminations")[-1])
            truncated = not terminated and bool(_array(file, index, "truncations")[-1])
            total = float(rewards.sum(dtype=np.float64))
            seed = _seed(file, index)
            yield Row(index, seed, len(rewards), _finite(total), ending(terminated, truncated))
    finally:
        file.close()


def _array(file: PyTree, index: int, name: str) -> np.ndarray:
    from h5py import h5d, h5s

    found = h5d.open(file, f"episode_{index}/{name}".encode())
    array = np.empty(found.shape, found.dtype)
    found.read(h5s.ALL, h5s.ALL, array)
    return array


def _seed(file: PyTree, index: int) -> int | None:
    """An episode's seed; None if it was not recorded (Minari writes the text "None" then)."""
    from h5py import h5a, h5g

    group = h5g.open(file, f"episode_{index}".encode())
    if not h5a.exists(group, b"seed"):
        return None
    found = h5a.open(group, b"seed")
    if found.dtype.kind not in "iu":
        return None
    array = np.empty((), found.dtype)
    found.read(array)
    return int(array)


def _finite(x: float) -> float | None:
    return x if np.isfinite(x) else None


class Played:
    """Episodes that a policy plays; attributes as :class:`Source`."""

    def __init__(self, name: str, info: EnvInfo, act: Act, seeds: Sequence[int], names: Names):
        """Play.

        Args:
          name: what it is called.
          info: the environment.
          act: the policy.
          seeds: of the episodes in the table; others are played when they are asked for.
          names: what a configuration calls observations and actions.
        """
        self.name, self.environment, self.names = name, info.config.id, names
        self.made: replay.Source | UserError = replay.source_of(info.config)
        self.spaces = info.observation_space, info.action_space
        self.leaves = leaves_of(info.observation_space), leaves_of(info.action_space)
        self._info, self._act, self._lock = info, act, threading.Lock()
        self._episodes: list[Recorded] = []
        self._play(seeds)
        self._shown = len(self._episodes)

    def _play(self, seeds: Sequence[int]) -> None:
        if not len(seeds):
            return
        if hasattr(self._act, "reset"):
            self._act.reset()  # a policy that remembers counts its rows anew
        for episode in play_episodes(self._info, self._act, seeds, NUM_ENVS, record=True):
            self._episodes.append(_recorded(len(self._episodes), episode))

    def rows(self) -> list[Row]:
        return [_row(e) for e in self._episodes[: self._shown]]

    def episode(self, index: int) -> Recorded:
        if not 0 <= index < len(self._episodes):
            raise UserError(f"{self.name} has episodes 0 to {len(self._episodes) - 1}")
        return self._episodes[index]

    def at_seed(self, seed: int) -> int:
        with self._lock:
            for e in self._episodes:
                if e.seed == seed:
                    return e.index
            self._play([seed])
            return len(self._episodes) - 1


def _recorded(index: int, episode: Episode) -> Recorded:
    last = np.arange(1, episode.length + 1) == episode.length
    return Recorded(
        index,
        episode.seed,
        {},
        arrays_of(episode.observations),
        arrays_of(episode.actions),
        None,
        episode.rewards,
        last & episode.terminated,
        last & (not episode.terminated),
        episode.observations,
        episode.actions,
    )


def _row(e: Recorded) -> Row:
    ends = (bool(x[-1]) for x in (e.terminations, e.truncations))
    return Row(e.index, e.seed, len(e.rewards), _finite(float(e.rewards.sum())), ending(*ends))


def has_data(path: Path) -> bool:
    """Whether a folder holds recorded episodes."""
    places = (path, path / "data", path / "trajectory_data" / "data")
    return any((place / "metadata.json").is_file() for place in places)
