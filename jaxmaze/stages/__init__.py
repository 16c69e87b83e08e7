"""Stages: each takes settings and a folder, and leaves a run there. One is found by its name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol, cast

from jaxmaze.config import Settings


class Stage(Protocol):
    """What a module of this package offers to those who run it by its name."""

    def run(self, config: Settings, workdir: Path) -> dict[str, Any]:
        """Run it in a folder, or go on there; returns the summary, as in summary.json."""


def find(name: str) -> Stage:
    """The stage of a name: ``"bc"``, ``"workflow"`` and so on, or one of your own file here."""
    return cast(Stage, importlib.import_module(f"{__name__}.{name}"))
