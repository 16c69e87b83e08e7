"""``config.env``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jaxmaze.config.fields import count, field
from jaxmaze.envs import importing
from jaxmaze.errors import UserError


@dataclasses.dataclass(frozen=True)
class Env:
    """The environment, and what steps it."""

    id: str | None = field(
        None, "a registered id, or package.module:Name-v0; with make, what it is called", code=True
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
        """Whether it is said which environment."""
        return self.id is not None or self.make is not None

    def check(self, settings: object) -> None:
        """What the fields say together.

        Raises:
          UserError: if no environment is named, or a field has a value of the wrong form.
        """
        del settings
        if not self.named:
            raise UserError(
                "config.env.id is not set; it must be a registered id such as CartPole-v1, or "
                "module:Name-v0, or config.env.make must be a function, module:make_env"
            )
        if isinstance(self.make, str) and ":" not in self.make:
            raise UserError(
                f"config.env.make={self.make} must be an import path, module:make_env (without the "
                ".py of a file), or in Python the function itself"
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
