"""What data are checked against where there may be no environment: two spaces, or an object."""

from __future__ import annotations

from typing import Protocol

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from jaxmaze.envs.environment import EnvConfig, EnvInfo, space_spec
from jaxmaze.errors import UserError

NAME = "the given spaces"
"""What messages call spaces that belong to no environment."""


class HasSpaces(Protocol):
    """An environment, or anything else with two spaces."""

    observation_space: gym.Space
    action_space: gym.Space


def has_spaces(env: object) -> bool:
    """Whether an object has an observation and an action space, as an environment has."""
    return hasattr(env, "observation_space") and hasattr(env, "action_space")


def info_of(env: HasSpaces) -> EnvInfo:
    """What an environment that is there already looks like.

    Raises:
      UserError: for a space that is not supported.
    """
    spec = getattr(env, "spec", None)
    info = info_of_spaces((env.observation_space, env.action_space))
    return info._replace(config=EnvConfig(spec.id), spec=spec) if spec is not None else info


def info_of_spaces(pair: tuple[object, object]) -> EnvInfo:
    """The same for an observation and an action space alone.

    Raises:
      UserError: for what are no spaces, and for spaces that are not supported.
    """
    first, second = pair
    if not isinstance(first, gym.Space) or not isinstance(second, gym.Space):
        raise UserError(
            f"env={pair!r:.80} must be two gymnasium spaces, those of observations and of actions"
        )
    return EnvInfo(EnvConfig(NAME), EnvSpec("data"), first, second, space_spec(first, second))


def exists(info: EnvInfo) -> bool:
    """Whether there is an environment, and not only two spaces."""
    return info.spec.entry_point is not None
