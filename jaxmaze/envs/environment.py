"""gymnasium environments: the one door to making them and describing what they are.

What is behind it: which environment (``env_config``), making (``making``, ``importing``), what is
put around it (``wrapping``), a first look (``trial``), its specification (``specs``), other
processes (``sending``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import ActionSpace, Box, Discrete, Spaces
from jaxmaze.envs import trial, wrapping
from jaxmaze.envs.env_config import EnvConfig, EnvInfo, EnvSection
from jaxmaze.envs.importing import current_folder_first
from jaxmaze.envs.making import make
from jaxmaze.envs.sending import CannotBeSentError, comes_with_gymnasium, register, to_send
from jaxmaze.envs.specs import registered_limit, registered_spec, spec_dict, spec_for_data
from jaxmaze.envs.trial import failed, name_of, reset_into
from jaxmaze.envs.wrapping import bounded, step_limit
from jaxmaze.errors import UserError

__all__ = [
    "CannotBeSentError",
    "EnvConfig",
    "EnvInfo",
    "EnvSection",
    "MissingPackageError",
    "actions_of",
    "bounded",
    "comes_with_gymnasium",
    "current_folder_first",
    "describe",
    "failed",
    "make",
    "name_of",
    "observations_of",
    "of_spaces",
    "quiet",
    "register",
    "registered_limit",
    "registered_spec",
    "reset_into",
    "space_spec",
    "spec_dict",
    "spec_for_data",
    "step_limit",
    "to_send",
]

MissingPackageError = gym.error.DependencyNotInstalled
"""What rendering raises without the package that it needs."""
ALWAYS_END = ("Blackjack",)
"""gymnasium's environments without a limit whose episodes end whatever is done."""
_tried: set[tuple[str, type]] = set()
"""Environments that have been tried in this process, each with its class."""
_noted: set[str] = set()
"""Environments that were said to have no step limit."""


def describe(config: EnvConfig, say: Callable[[str], None] = print) -> EnvInfo:
    """The spaces and specification of an environment.

    One that is not gymnasium's own is reset once and does one step, once in a process.

    Args:
      config: which environment.
      say: prints a note, where nothing is known to end its episodes.

    Raises:
      UserError: if it cannot be made, has a space that is not supported, or breaks gymnasium's
        contract at the first step.
    """
    env = make(config)
    try:
        spaces = space_spec(env.observation_space, env.action_space)
        assert env.spec is not None  # making gives one
        info = EnvInfo(
            config, env.spec, env.observation_space, env.action_space, spaces, step_limit(env)
        )
        key = (repr(config), type(env.unwrapped))
        if key not in _tried and not comes_with_gymnasium(info):
            trial.check(env, config.id)
            _tried.add(key)
        _note_limit(info, say)
        return info
    finally:
        env.close()


def of_spaces(observation_space: gym.Space, action_space: gym.Space) -> EnvInfo:
    """What a data set says of the environment that it comes from: its spaces and nothing else.

    Raises:
      UserError: for spaces that are not supported.
    """
    spaces = observation_space, action_space
    return EnvInfo(EnvConfig("the data set"), EnvSpec("data"), *spaces, space_spec(*spaces))


def _note_limit(info: EnvInfo, say: Callable[[str], None]) -> None:
    """Say once that nothing is known to end an environment's episodes."""
    name = info.config.id
    ends = comes_with_gymnasium(info) and info.spec.name in ALWAYS_END
    if info.limit is None and not ends and name not in _noted:
        _noted.add(name)
        say(
            f"note: {name} has no step limit; if its episodes may go on for ever, set "
            f"env.max_episode_steps (one of {wrapping.LONGEST} steps stops the run)"
        )


def space_spec(observation_space: gym.Space, action_space: gym.Space) -> Spaces:
    """What networks need to know of the two spaces.

    Raises:
      UserError: for spaces other than a box of observations and a discrete or box action.
    """
    return Spaces(observations_of(observation_space), actions_of(action_space))


def observations_of(space: gym.Space) -> Observations:
    """What observations are made of.

    Raises:
      UserError: for a space that is not supported.
    """
    if isinstance(space, gym.spaces.Box):
        return Observations.array(*(int(n) for n in space.shape), dtype=space.dtype)
    raise UserError(
        f"observation space {space} is not supported: only Box is, so wrap the "
        "environment with gymnasium.wrappers.FlattenObservation"
    )


def actions_of(space: gym.Space) -> ActionSpace:
    """The kind of the actions.

    Raises:
      UserError: for a space that is not supported.
    """
    if isinstance(space, gym.spaces.Discrete):
        if space.start != 0:
            raise UserError(f"action space {space} is not supported: actions must start at 0")
        return Discrete(int(space.n))
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return Box(tuple(float(x) for x in space.low), tuple(float(x) for x in space.high))
    raise UserError(
        f"action space {space} is not supported: only Discrete and one-dimensional Box are"
    )


def quiet() -> None:
    """Keep gymnasium's advice about newer versions and the like out of a command's output."""
    gym.logger.min_level = logging.ERROR
