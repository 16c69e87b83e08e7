"""Environment configurations as values that can be hashed and sent to other processes."""

from __future__ import annotations

import json
from typing import NamedTuple, Protocol, TypeAlias

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from jaxmaze.core.spaces import Spaces
from jaxmaze.core.types import JsonMap
from jaxmaze.envs import importing
from jaxmaze.envs.action_masks import Source
from jaxmaze.errors import UserError

Wrapping: TypeAlias = tuple[importing.Code | str, str]
"""A wrapper's import path (or the wrapper if it has none), and its arguments as JSON."""


class EnvSection(Protocol):
    """The fields of the settings section ``env`` that this package reads."""

    @property
    def id(self) -> str | None: ...
    @property
    def make(self) -> str | None: ...
    @property
    def kwargs(self) -> JsonMap: ...
    @property
    def backend(self) -> str: ...
    @property
    def max_episode_steps(self) -> int | None: ...
    @property
    def wrappers(self) -> tuple[object, ...]: ...
    @property
    def reset_options(self) -> JsonMap: ...
    @property
    def frame_skip(self) -> int: ...
    @property
    def frame_stack(self) -> int: ...
    @property
    def grayscale(self) -> bool: ...
    @property
    def resize(self) -> tuple[int, ...] | None: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def shards(self) -> int: ...
    @property
    def action_masks(self) -> bool | None: ...


class EnvConfig(NamedTuple):
    """All that is needed to make an environment.

    Attributes:
      id: a registered id; ``package.module:Name-v0`` imports the module first. With ``make``, only
        the environment's name.
      kwargs: the arguments of the environment or of ``make``, as JSON, so that this is hashable.
      max_episode_steps: steps after which an episode is truncated; the registered limit if None.
      make: a function that makes the environment: its import path, or the function if it has none.
      wrappers: import paths (or wrappers without one) and arguments as JSON, in order.
      reset_options: ``options`` passed to each reset, as JSON; none if empty.
      frame_skip: steps for which an action is repeated.
      frame_stack: number of latest observations that are stacked.
      grayscale: whether images are converted to grayscale.
      resize: height and width that images are resized to; unchanged if None.
      action_masks: whether policies respect its action masks; None for if it has any.
      mask_source: where the masks come from, as ``environment.describe`` found.
    """

    id: str
    kwargs: str = "{}"
    max_episode_steps: int | None = None
    make: importing.Code | str | None = None
    wrappers: tuple[Wrapping, ...] = ()
    reset_options: str = "{}"
    frame_skip: int = 1
    frame_stack: int = 1
    grayscale: bool = False
    resize: tuple[int, int] | None = None
    action_masks: bool | None = None
    mask_source: Source = ""

    @classmethod
    def of(cls, section: EnvSection) -> EnvConfig:
        """From the ``env`` section of a configuration.

        Raises:
          UserError: if it names no environment, or has arguments that JSON cannot hold.
        """
        if section.id is None and section.make is None:
            raise UserError(
                "config.env.id is not set, and this needs an environment; give a gymnasium id, "
                "module:Name-v0 for one of your own, or a function in config.env.make"
            )
        make = None if section.make is None else _named(section.make)
        sizes = section.resize  # a single number means both
        return cls(
            section.id or ("" if make is None else importing.text(make)),
            _json("kwargs", section.kwargs),
            section.max_episode_steps,
            make,
            tuple(
                (_named(code), _json("wrappers", kwargs))
                for code, kwargs in map(importing.wrapping, section.wrappers)
            ),
            _json("reset_options", section.reset_options),
            section.frame_skip,
            section.frame_stack,
            section.grayscale,
            (sizes[0], sizes[-1]) if sizes else None,
            section.action_masks,
        )

    @property
    def named(self) -> str:
        """The field that selects the environment, with its value."""
        return f"env.id={self.id}" if self.make is None else f"env.make={importing.text(self.make)}"

    def code(self) -> tuple[importing.Code | str, ...]:
        """The user's code it contains: the function that makes the environment, and wrappers."""
        made = () if self.make is None else (self.make,)
        return (*made, *(code for code, _ in self.wrappers))


class EnvInfo(NamedTuple):
    """Description of an environment.

    Attributes:
      config: its configuration.
      spec: its specification: arguments, wrappers and limit included. If only a data set's spaces
        are known, it has no entry point.
      observation_space: space of the observations that policies see, after wrapping.
      action_space: space of the policies' actions.
      spaces: the two spaces in the form that networks use.
      limit: actions after which every episode is truncated; None if no limit is known.
    """

    config: EnvConfig
    spec: EnvSpec
    observation_space: gym.Space
    action_space: gym.Space
    spaces: Spaces
    limit: int | None = None

    @property
    def exists(self) -> bool:
        """Whether there is an actual environment, and not only a data set's spaces."""
        return self.spec.entry_point is not None


def _named(code: object) -> importing.Code | str:
    """An import path, or the code itself if it has none."""
    return code if isinstance(code, str) else importing.path_of(code) or code  # type: ignore


def _json(field: str, values: JsonMap) -> str:
    try:
        return json.dumps(dict(values))
    except TypeError as error:
        hint = (
            "; give a function of the environment instead, lambda env: MyWrapper(env, ...)"
            if field == "wrappers"
            else ""
        )
        raise UserError(
            f"env.{field} must be numbers, texts, lists and the like: {error}{hint}"
        ) from None
