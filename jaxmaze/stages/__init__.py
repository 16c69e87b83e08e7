"""Stages: each takes settings and a folder, and writes a run there. Stages are found by name.

A stage's module has ``run``, and any other members of :class:`Stage`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from jaxmaze.config import Settings
from jaxmaze.core.types import Json


class Stage(Protocol):
    """The interface of a stage's module.

    Attributes:
      RESUMED: whether a run can be resumed; if not, a text that says what to do instead.
      NEXT: how to continue from a finished run, followed by "with --config.ppo.init_from=RUN".
    """

    RESUMED: bool | str
    NEXT: str

    def run(
        self,
        config: Settings,
        workdir: Path,
        reported: np.ndarray | None = None,
        *,
        policy: object = None,
    ) -> Json:
        """Run the stage in a folder, or resume the run there.

        Args:
          config: all settings.
          workdir: the folder.
          reported: seeds ``[E]`` of the episodes that the summary reports, for stages that can be
            swept; the test episodes by default.
          policy: a Python object as teacher, for stages that ask one, instead of the configured.

        Returns:
          The summary, as in summary.json.
        """

    def run_arms(
        self,
        arms: Mapping[str, tuple[Settings, Path]],
        reported: np.ndarray | None = None,
    ) -> dict[str, Json]:
        """Run several side by side; optional. Returns their summaries by name."""


def names() -> list[str]:
    """The names of all stages."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Stage:
    """The stage with this name: ``"bc"``, ``"workflow"`` and so on (any module of this package).

    Raises:
      KeyError: if there is none.
    """
    if name not in names():
        raise KeyError(name)
    return cast(Stage, importlib.import_module(f"{__name__}.{name}"))


def resumed(name: str) -> bool | str:
    """Whether runs of a stage can be resumed; if not, a text that says what to do instead."""
    return (
        getattr(find(name), "RESUMED", True)
        if name in names()
        else f"a {name}, which is not resumed"
    )


def run_all(
    name: str, runs: Mapping[str, tuple[Settings, Path]], reported: np.ndarray | None = None
) -> dict[str, Json]:
    """Run several runs of a stage, side by side if it can; returns their summaries by name."""
    stage = find(name)
    if hasattr(stage, "run_arms"):
        return stage.run_arms(runs, reported)
    return {run: stage.run(config, folder, reported) for run, (config, folder) in runs.items()}
