"""Environment descriptions, to check data against, from two spaces or an object with spaces."""

from __future__ import annotations

from typing import Protocol

import gymnasium as gym

from jaxmaze.envs.environment import EnvConfig, EnvInfo, of_spaces
from jaxmaze.errors import UserError

NAME = "the given spaces"
"""The name that messages use for spaces without an environment."""


class HasSpaces(Protocol):
    """An environment, or any other object with an observation and an action space."""

    observation_space: gym.Space
    action_space: gym.Space


def has_spaces(env: object) -> bool:
    """Whether an object has an observation and an action space."""
    return hasattr(env, "observation_space") and hasattr(env, "action_space")


def info_of(env: HasSpaces) -> EnvInfo:
    """Description of an environment that exists already.

    Raises:
      UserError: for a space that is not supported.
    """
    spec = getattr(env, "spec", None)
    info = info_of_spaces((env.observation_space, env.action_space))
    return info._replace(config=EnvConfig(spec.id), spec=spec) if spec is not None else info


def info_of_spaces(pair: tuple[object, object]) -> EnvInfo:
    """Description of an environment of which only the two spaces are given.

    Raises:
      UserError: for values that are not spaces, and for spaces that are not supported.
    """
    first, second = pair
    if not isinstance(first, gym.Space) or not isinstance(second, gym.Space):
        raise UserError(
            f"env={pair!r:.80} must be two gymnasium spaces, those of observations and of actions"
        )
    return of_spaces(first, second)._replace(config=EnvConfig(NAME))
