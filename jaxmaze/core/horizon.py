"""The discount where none is set: 1 - 1/horizon, from how long episodes last and how they end.

A discount looks about 1 / (1 - discount) steps ahead. Episodes that end by themselves are a task
with an end, which is to be seen from the beginning: the horizon is as many steps as an episode may
have. In two kinds of task it is shorter, because most of what a value would sum up is noise to a
single action:

- Only the step limit ever ends episodes: an arbitrary cut of a task without end. The horizon is a
  tenth of it.
- Lasting is what pays (a pole in balance, a robot on its feet): most steps are rewarded, and an end
  is a failure. It costs enough if a part of the rewards after it is seen: a tenth of the steps, and
  100 at least. Looking as far as the limit, standing still looks as good as walking does.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxmaze.core.words import counted

LOWEST, HIGHEST = 0.95, 0.999
"""The range of the discounts."""
DIGITS = 4
"""Decimal places of the discount."""
SHORTER = 10
"""Episodes without an end, or in which lasting pays, have so many times the horizon."""
ENOUGH = 100
"""The shortest horizon where lasting pays: a fall is often decided dozens of steps before it."""
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
      lasting_pays: whether most steps of random actions have a positive reward.
    """

    limit: int | None = None
    longest: int | None = None
    ends: bool = True
    lasting_pays: bool = False


def steps_of(episodes: Episodes) -> int:
    """The most steps that an episode is expected to have."""
    limits = (episodes.limit, episodes.longest and LONGER * episodes.longest)
    return min((steps for steps in limits if steps), default=UNLIMITED)


def horizon_of(episodes: Episodes) -> int:
    """The number of steps to look ahead, at least 1."""
    steps = steps_of(episodes)
    if not episodes.ends:
        return max(steps // SHORTER, 1)
    return max(steps // SHORTER, min(steps, ENOUGH)) if episodes.lasting_pays else steps


def discount_of(episodes: Episodes) -> float:
    """The discount: ``1 - 1 / horizon``, from ``LOWEST`` to ``HIGHEST``."""
    return min(max(round(1 - 1 / horizon_of(episodes), DIGITS), LOWEST), HIGHEST)


def reason_for(episodes: Episodes) -> str:
    """How the discount comes about, in words."""
    horizon, steps = horizon_of(episodes), steps_of(episodes)
    rule = _rule(horizon, discount_of(episodes))
    if not episodes.ends:
        about = "a tenth" if horizon * SHORTER == steps else "about a tenth"
        return (
            f"{rule}: {horizon} is {about} of the {counted(steps, 'step')} at which all episodes "
            "are cut"
        )
    if episodes.lasting_pays:
        return (
            f"{rule}: each step pays, so that {horizon} of the {counted(steps, 'step')} that "
            "episodes may last are far enough"
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
