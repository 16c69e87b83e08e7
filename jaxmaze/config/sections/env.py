"""``config.env``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from jaxmaze.config.fields import count, field
from jaxmaze.envs import importing
from jaxmaze.errors import UserError


class ChosenBy(Protocol):
    """The fields of section ``bc`` that this section's check reads."""

    @property
    def best_by(self) -> str: ...


class Remembers(Protocol):
    """The fields of section ``network`` that this section's check reads."""

    @property
    def memory(self) -> str: ...


class HasBC(Protocol):
    """The settings that this section's check reads."""

    @property
    def stage(self) -> str: ...
    @property
    def sweep(self) -> Mapping[str, object]: ...
    @property
    def bc(self) -> ChosenBy: ...
    @property
    def network(self) -> Remembers: ...


@dataclasses.dataclass(frozen=True)
class Env:
    """The environment, and what steps it."""

    id: str | None = field(
        None,
        "a registered id, or package.module:Name-v0; with make, what it is called; neither for bc "
        "on data alone",
        code=True,
    )
    make: str | None = field(
        None, "a function that makes it, my_file:make_env", code=True, function=True
    )
    kwargs: Mapping[str, object] = field({}, "the environment's own arguments, or those of make")
    backend: str = field(
        "gymnasium", "what steps the training environments", choices=("gymnasium", "envpool")
    )
    max_episode_steps: int | None = count(
        None, "steps after which an episode is cut; the registered limit if None"
    )
    wrappers: tuple[object, ...] = field(
        (),
        "import paths of wrappers in order, or pairs of one and its arguments",
        code=True,
        words="a tuple such as ('my_file:MyWrapper', ('my_file:Other', {'scale': 2.0}))",
    )
    reset_options: Mapping[str, object] = field({}, "what each reset is given as options")
    frame_skip: int = count(1, "steps for which an action is repeated")
    frame_stack: int = count(1, "how many of the last observations are one")
    grayscale: bool = field(False, "take the colours out of images")
    resize: tuple[int, ...] | None = field(
        None,
        "height and width to bring images to",
        words="two sizes such as (84,84), or one for both, or None",
    )
    observation_names: tuple[str, ...] | None = field(
        None,
        "what the numbers of an observation are called, in order, where it is shown",
        own=True,
        identity=False,
        words="a tuple such as ('x', 'y'), or None",
    )
    action_names: tuple[str, ...] | None = field(
        None,
        "what the choices, or the numbers of an action, are called",
        own=True,
        identity=False,
        words="a tuple such as ('left', 'right'), or None",
    )
    workers: int | None = count(
        None,
        "worker processes; one a core if None, 0 for none",
        low=0,
        own=True,
        identity=False,  # results do not depend on it
    )
    action_masks: bool | None = field(
        None, "whether policies keep to the environment's action masks; if None, where it has some"
    )
    shards: int = count(
        4, "parts that environments are dealt out in, and so the most workers; results depend on it"
    )

    @property
    def named(self) -> bool:
        """Whether an environment is configured; without one, a clone is trained from data alone."""
        return self.id is not None or self.make is not None

    def check(self, settings: HasBC) -> None:
        """Check the combination of fields, and whether an environment is needed.

        Raises:
          UserError: one line that names the field and its allowed values.
        """
        if not self.named:
            self._check_nameless(settings)
        if isinstance(self.make, str) and ":" not in self.make:
            raise UserError(
                f"config.env.make={self.make} must be an import path, module:make_env (without the "
                ".py of a file), or in Python the function itself"
            )
        trains = settings.stage in ("ppo", "workflow")
        if trains and self.backend == "envpool" and settings.network.memory != "none":
            raise UserError(
                f"config.env.backend=envpool is not for config.network.memory="
                f"{settings.network.memory}: it does not tell where episodes begin; use "
                "config.env.backend=gymnasium"
            )
        for entry in self.wrappers:
            importing.wrapping(entry)
        sizes = self.resize or (1,)
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes)
        if len(sizes) > 2 or not whole:
            raise UserError(
                f"config.env.resize is {self.resize!r}; it must be two sizes such as (84,84), or "
                "one for both, or None"
            )

    def _check_nameless(self, settings: HasBC) -> None:
        if settings.stage != "bc":
            raise UserError(
                "config.env.id is not set; give a registered id such as CartPole-v1, "
                "module:Name-v0 for one of your own, or a function in config.env.make: "
                f"{settings.stage} plays in it (only bc does without)"
            )
        if settings.sweep:
            raise UserError("config.sweep compares returns; set config.env.id to play for them")
        if settings.bc.best_by == "return":
            raise UserError(
                "config.bc.best_by=return needs an environment to play in; set config.env.id, or "
                "choose validation_loss"
            )
