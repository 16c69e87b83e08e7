"""Checks of recorded episodes: whole, of their environment's spaces, without NaN."""

from __future__ import annotations

import jax
import numpy as np

from jaxmaze.core.words import counted
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Episode
from jaxmaze.envs.leaves import arrays_of
from jaxmaze.errors import UserError


def check(episode: Episode, info: EnvInfo, where: str) -> None:
    """Check an episode against its environment's spaces.

    Raises:
      UserError: one line with what is wrong in which episode.
    """
    obs, actions, rewards = episode.observations, episode.actions, episode.rewards
    spaces = info.spaces
    leaves, parts = jax.tree.leaves(obs), jax.tree.leaves(actions)
    steps = len(parts[0])
    named = f"{where}: episode {episode.index}"
    if steps == 0:
        raise UserError(f"{named} has no steps")
    short = any(len(x) != steps for x in (*parts, rewards))
    if short or any(len(x) != steps + 1 for x in leaves):
        raise UserError(
            f"{named} has {counted(len(leaves[0]), 'observation')}, {counted(steps, 'action')} and "
            f"{counted(len(rewards), 'reward')}; T steps need T + 1 observations, T actions and T "
            "rewards"
        )
    check_numbers(episode, where)
    problem = spaces.obs.problem(obs, info.config.id)
    if problem:
        raise UserError(f"{named} has {problem}: is it data of another environment?")
    for taken in (actions,) if episode.labels is None else (actions, episode.labels):
        for array in jax.tree.leaves(taken):
            if len(array) != steps:
                raise UserError(
                    f"{named} has {counted(len(array), 'label')} for {counted(steps, 'step')}"
                )
        problem = spaces.action.problem(taken, info.config.id)
        if problem:
            raise UserError(f"{named} has {problem}: is it data of another environment?")
        violation = spaces.violation(jax.tree.map(lambda x: x[:-1], obs), taken)
        if violation:
            raise UserError(f"{named} has {violation}")


def check_numbers(episode: Episode, where: str) -> None:
    """Check that an episode holds numbers, and that all of them are finite.

    Raises:
      UserError: one line with the episode, and the first step and field in which one is not.
    """
    where = f"{where}: episode {episode.index}"
    fields = arrays_of(episode.observations, "observations")
    fields |= arrays_of(episode.actions, "actions") | {"rewards": episode.rewards}
    if episode.labels is not None:
        fields |= arrays_of(episode.labels, "labels")
    found: list[tuple[int, str]] = []
    for name, array in fields.items():
        if array.dtype.kind not in "biufc":
            raise UserError(f"{where} has {name} of type {array.dtype}, which are not numbers")
        finite = np.isfinite(array)
        if not finite.all():
            index = tuple(int(i) for i in np.argwhere(~finite)[0])
            step = f"at step {index[0]}" if index[0] < episode.length else "after the last step"
            found.append((index[0], f"{array[index]} in {name}{place(index)} {step}"))
    if found:
        _, first = min(found, key=lambda each: each[0])
        raise UserError(f"{where} has {first}; no number may be NaN or infinite")


def place(index: tuple[int, ...]) -> str:
    """Where in a step's array a number is: ``[3]``, or nothing if the step has one number.

    Args:
      index: the number's index in ``[T, ...]``.
    """
    return f"[{', '.join(map(str, index[1:]))}]" if len(index) > 1 else ""
