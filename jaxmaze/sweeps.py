"""Grids of hyper-parameters: ``--config.sweep.learning_rate=1e-4,3e-4``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

FIELDS = {
    "bc": ("learning_rate", "entropy_coef", "weight_decay", "max_grad_norm"),
    "ppo": (
        "learning_rate", "value_learning_rate", "gamma", "gae_lambda", "clip_range", "entropy_coef",
        "value_coef", "max_grad_norm", "target_kl", "critic_burn_in", "burn_in_until",
        "anchor_coef", "anchor_target_kl", "cloning_coef", "average_decay",
    ),
}  # fmt: skip
"""What members of one compiled program may differ in, by stage."""


def names() -> list[str]:
    """Everything that can be swept in some stage."""
    return sorted(set(itertools.chain(*FIELDS.values())))


def full_name(name: str) -> str:
    """The field that ``sweep.NAME`` stands for, in the first stage that has it; for its type."""
    return next(f"{stage}.{name}" for stage, known in FIELDS.items() if name in known)


def grid(sweep: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each point of the grid by a name that a folder can have, the last field varying fastest."""
    fields = sorted(sweep)
    points = [
        dict(zip(fields, values, strict=True))
        for values in itertools.product(*(sweep[f] for f in fields))
    ]
    return {",".join(f"{k}={_shown(v)}" for k, v in point.items()): point for point in points}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
