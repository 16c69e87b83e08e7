"""The discount where none is set: 1 - 1/horizon, from how long episodes last and how they end.

A discount looks about 1 / (1 - discount) steps ahead. Episodes that end by themselves are a task
with an end, which is to be seen from the beginning: the horizon is as many steps as an episode may
have. In two kinds of task it is a tenth of that, because most of what a value would sum up is noise
to a single action:

- Only the step limit ever ends episodes: an arbitrary cut of a task without end.
- Lasting pays, but not all alike (a robot on its feet, and the further the better): most steps are
  rewarded, and an end is a failure. Looking as far as the limit, standing still, which is safe,
  looks as good as walking does. Where all rewards are equal (a pole in balance) there is nothing
  to be had but lasting, and the horizon is as far as ever.
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
      lasting_pays: whether most steps of random actions have a positive reward, some more than
        others.
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
    far = episodes.ends and not episodes.lasting_pays
    return steps if far else max(steps // SHORTER, 1)


def discount_of(episodes: Episodes) -> float:
    """The discount: ``1 - 1 / horizon``, from ``LOWEST`` to ``HIGHEST``."""
    return min(max(round(1 - 1 / horizon_of(episodes), DIGITS), LOWEST), HIGHEST)


def reason_for(episodes: Episodes) -> str:
    """How the discount comes about, in words."""
    horizon, steps = horizon_of(episodes), steps_of(episodes)
    rule = _rule(horizon, discount_of(episodes))
    about = "a tenth" if horizon * SHORTER == steps else "about a tenth"
    if not episodes.ends:
        return (
            f"{rule}: {horizon} is {about} of the {counted(steps, 'step')} at which all episodes "
            "are cut"
        )
    if episodes.lasting_pays:
        return (
            f"{rule}: {horizon} is {about} of the {counted(steps, 'step')} that episodes may last, "
            "as most steps pay"
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
