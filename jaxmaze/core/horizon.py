"""The discount where none is set: 1 - 1/horizon, from how long episodes last and how they end.

A discount looks about 1 / (1 - discount) steps ahead. Episodes that end by themselves are a task
with an end, which is to be seen from the beginning: the horizon is as many steps as an episode may
have. Where only the step limit ever ends them, that is an arbitrary cut of a task without end. The
values of states would extend beyond it, and most of what they sum up would be noise to a single
action; the horizon is then a tenth of the limit.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxmaze.core.words import counted

LOWEST, HIGHEST = 0.95, 0.999
"""The range of the discounts."""
DIGITS = 4
"""Decimal places of the discount."""
ENDLESS_SHARE = 10
"""The limit of episodes that only it ends is so many times the horizon."""
LONGER = 10
"""Episodes are expected to last at most so many times the longest demonstration."""
UNLIMITED = 1000
"""Assumed length of episodes without a step limit and without demonstrations."""


class Episodes(NamedTuple):
    """What is known of an environment's episodes.

    Attributes:
      limit: the step limit, if there is one.
      longest: steps of the longest demonstration, if there are demonstrations.
      ends: whether episodes are known to end otherwise than by the limit.
    """

    limit: int | None = None
    longest: int | None = None
    ends: bool = True


def steps_of(episodes: Episodes) -> int:
    """The most steps that an episode is expected to have."""
    limits = (episodes.limit, episodes.longest and LONGER * episodes.longest)
    return min((steps for steps in limits if steps), default=UNLIMITED)


def horizon_of(episodes: Episodes) -> int:
    """The number of steps to look ahead, at least 1."""
    steps = steps_of(episodes)
    return steps if episodes.ends else max(steps // ENDLESS_SHARE, 1)


def discount_of(episodes: Episodes) -> float:
    """The discount: ``1 - 1 / horizon``, from ``LOWEST`` to ``HIGHEST``."""
    return min(max(round(1 - 1 / horizon_of(episodes), DIGITS), LOWEST), HIGHEST)


def reason_for(episodes: Episodes) -> str:
    """How the discount comes about, in words."""
    horizon, steps = horizon_of(episodes), steps_of(episodes)
    rule = _rule(horizon, discount_of(episodes))
    if not episodes.ends:
        about = "a tenth" if horizon * ENDLESS_SHARE == steps else "about a tenth"
        return (
            f"{rule}: {horizon} is {about} of the {counted(steps, 'step')} at which all episodes "
            "are cut"
        )
    if episodes.limit == steps:
        return f"{rule}: episodes have at most {counted(steps, 'step')}"
    if episodes.longest is None:
        return f"{rule}: there is neither a step limit nor a demonstration"
    return (
        f"{rule}: {LONGER} times the longest demonstration, of {counted(episodes.longest, 'step')}"
    )


def _rule(horizon: int, discount: float) -> str:
    """Where the discount comes from: the horizon, or an end of the range if that is outside."""
    rule, unbounded = f"1 - 1/{horizon}", round(1 - 1 / horizon, DIGITS)
    if unbounded < discount:
        return f"the lowest that is chosen, as {rule} = {unbounded:g} is below it"
    if unbounded > discount:
        return f"the highest that is chosen, as {rule} = {unbounded:g} is above it"
    return rule
