"""Grids of hyper-parameters: ``--config.sweep.learning_rate=1e-4,3e-4``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from jaxmaze.config.settings import STAGES, swept


def names() -> list[str]:
    """All fields that can be swept in some stage."""
    return sorted(set(itertools.chain(*(swept(stage) for stage in STAGES))))


def full_name(name: str) -> str:
    """The field that ``sweep.NAME`` refers to, in the first stage that has it; for its type."""
    return next(f"{stage}.{name}" for stage in STAGES if name in swept(stage))


def grid(sweep: Mapping[str, tuple[object, ...]]) -> dict[str, dict[str, object]]:
    """Each point of the grid, keyed by a valid folder name; the last field varies fastest."""
    fields = sorted(sweep)
    points = [
        dict(zip(fields, values, strict=True))
        for values in itertools.product(*(sweep[f] for f in fields))
    ]
    return {",".join(f"{k}={_shown(v)}" for k, v in point.items()): point for point in points}


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
