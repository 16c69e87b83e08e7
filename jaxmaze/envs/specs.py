"""Environment specifications: as JSON, for data sets, and as registered."""

from __future__ import annotations

import dataclasses
import json

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs import importing, making, wrapping
from jaxmaze.envs.env_config import EnvConfig, EnvInfo


def spec_dict(info: EnvInfo) -> Json:
    """The specification as values that JSON can hold, arguments and step limit included.

    It is gymnasium's own JSON if that exists; functions, classes and other objects are replaced by
    their names, ``"module:name"``.
    """
    spec = info.spec
    fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.init}
    fields["additional_wrappers"] = [
        {f.name: getattr(wrapper, f.name) for f in dataclasses.fields(wrapper)}
        for wrapper in spec.additional_wrappers
    ]
    if info.config.make is not None:  # its own name, not that of the substitute
        fields["entry_point"] = importing.text(info.config.make)
    return json.loads(json.dumps(fields, default=_in_words, skipkeys=True))


def _in_words(value: object) -> PyTree:
    """The JSON replacement for an object that JSON cannot hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, gym.Space):
        return str(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def spec_for_data(info: EnvInfo) -> PyTree:
    """The specification for a data set, which must be JSON.

    The arguments of a wrapper are left out if they are not JSON, so that gymnasium refuses to make
    the environment instead of making a different one.
    """
    spec = EnvSpec.from_json(json.dumps(spec_dict(info)))
    for ours, written in zip(info.spec.additional_wrappers, spec.additional_wrappers, strict=True):
        try:
            json.dumps(ours.kwargs)
        except (TypeError, ValueError):
            written.kwargs = None
    return spec


def registered_spec(info: EnvInfo) -> PyTree:
    """The registered specification, without changes by the configuration."""
    # Not config.id: gym.spec supports neither "module:Name-v0" nor names without a version.
    return gym.spec(info.spec.id)


def registered_limit(info: EnvInfo) -> int | None:
    """The step limit of the environment unless the configuration sets another."""
    config = info.config
    if config.make is None:
        return registered_spec(info).max_episode_steps
    # Without wrappers: some refuse an environment without a limit.
    bare = EnvConfig(config.id, config.kwargs, make=config.make, frame_skip=config.frame_skip)
    env = making.make(bare)
    try:
        return wrapping.step_limit(env)
    finally:
        env.close()
