"""``config.rollout``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jaxmaze.config.fields import at_least_0, count, field, share


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
