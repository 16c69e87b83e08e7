"""gymnasium environments: making them and describing their spaces."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any, NamedTuple

import gymnasium as gym

from jaxmaze.core.types import SpaceSpec
from jaxmaze.errors import UserError


class EnvConfig(NamedTuple):
    """Which environment: all that is needed to make another one just like it.

    Attributes:
      id: a registered id; ``package.module:Name-v0`` imports the module first.
      kwargs: the environment's own arguments, as JSON, so that this is hashable.
      max_episode_steps: steps after which an episode is truncated; the registered limit if None.
    """

    id: str
    kwargs: str = "{}"
    max_episode_steps: int | None = None

    @classmethod
    def of(cls, section: Any) -> EnvConfig:
        """From the ``env`` section of a configuration."""
        try:
            kwargs = json.dumps(dict(section.kwargs))
        except TypeError as error:
            raise UserError(
                f"env.kwargs must be numbers, texts, lists and the like: {error}"
            ) from None
        return cls(section.id, kwargs, section.max_episode_steps)


class EnvInfo(NamedTuple):
    """What an environment looks like from outside."""

    config: EnvConfig
    spec: Any
    observation_space: gym.Space
    action_space: gym.Space
    spaces: SpaceSpec


def make(config: EnvConfig, render_mode: str | None = None) -> gym.Env:
    """Make one environment.

    Raises:
      UserError: if it does not exist, is retired, or refuses its arguments.
    """
    kwargs = json.loads(config.kwargs)
    if render_mode is not None:
        kwargs["render_mode"] = render_mode
    if config.max_episode_steps is not None:
        kwargs["max_episode_steps"] = config.max_episode_steps
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return gym.make(config.id, disable_env_checker=True, **kwargs)
    except gym.error.DependencyNotInstalled as error:
        raise UserError(f"env.id={config.id} needs a package that is missing: {error}") from error
    except gym.error.Error as error:
        raise UserError(f"env.id={config.id} cannot be made: {_first_line(error)}") from error
    except ModuleNotFoundError as error:
        raise UserError(f"env.id={config.id} cannot be imported: {error}") from error
    except ImportError as error:
        raise UserError(f"env.id={config.id} cannot be made: {_first_line(error)}") from error
    except Exception as error:  # An environment's constructor may raise anything.
        raise UserError(
            f"env.id={config.id} with env.kwargs={config.kwargs} cannot be made: "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def describe(config: EnvConfig) -> EnvInfo:
    """The spaces and specification of an environment.

    Raises:
      UserError: if it cannot be made, or has a space that is not supported.
    """
    env = make(config)
    try:
        spaces = space_spec(env.observation_space, env.action_space)
        return EnvInfo(config, env.spec, env.observation_space, env.action_space, spaces)
    finally:
        env.close()


def space_spec(observation_space: gym.Space, action_space: gym.Space) -> SpaceSpec:
    """What networks need to know of the two spaces.

    Raises:
      UserError: for spaces other than a box of observations and a discrete or box action.
    """
    if not isinstance(observation_space, gym.spaces.Box):
        raise UserError(
            f"observation space {observation_space} is not supported: only Box is, so wrap the "
            "environment with gymnasium.wrappers.FlattenObservation"
        )
    shape = tuple(int(n) for n in observation_space.shape)
    if isinstance(action_space, gym.spaces.Discrete):
        if action_space.start != 0:
            raise UserError(
                f"action space {action_space} is not supported: actions must start at 0"
            )
        return SpaceSpec(shape, "discrete", int(action_space.n))
    if isinstance(action_space, gym.spaces.Box) and len(action_space.shape) == 1:
        low = tuple(float(x) for x in action_space.low)
        high = tuple(float(x) for x in action_space.high)
        return SpaceSpec(shape, "continuous", len(low), low, high)
    raise UserError(
        f"action space {action_space} is not supported: only Discrete and one-dimensional Box are"
    )


def spec_json(info: EnvInfo) -> str:
    """Gymnasium's own JSON of the specification, arguments and step limit included."""
    return info.spec.to_json()


def registered_limit(info: EnvInfo) -> int | None:
    """Steps after which the environment truncates an episode if nothing else is asked for."""
    return gym.spec(info.config.id).max_episode_steps


def can_be_sent(info: EnvInfo) -> bool:
    """Whether another process can make the environment: not if its class lives in a notebook."""
    entry_point = info.spec.entry_point
    return isinstance(entry_point, str) and not entry_point.startswith("__main__")


def comes_with_gymnasium(info: EnvInfo) -> bool:
    """Whether the environment's code is gymnasium's own."""
    entry_point = info.spec.entry_point
    return isinstance(entry_point, str) and entry_point.startswith("gymnasium.")


def register(spec_json: str) -> None:
    """Make a specification known in this process, if its id is not (registered by a caller)."""
    spec = gym.envs.registration.EnvSpec.from_json(spec_json)
    if spec.id not in gym.registry:
        gym.register(
            spec.id,
            entry_point=spec.entry_point,
            max_episode_steps=spec.max_episode_steps,
            order_enforce=spec.order_enforce,
            kwargs=spec.kwargs,
        )


def quiet() -> None:
    """Keep gymnasium's advice about newer versions and the like out of a command's output."""
    gym.logger.min_level = logging.ERROR
