"""Weights & Biases, online or with ``WANDB_MODE=offline``."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxmaze.core.types import Json
from jaxmaze.errors import UserError
from jaxmaze.runs.trackers import About, Histogram, Point, Value, by_step

if TYPE_CHECKING:
    import wandb

_WITHOUT_KEY = ("offline", "disabled", "dryrun")


def check() -> None:
    """Check that there is a key, as wandb would ask for one in the middle of the run.

    Raises:
      UserError: if there is none.
    """
    import wandb

    if os.environ.get("WANDB_MODE") in _WITHOUT_KEY:
        return
    try:
        known = wandb.login(prompt=False, verify=False)
    except Exception:  # wandb has an error of its own for each kind of key
        known = False
    if not known:
        raise UserError(
            "wandb has no key: run `wandb login` once, or set WANDB_MODE=offline to write files "
            "that `wandb sync` sends later"
        )


def start(about: About, key: Json | None) -> Wandb:
    """Open a run, or go on with it."""
    import wandb

    id = uuid.uuid4().hex[:12] if key is None else str(key["id"])
    run = wandb.init(
        project=about.project,
        id=id,
        name=about.name,
        group=about.group,
        config=about.config,
        dir=os.environ.get("WANDB_DIR", str(about.folder)),
        resume="allow",
        reinit="create_new",  # arms train side by side
        settings=wandb.Settings(silent=True, console="off"),
    )
    return Wandb(run, {"id": id})


class Wandb:
    """A run at wandb. Its own process keeps what it is given, even if this one is killed."""

    def __init__(self, run: wandb.Run, key: Json):
        self._run, self.key = run, key
        self.place = str(f"wandb sync {run.settings.sync_dir}" if run.offline else run.project_url)

    def send(self, points: Sequence[Point]) -> None:
        for step, values in by_step(points, _as_theirs).items():
            self._run.log(values, step=step)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


def _as_theirs(value: Value) -> object:
    import wandb

    if isinstance(value, Histogram):
        return wandb.Histogram(np_histogram=(value.counts, value.edges))
    return value if isinstance(value, float | int) else wandb.Image(value)
