"""``config.env``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jaxmaze.config.fields import count, field


@dataclasses.dataclass(frozen=True)
class Env:
    """The environment, and what steps it."""

    id: str = field(None, "a registered id, or package.module:Name-v0", code=True)
    kwargs: Mapping[str, object] = field({}, "the environment's own arguments")
    backend: str = field(
        "gymnasium", "what steps the training environments", choices=("gymnasium", "envpool")
    )
    max_episode_steps: int | None = count(
        None, "steps after which an episode is cut; the registered limit if None"
    )
    workers: int | None = count(
        None,
        "worker processes; one a core if None, 0 for none",
        low=0,
        own=True,
        identity=False,  # however many, they compute the same
    )
    action_masks: bool | None = field(
        None, "whether policies keep to the environment's action masks; if None, where it has some"
    )
    shards: int = count(
        4, "parts that environments are dealt out in, and so the most workers; results depend on it"
    )
