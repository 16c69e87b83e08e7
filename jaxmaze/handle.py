"""The handle of a run: access to its folder and the files in it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import ml_collections

from jaxmaze.core.types import Json
from jaxmaze.policies import LoadedPolicy, load_policy
from jaxmaze.runs import metrics, run_folder

Config: TypeAlias = ml_collections.ConfigDict


class Run:
    """A run's folder.

    Attributes:
      folder: where it is.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def summary(self) -> Json:
        """The final results, as in summary.json."""
        return run_folder.summary(self.folder)

    @property
    def config(self) -> Config:
        """The whole configuration as run."""
        return run_folder.load_config(self.folder)

    def metrics(self) -> list[Json]:
        """The logged steps, as in metrics.jsonl."""
        return metrics.read(self.folder)

    def policy(self, member: int = 0) -> LoadedPolicy:
        """The policy that the run hands over."""
        return load_policy(self.folder, member)


def open_run(folder: str | Path) -> Run:
    """The handle of an existing run.

    Raises:
      UserError: if the folder is not a run's, or was written in another format.
    """
    run_folder.read_config(Path(folder))
    return Run(folder)


def path_of(run: str | Path | Run) -> str:
    """The path of a run, given a path or a handle."""
    return str(run.folder if isinstance(run, Run) else run)
