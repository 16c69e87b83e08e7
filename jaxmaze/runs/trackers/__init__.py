"""Services that follow runs, one file a service: ``wandb``, ``mlflow``, ``trackio``.

A service's module has the name that ``config.tracking.to`` calls it, which is the name of its
package, and :class:`Service` says what is in it. What it is given is in metrics.jsonl too, but for
histograms and pictures, so that a service that fails costs a run nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, cast

import numpy as np

from jaxmaze.config.sections.tracking import Tracking
from jaxmaze.core.types import Json
from jaxmaze.errors import UserError

BUILT_IN = "tensorboard"
"""Of ``config.tracking.to``: written by :mod:`jaxmaze.runs.board`, and no service."""


class Histogram(NamedTuple):
    """Numbers of values: ``counts`` ``[B]`` between ``edges`` ``[B + 1]``."""

    counts: np.ndarray
    edges: np.ndarray


Value: TypeAlias = float | Histogram | np.ndarray
"""A figure, a histogram, or a picture ``[H, W, 3]`` of uint8."""


class Point(NamedTuple):
    """A value with its tag, ``eval/return``, at a step."""

    step: int
    tag: str
    value: Value


def by_step(
    points: Sequence[Point], convert: Callable[[Value], object]
) -> dict[int, dict[str, object]]:
    """The points' values by tag, for services that take all of a step at once."""
    steps: dict[int, dict[str, object]] = {}
    for point in points:
        steps.setdefault(point.step, {})[point.tag] = convert(point.value)
    return steps


class About(NamedTuple):
    """What a service is told of a run.

    Attributes:
      folder: the run's.
      name: what it is called.
      group: what it is a part of: the workflow's or the sweep's name, or its own.
      project: ``config.tracking.project``.
      config: all settings, nested.
    """

    folder: Path
    name: str
    group: str
    project: str
    config: Json


class Tracker(Protocol):
    """A run at a service. All calls come from one thread, which may be kept waiting.

    Attributes:
      key: what finds this run again, as JSON.
      place: where people find it, in a few words.
    """

    key: Json
    place: str

    def send(self, points: Sequence[Point]) -> None:
        """Hand over points, steps in order; afterwards, they are not lost if the process dies."""

    def close(self, finished: bool) -> None:
        """End, and say whether the run is finished or was interrupted."""


class Service(Protocol):
    """The interface of a service's module."""

    def check(self) -> None:
        """Check before anything is computed that runs can be opened, as far as is quickly seen.

        Raises:
          UserError: if something is missing, such as a key.
        """

    def start(self, about: About, key: Json | None) -> Tracker:
        """Open a run, or go on with the one that ``key`` finds."""


def find(name: str) -> Service:
    """The module of a service, by its name in ``config.tracking.to``."""
    return cast(Service, importlib.import_module(f"{__name__}.{name}"))


def services(tracking: Tracking) -> tuple[str, ...]:
    """The services that a configuration names, each once."""
    return tuple(dict.fromkeys(name for name in tracking.to if name != BUILT_IN))


def check(tracking: Tracking) -> None:
    """Check before anything is computed that the services of a configuration can be used.

    Raises:
      UserError: if a package is missing, with the command that installs it.
    """
    for name in services(tracking):
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"config.tracking.to names {name}, which is not installed: pip install "
                f"'jaxmaze[{name}]'"
            )
        find(name).check()


def flat(values: Json, prefix: str = "") -> Json:
    """Nested settings by dotted name."""
    found: Json = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
