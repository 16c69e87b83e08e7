"""``config.dagger``."""

from __future__ import annotations

import dataclasses

from jaxmaze.config.fields import count, field, share


@dataclasses.dataclass(frozen=True)
class DAgger:
    """DAgger: the teacher labels the states that its clones get into."""

    policy: str | None = field(None, "the teacher; rollout.policy if None", code=True)
    rounds: int = count(10, "rounds of playing, labelling and fitting; round 0 is the teacher's")
    n_episodes: int = count(5, "episodes of each member in a round")
    beta_schedule: str = field(
        "indicator",
        "share of steps at which the teacher acts, by round",
        choices=("indicator", "linear", "exponential"),
    )
    beta_decay: float = share(0.5, "factor a round, for the exponential schedule")
    eval_episodes: int = count(20, "of the evaluation after each round")
    playoff_episodes: int = count(
        200, "other ones, between the best rounds and the last; 0: none", low=0
    )
