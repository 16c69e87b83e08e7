"""Minari's files on disk: opened, with names of parts that HDF5 cannot hold written in others.

HDF5 takes ``walker/height`` for a group ``walker`` with a member ``height``, so that Minari writes
parts of this name, but cannot read them. Such names are percent-encoded in the files, as in a URL
(``walker%2Fheight``), in the spaces and in the episodes alike: Minari reads them under these names,
jaxmaze under the environment's own. Files in which every name can stand as it is are unchanged.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from jaxmaze.core.types import Json
from jaxmaze.envs import part_names
from jaxmaze.errors import UserError
from jaxmaze.runs import run_folder

if TYPE_CHECKING:
    from minari.dataset.minari_storage import MinariStorage

METADATA = "metadata.json"
ENCODED = {"jaxmaze_keys": "percent-encoded"}
"""Metadata of files whose names are encoded; other files' names are taken as they are."""


class Files:
    """A data set's files, opened for reading; nothing is kept open between two calls.

    Attributes:
      metadata: as in metadata.json.
      observation_space: the environment's.
      action_space: likewise.
      total_episodes: the number of episodes.
    """

    def __init__(self, folder: Path):
        """Open them.

        Args:
          folder: holds metadata.json.

        Raises:
          UserError: if it cannot be read, or its names of parts cannot.
        """
        self.metadata = run_folder.read_json(folder / METADATA)
        self._storage = _open(folder)
        self._encoded = self.metadata.items() >= ENCODED.items()
        spaces = self._storage.observation_space, self._storage.action_space
        self._check_names(folder, [name for space in spaces for name in part_names.names(space)])
        self.observation_space, self.action_space = (
            part_names.renamed(space, part_names.decode) if self._encoded else space
            for space in spaces
        )

    def _check_names(self, folder: Path, names: Iterable[str]) -> None:
        if self._encoded or self.metadata.get("data_format", "hdf5") != "hdf5":
            return
        for name in filter(part_names.unfit, names):
            raise UserError(
                f"{folder} has a part named {name!r}, which Minari writes but cannot "
                "read; record it again with jaxmaze, which writes such names encoded"
            )

    @property
    def total_episodes(self) -> int:
        return int(self._storage.total_episodes)

    def get_episode_metadata(self, indices: Iterable[int]) -> Iterable[Json]:
        """What is known of each episode."""
        return self._storage.get_episode_metadata(indices)

    def get_episodes(self, indices: Iterable[int]) -> Generator[Json, None, None]:
        """Each episode, as Minari gives it."""
        for part in self._storage.get_episodes(indices):
            if self._encoded:
                names = ("observations", "actions", "infos")
                part |= {
                    name: part_names.renamed(part.get(name), part_names.decode) for name in names
                }
            yield part


def _open(folder: Path) -> MinariStorage:
    from minari.dataset.minari_storage import MinariStorage

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return MinariStorage.read(folder.resolve())
    except Exception as error:  # Minari raises whatever its file layers raise.
        raise UserError(f"{folder} cannot be read as a Minari dataset: {error}") from error


def check_names_no_code(folder: Path) -> None:
    """Check that Minari need not make a stranger's environment to look up its spaces.

    Raises:
      UserError: if it would.
    """
    about = run_folder.read_json(folder / METADATA)
    if "observation_space" in about and "action_space" in about:
        return
    spec = json.loads(about.get("env_spec") or "{}")
    points = [part.get("entry_point") for part in (spec, *(spec.get("additional_wrappers") or ()))]
    if not all(isinstance(p, str) and p.startswith("gymnasium.") for p in points):
        raise UserError(
            f"{folder} does not say its spaces, and looking them up in the environment that it "
            f"names would run code ({points[0]}); record it anew with its spaces in it"
        )
