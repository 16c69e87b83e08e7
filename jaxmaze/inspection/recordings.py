"""Reads recorded episodes as they are on disk, broken ones too.

``trajectories.read`` refuses data that cannot be learned from. This module reads them too, one
episode at a time, to report what is wrong with them.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs.leaves import Leaf, arrays_of, leaves_of
from jaxmaze.envs.space_kinds import actions_from_groups
from jaxmaze.errors import UserError
from jaxmaze.runs import run_folder
from jaxmaze.runs.minari_files import METADATA, Files
from jaxmaze.runs.trajectories import FILE_BATCH, LABELS


@dataclasses.dataclass(frozen=True)
class Recorded:
    """One episode as found on disk; of ``T`` steps, if it is complete.

    Attributes:
      index: its number in the data set.
      seed: the environment's reset seed; None if unknown.
      options: the environment's reset options.
      observations: ``[T + 1, ...]`` by the names of :func:`jaxmaze.envs.leaves.leaves_of`.
      actions: ``[T, ...]`` likewise, as the environment took them.
      labels: ``[T, ...]`` likewise, the teacher's actions; None if those were taken.
      rewards: ``[T]``.
      terminations: ``[T]``.
      truncations: ``[T]``.
      seen: the observations as the environment's own pytree ``[T + 1, ...]``.
      taken: the actions likewise ``[T, ...]``.
    """

    index: int
    seed: int | None
    options: Json
    observations: Mapping[str, np.ndarray]
    actions: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray] | None
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    seen: PyTree
    taken: PyTree


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """An episode that cannot be read.

    Attributes:
      index: its number.
      why: the reason, in words.
    """

    index: int
    why: str


class Recordings:
    """A Minari data set.

    Attributes:
      folder: the folder of its files.
      metadata: as in its metadata.json.
      spaces: the spaces of observations and actions.
      observations: the expected arrays of observations.
      actions: likewise, of actions.
      count: the expected number of episodes.
    """

    def __init__(self, path: str | Path, trust: bool = False):
        """Open the data set.

        Args:
          path: as in :func:`jaxmaze.runs.trajectories.read`.
          trust: whether its environment may be made to get its spaces, if they are not stored.

        Raises:
          UserError: if it is not a Minari data set.
        """
        self.folder = _find(Path(path))
        self.metadata = run_folder.read_json(self.folder / METADATA)
        self._storage = self._open(trust)
        self.spaces = self._storage.observation_space, self._storage.action_space
        self.observations: list[Leaf]
        self.observations, self.actions = map(leaves_of, self.spaces)
        count = self.metadata.get("total_episodes")
        self.count = count if isinstance(count, int) else 0
        if self.count < 1:
            raise UserError(f"{path} holds a dataset without episodes; record some first")

    def _open(self, trust: bool) -> Files:
        if not trust and not {"observation_space", "action_space"} <= set(self.metadata):
            raise UserError(
                f"{self.folder} does not say its spaces; to look them up in the environment that "
                "it names, whose code is imported for that, say --trust (in Python: trust=True)"
            )
        return Files(self.folder)

    def __iter__(self) -> Iterator[Recorded | Unreadable]:
        """All episodes, one at a time."""
        for start in range(0, self.count, FILE_BATCH):
            batch = range(start, min(start + FILE_BATCH, self.count))
            done = start
            with contextlib.suppress(Exception):  # on an error, read one by one
                for found in self._read(batch):
                    yield found
                    done += 1
            for index in batch[done - start :]:
                yield self.episode(index)

    def episode(self, index: int) -> Recorded | Unreadable:
        """One episode."""
        try:
            return next(self._read(range(index, index + 1)))
        except Exception as error:  # A damaged HDF5 file raises OSError, KeyError and others.
            return Unreadable(index, " ".join(f"{type(error).__name__}: {error}".split()))

    def _read(self, batch: range) -> Iterator[Recorded]:
        abouts = self._storage.get_episode_metadata(batch)
        parts = self._storage.get_episodes(batch)
        with contextlib.ExitStack() as stack:  # closes the file, come what may
            for reader in (abouts, parts):
                stack.callback(getattr(reader, "close", lambda: None))
            for index, part, about in zip(batch, parts, abouts, strict=True):
                labels = self._labels(part)
                yield Recorded(
                    index,
                    about.get("seed"),
                    about.get("options") or {},
                    arrays_of(part["observations"]),
                    arrays_of(part["actions"]),
                    None if labels is None else arrays_of(labels),
                    np.asarray(part["rewards"]),
                    np.asarray(part["terminations"]),
                    np.asarray(part["truncations"]),
                    part["observations"],
                    part["actions"],
                )

    def _labels(self, part: Json) -> PyTree:
        """An episode's labels as the environment's own pytree, or as they are if they are none."""
        labels = (part.get("infos") or {}).get(LABELS)
        with contextlib.suppress(KeyError, TypeError):
            return None if labels is None else actions_from_groups(self.spaces[1], labels)
        return labels


def _find(path: Path) -> Path:
    """The folder of a data set's files."""
    if not path.is_dir():
        raise UserError(f"{path} is not a folder; give one with a Minari dataset")
    for folder in (path, path / "data", path / run_folder.TRAJECTORIES / "data"):
        if (folder / METADATA).is_file():
            return folder
    raise UserError(f"{path} {run_folder.without_data(path)}")
