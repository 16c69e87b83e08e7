"""``config.rollout``."""

from __future__ import annotations

import dataclasses

from jaxmaze.config.fields import count, field


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Episodes of the teacher."""

    policy: str = field(
        "heuristic", "the teacher: a name, a run's folder, or module:function", code=True
    )
    n_episodes: int = count(100, "episodes to play")
    num_envs: int = count(16, "environments stepped at once")
