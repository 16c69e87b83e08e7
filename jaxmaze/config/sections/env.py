"""``config.env``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from jaxmaze.config.fields import count, field
from jaxmaze.errors import UserError


class ChosenBy(Protocol):
    """Of the section ``bc`` what this section's check reads."""

    @property
    def best_by(self) -> str: ...


class HasBC(Protocol):
    """Of all settings what this section's check reads."""

    @property
    def stage(self) -> str: ...
    @property
    def sweep(self) -> Mapping[str, object]: ...
    @property
    def bc(self) -> ChosenBy: ...


@dataclasses.dataclass(frozen=True)
class Env:
    """The environment, and what steps it."""

    id: str | None = field(
        None, "a registered id, or package.module:Name-v0; None for bc on data alone", code=True
    )
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
    shards: int = count(
        4, "parts that environments are dealt out in, and so the most workers; results depend on it"
    )

    @property
    def named(self) -> bool:
        """Whether there is an environment at all; without one, a clone knows its data alone."""
        return self.id is not None

    def check(self, settings: HasBC) -> None:
        """What an environment is needed for, given all settings.

        Raises:
          UserError: one line that names the field and what it may be.
        """
        if self.named:
            return
        if settings.stage != "bc":
            raise UserError(
                "config.env.id is not set; give a gymnasium id, or module:Name-v0 for an "
                f"environment of your own: {settings.stage} plays in it (only bc does without)"
            )
        if settings.sweep:
            raise UserError("config.sweep compares returns; set config.env.id to play for them")
        if settings.bc.best_by == "return":
            raise UserError(
                "config.bc.best_by=return needs an environment to play in; set config.env.id, or "
                "choose validation_loss"
            )
