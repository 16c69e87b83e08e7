"""``config.ppo``."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from jaxmaze.config.fields import at_least_0, count, field, positive, share
from jaxmaze.errors import UserError

SCHEDULES = ("linear", "constant")
SHORTEST_SEGMENT, LONGEST_SEGMENT = 32, 128
"""Steps of each environment between updates, where none are set."""
FEWEST_ITERATIONS = 48
"""Iterations that a run should have, where its segments are not as short as can be."""
RATE_OF_CLONES, RATE_FROM_SCRATCH = 3e-4, 5e-4
"""The policy's learning rate, where none is set: a clone has something to lose."""


class HasStage(Protocol):
    """The settings that this section's check reads."""

    @property
    def stage(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class PPO:
    """PPO, from scratch or from a clone."""

    init_from: str | None = field(
        None,
        "a run to start from; from scratch if None",
        own=True,
        folder=True,
        identity=False,  # the contents are hashed instead
    )
    learning_rate: float | None = at_least_0(
        None,
        "the policy's; 0 keeps it as it is; if None, 3e-4 from a clone, 5e-4 from scratch",
        swept=True,
    )
    value_learning_rate: float | None = at_least_0(
        1e-3, "the critic's; the policy's if None", swept=True
    )
    learning_rate_schedule: str = field("linear", "linear decay to 0, or none", choices=SCHEDULES)
    num_envs: int = count(16, "environments of a member")
    num_steps: int | None = count(
        None,
        "steps of each environment between updates; if None, 128, or fewer for 48 iterations",
    )
    batch_size: int = count(64, "steps of a minibatch", low=2)
    num_epochs: int = count(8, "passes over each segment")
    total_env_steps: int = count(300_000, "of each seed, those of the burn-in included")
    gamma: float | None = share(
        None, "discount; if None, from how long episodes last and how they end", swept=True
    )
    gae_lambda: float = share(0.95, "trace decay of the advantages", swept=True)
    clip_range: float = positive(0.2, "of the probability ratio", swept=True)
    entropy_coef: float = at_least_0(0.005, "weight of the entropy bonus", swept=True)
    entropy_schedule: str = field(
        "constant",
        "linear decay to 0, none, or a weight that lets the entropy decay linearly (choices)",
        choices=(*SCHEDULES, "target"),
    )
    value_coef: float = at_least_0(
        0.5, "weight of half the mean squared error: 0.5 is vf_coef=0.25 elsewhere", swept=True
    )
    max_grad_norm: float = positive(0.5, "the gradient's largest norm", swept=True)
    target_kl: float | None = positive(
        None, "stop an update's policy passes past 1.5 times this, if set", swept=True
    )
    audit: str = field(
        "stop", "if what is taken over acts otherwise", choices=("stop", "report"), own=True
    )
    exploration: str = field(
        "reset",
        "at the handover: as the clone's, calibrated on demonstrations, or start_exploration",
        choices=("kept", "calibrated", "reset"),
        own=True,
    )
    start_exploration: float | None = share(
        None,
        "of the most there is: share of entropy, 0.5 if None; or std / half the range, 0.3 if None",
        above=True,
        own=True,
    )
    final_std: float | None = positive(
        None,
        "the largest standard deviation / half the range at the end (numbers); no limit if None",
        swept=True,
    )
    critic_fit_epochs: int = count(
        10, "passes over the demonstrations' returns, beforehand", low=0, own=True
    )
    critic_burn_in: int = count(
        10, "iterations with a clone's policy frozen, at most", low=0, swept=True
    )
    burn_in_until: float | None = share(
        0.5, "fewer, if the critic explains so much of Monte-Carlo returns", swept=True
    )
    anchor_coef: float = at_least_0(0.0, "weight of KL(clone || policy) in the loss", swept=True)
    anchor_schedule: str = field("linear", "linear decay to 0, or none", choices=SCHEDULES)
    anchor_fraction: float = share(
        1.0, "share of the run over which it decays", above=True, swept=True
    )
    anchor_target_kl: float | None = positive(
        None, "divergence that the anchor's weight is adapted to, if set", swept=True
    )
    cloning_coef: float = at_least_0(
        0.0, "weight of the cloning loss on demonstrations; same schedule", swept=True
    )
    average_decay: float = field(
        0.9,
        "of the EMA of parameters that is evaluated and handed over; 0: the last",
        low=0,
        high=0.9999,
        swept=True,
    )
    observation_statistics: str = field(
        "auto",
        "updated (adapt, or just those constant so far, with outputs kept; running) or frozen",
        choices=("auto", "adapt", "constant", "frozen", "running"),
        own=True,
    )
    overlap: bool = field(False, "collect with the policy of one update ago, while updating")
    eval_every: int = count(16, "iterations between evaluations")
    eval_episodes: int = count(20, "of such an evaluation")
    playoff_episodes: int = count(
        200, "other ones, between the best on the way and the last; 0: none", low=0
    )

    def check(self, settings: HasStage) -> None:
        """Check the combination of fields, given all settings.

        Raises:
          UserError: one line that names the field and its allowed values.
        """
        steps = segment_steps(self)
        segment = self.num_envs * steps
        if segment % self.batch_size:
            raise UserError(
                f"config.ppo.batch_size={self.batch_size} does not divide a segment of num_envs * "
                f"num_steps = {self.num_envs} * {steps} = {segment} steps; choose a "
                "divisor"
            )
        if self.total_env_steps < segment:
            raise UserError(
                f"config.ppo.total_env_steps={self.total_env_steps} is less than one segment of "
                f"num_envs * num_steps = {segment} steps; raise it or shorten the segment"
            )
        iterations = self.total_env_steps // segment
        starts = settings.stage == "ppo" and self.init_from is not None
        clones = settings.stage == "workflow" or starts
        if clones and self.critic_burn_in >= iterations:
            raise UserError(
                f"config.ppo.critic_burn_in={self.critic_burn_in} leaves no iteration to learn "
                f"in: total_env_steps={self.total_env_steps} makes {iterations}"
            )
        if self.anchor_target_kl is not None and self.anchor_coef == 0:
            raise UserError(
                "config.ppo.anchor_target_kl adapts config.ppo.anchor_coef, which is 0; set it to "
                "the weight to begin with, such as 0.1"
            )


def policy_rate(section: PPO) -> float:
    """The policy's learning rate: ``learning_rate``, or by whether it starts from a clone."""
    if section.learning_rate is not None:
        return section.learning_rate
    return RATE_FROM_SCRATCH if section.init_from is None else RATE_OF_CLONES


def segment_steps(section: PPO) -> int:
    """Steps of each environment between updates: ``num_steps``, or a power of 2 by a rule.

    It is :data:`LONGEST_SEGMENT`, or as much shorter as makes :data:`FEWEST_ITERATIONS` of
    ``total_env_steps``: few and large updates make little of a small budget. Minibatches must
    divide what all environments collect.
    """
    if section.num_steps is not None:
        return section.num_steps
    steps = LONGEST_SEGMENT
    while steps > SHORTEST_SEGMENT:
        shorter = section.num_envs * (steps // 2)
        many = section.total_env_steps >= FEWEST_ITERATIONS * section.num_envs * steps
        if many or shorter % section.batch_size:
            break
        steps //= 2
    return steps
