"""The public functions for making and describing gymnasium environments.

The implementation is in: ``env_config`` (configuration), ``making`` and ``importing`` (creation),
``wrapping`` (wrappers), ``trial`` (a first reset and step as a check), ``specs`` (specifications)
and ``sending`` (other processes).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from jaxmaze.envs import action_masks, outside, trial, wrapping
from jaxmaze.envs.env_config import EnvConfig, EnvInfo, EnvSection
from jaxmaze.envs.importing import current_folder_first
from jaxmaze.envs.making import look_for_screen, make
from jaxmaze.envs.sending import (
    CannotBeSentError,
    comes_with_gymnasium,
    is_gymnasiums,
    register,
    to_send,
)
from jaxmaze.envs.space_kinds import space_spec
from jaxmaze.envs.specs import registered_limit, registered_spec, spec_dict, spec_for_data
from jaxmaze.envs.trial import check_rewards, failed, name_of, reset_into
from jaxmaze.envs.wrapping import bounded, step_limit

__all__ = [
    "CannotBeSentError",
    "EnvConfig",
    "EnvInfo",
    "EnvSection",
    "MissingPackageError",
    "bounded",
    "check_rewards",
    "comes_with_gymnasium",
    "current_folder_first",
    "describe",
    "failed",
    "look_for_screen",
    "make",
    "name_of",
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
"""Raised by rendering if a package that it needs is missing."""
ALWAYS_END = ("Blackjack",)
"""gymnasium's environments without a step limit whose episodes always terminate."""
_tried: set[tuple[str, type]] = set()
"""Environments that have been checked in this process, each with its class."""
_noted: set[str] = set()
"""Environments for which the note about a missing step limit was printed."""


def describe(config: EnvConfig, say: Callable[[str], None] = print) -> EnvInfo:
    """The spaces and specification of an environment.

    An environment that is not gymnasium's own is reset and stepped once per process, as a check.

    Args:
      config: the environment's configuration.
      say: prints a note if nothing is known to end its episodes, and a warning if the first
        observations are outside of their bounds.

    Raises:
      UserError: if it cannot be made, has a space that is not supported, or breaks gymnasium's
        contract at the first step.
    """
    env = make(config._replace(mask_source=""))
    try:
        assert env.spec is not None  # set by making it
        spec, limit = env.spec, step_limit(env)
        key = (repr(config), type(env.unwrapped))
        trial.check_spaces(env, config.id)
        spaces = space_spec(env.observation_space, env.action_space)  # raises before the trial step
        if key not in _tried and not is_gymnasiums(spec, config):
            for obs in trial.check(env, config.id):
                named = zip(spaces.obs.parts, spaces.obs.leaves(obs), strict=True)
                arrays = {part.name: np.asarray(x)[None] for part, x in named}
                outside.note(config.id, env.observation_space, arrays, say)
            _tried.add(key)
        source = action_masks.find(env, config.id, config.action_masks)
        config = config._replace(mask_source=source)
        if source:
            env = action_masks.ActionMasks(env, source, config.id)
        spaces = space_spec(env.observation_space, env.action_space, bool(source))
        info = EnvInfo(config, spec, env.observation_space, env.action_space, spaces, limit)
        _note_limit(info, say)
        return info
    finally:
        env.close()


def of_spaces(observation_space: gym.Space, action_space: gym.Space) -> EnvInfo:
    """Description of an environment of which only a data set's spaces are known.

    Raises:
      UserError: for spaces that are not supported.
    """
    spaces = observation_space, action_space
    return EnvInfo(EnvConfig("the data set"), EnvSpec("data"), *spaces, space_spec(*spaces))


def _note_limit(info: EnvInfo, say: Callable[[str], None]) -> None:
    """Print once that nothing is known to end an environment's episodes."""
    name = info.config.id
    ends = comes_with_gymnasium(info) and info.spec.name in ALWAYS_END
    if info.limit is None and not ends and name not in _noted:
        _noted.add(name)
        say(
            f"note: {name} has no step limit; if its episodes may go on for ever, set "
            f"env.max_episode_steps (one of {wrapping.LONGEST} steps stops the run)"
        )


def quiet() -> None:
    """Suppress gymnasium's warnings, such as those about newer versions, in a command's output."""
    gym.logger.min_level = logging.ERROR
