"""``config.rollout``."""

from __future__ import annotations

import dataclasses
import re

from jaxmaze.config.fields import count, field
from jaxmaze.errors import UserError

# A namespace has two letters at least: Minari's own expression asks for them.
_MINARI_ID = re.compile(r"(?![-\w]/[^/]*$)(?:[-\w]+/)*[-\w]+-v\d+", re.ASCII)
FORM = "it must look like cartpole/expert-v0, (namespace/)(env/)name-vN"
"""What a Minari id must be, in words."""


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Episodes of the teacher."""

    policy: str = field(
        "heuristic", "the teacher: a name, a run's folder, or module:function", code=True
    )
    n_episodes: int = count(100, "episodes to play")
    num_envs: int = count(16, "environments stepped at once")
    dataset_id: str | None = field(
        None, "Minari id of what is recorded, such as cartpole/expert-v0"
    )
    minari: bool = field(False, "copy what is recorded to where minari.load_dataset finds it")
    author: str | tuple[str, ...] | None = field(None, "of what is recorded")
    author_email: str | tuple[str, ...] | None = field(None, "the authors' addresses")
    code_permalink: str | None = field(None, "link to the code that what is recorded comes from")
    reference_episodes: int = count(
        0, "of the random policy, for the reference scores of what is recorded; 0: none", low=0
    )

    def check(self, settings: object) -> None:
        """What the fields say together.

        Raises:
          UserError: for an id that Minari does not take, or if there is none where it takes one.
        """
        if self.dataset_id is None:
            if self.minari:
                raise UserError(
                    "config.rollout.minari=True needs an id of your own; set "
                    "config.rollout.dataset_id to one such as cartpole/expert-v0"
                )
        elif not is_minari_id(self.dataset_id):
            raise UserError(
                f"config.rollout.dataset_id={self.dataset_id!r} is not a Minari id; {FORM}"
            )


def is_minari_id(name: str) -> bool:
    """Whether a text has the form of a Minari id."""
    return _MINARI_ID.fullmatch(name) is not None
