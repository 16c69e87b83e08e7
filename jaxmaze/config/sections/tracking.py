"""``config.tracking``."""

from __future__ import annotations

import dataclasses

from jaxmaze.config.fields import field

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


@dataclasses.dataclass(frozen=True)
class Tracking:
    """Where metrics go besides metrics.jsonl; it changes nothing else of a run."""

    to: tuple[str, ...] = field(
        ("tensorboard",),
        "which of tensorboard, wandb, mlflow, trackio; () for none",
        choices=TRACKERS,
        empty=True,
        identity=False,
        words="a tuple of tensorboard, wandb, mlflow and trackio, or ()",
    )
    project: str = field(
        "jaxmaze", "the project of wandb and trackio, the experiment of mlflow", identity=False
    )
