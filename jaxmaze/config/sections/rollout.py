"""``config.rollout``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from jaxmaze.config.fields import at_least_0, count, field, share
from jaxmaze.errors import UserError

# A namespace has at least two letters: Minari's own regular expression requires it.
_MINARI_ID = re.compile(r"(?![-\w]/[^/]*$)(?:[-\w]+/)*[-\w]+-v\d+", re.ASCII)
FORM = "it must look like cartpole/expert-v0, (namespace/)(env/)name-vN"
"""The required form of a Minari id, for messages."""


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Episodes of the teacher."""

    policy: str = field(
        "heuristic",
        "the teacher: a name, a run's folder, sb3:model.zip, or module:function",
        code=True,
    )
    n_episodes: int = count(100, "episodes to play")
    num_envs: int = count(16, "environments stepped at once")
    epsilon: float = share(0.0, "probability of a random action instead; BC learns the teacher's")
    noise_std: float = at_least_0(
        0.0, "Gaussian noise on continuous actions, in halves of their range; as epsilon"
    )
    keyboard: Mapping[str, object] = field({}, "a person's keys: {'left': 0, 'up+left': 2, '': 1}")
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
        """Check the combination of fields.

        Raises:
          UserError: if the Minari id is invalid, or is missing where one is required.
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
