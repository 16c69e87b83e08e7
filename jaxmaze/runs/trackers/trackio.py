"""trackio, in ``TRACKIO_DIR`` on this machine or at the space that ``TRACKIO_SPACE_ID`` names."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxmaze.core.types import Json
from jaxmaze.runs.trackers import About, Histogram, Point, Value, by_step

if TYPE_CHECKING:
    import trackio

PATIENCE = 5.0
"""Seconds to wait until its thread has stored what it was given."""


def check() -> None:
    """Nothing is needed but the package."""


def start(about: About, key: Json | None) -> Trackio:
    """Open a run, or go on with it."""
    import trackio

    _hush()
    # Runs are found by name alone, and folders of one name may lie in many places.
    name = f"{about.name}-{uuid.uuid4().hex[:4]}" if key is None else str(key["name"])
    run = trackio.init(
        project=about.project,
        name=name,
        group=about.group,
        config=about.config,
        resume="never" if key is None else "must",
        embed=False,
        auto_log_cpu=False,
        auto_log_gpu=False,
    )
    return Trackio(run, {"name": run.name})


def _hush() -> None:
    """Keep its progress from what a command prints, in its modules alone."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "trackio":
            module.__dict__["print"] = lambda *args, **kwargs: None


class Trackio:
    """A run at trackio, whose own thread stores what it is given."""

    def __init__(self, run: trackio.Run, key: Json):
        self._run, self.key = run, key
        self.place = f"trackio show --project {run.project}"

    def send(self, points: Sequence[Point]) -> None:
        for step, values in by_step(points, _as_theirs).items():
            self._run.log(values, step=step)
        end = time.monotonic() + PATIENCE
        while self._waiting() and time.monotonic() < end:
            time.sleep(0.05)

    def _waiting(self) -> bool:
        """Whether it holds what is not stored yet, as far as this version tells."""
        names = ("_queued_logs", "_sending_batch")
        return any(getattr(self._run, name, None) for name in names)

    def close(self, finished: bool) -> None:
        self._run.finish()


def _as_theirs(value: Value) -> object:
    import trackio

    if isinstance(value, Histogram):
        return trackio.Histogram(np_histogram=(value.counts, value.edges))
    return value if isinstance(value, float | int) else trackio.Image(value)
