"""The configuration: every field with its default, type and range, in one table.

A config file is partial or whole; what it leaves out has the default of this table. A field that is
not in the table, or a value out of its range, stops a command before anything is computed.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import ml_collections
from ml_collections import config_dict

from jaxmaze import sweeps
from jaxmaze.core.networks import ACTIVATIONS, Networks
from jaxmaze.core.types import NetworkSpec, SpaceSpec
from jaxmaze.errors import UserError

BETA_SCHEDULES = ("indicator", "linear", "exponential")
STAGES = ("workflow", "bc", "dagger", "ppo")
ConfigLike: TypeAlias = ml_collections.ConfigDict | Mapping[str, Any]
"""A configuration, whole or partial, as a user may give it."""


class Field(NamedTuple):
    """One field: its default, and what it may be.

    Attributes:
      default: the value where a config file says nothing; None for "not set".
      type: the Python type; an int is taken where a float is expected.
      low: smallest value.
      high: largest value.
      above: whether ``low`` itself is excluded.
      choices: the only values allowed.
      optional: whether None is allowed.
    """

    default: Any
    type: type
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    choices: tuple[Any, ...] = ()
    optional: bool = False


def _positive(default: Any, type_: type = float) -> Field:
    return Field(default, type_, low=0, above=True)


def _count(default: int | None, low: int = 1, optional: bool = False) -> Field:
    return Field(default, int, low=low, optional=optional)


def _share(default: float) -> Field:
    return Field(default, float, low=0, high=1)


def _at_least_0(default: float) -> Field:
    return Field(default, float, low=0)


FIELDS: dict[str, Field] = {
    "stage": Field("workflow", str, choices=STAGES),
    "seed": Field(0, int, low=0, high=2**31 - 1),
    "members": _count(1),
    "sweep": Field({}, dict),
    "env.id": Field(None, str),
    "env.kwargs": Field({}, dict),
    "env.backend": Field("gymnasium", str, choices=("gymnasium", "envpool")),
    "env.max_episode_steps": _count(None, optional=True),
    "env.workers": _count(None, low=0, optional=True),
    "env.shards": _count(4),
    "network.hidden_sizes": Field((64, 64), tuple),
    "network.activation": Field("tanh", str, choices=tuple(sorted(ACTIVATIONS))),
    "rollout.policy": Field("heuristic", str),
    "rollout.n_episodes": _count(100),
    "rollout.num_envs": _count(16),
    "bc.data": Field(None, str, optional=True),
    "bc.learning_rate": _at_least_0(3e-3),
    "bc.batch_size": _count(128),
    "bc.num_epochs": _count(50),
    "bc.validation_percentage": Field(20.0, float, low=0, high=100),
    "bc.patience": _count(10, low=0),
    "bc.entropy_coef": _at_least_0(0.0),
    "bc.weight_decay": _at_least_0(0.0),
    "bc.max_grad_norm": _positive(math.inf),
    "bc.best_by": Field("validation_loss", str, choices=("validation_loss", "return")),
    "bc.refit": Field(True, bool),
    "bc.eval_every": _count(10, low=0),
    "bc.eval_episodes": _count(20),
    "dagger.policy": Field(None, str, optional=True),
    "dagger.rounds": _count(10),
    "dagger.n_episodes": _count(5),
    "dagger.beta_schedule": Field("indicator", str, choices=BETA_SCHEDULES),
    "dagger.beta_decay": _share(0.5),
    "dagger.eval_episodes": _count(20),
    "dagger.playoff_episodes": _count(200, low=0),
    "ppo.init_from": Field(None, str, optional=True),
    "ppo.learning_rate": _at_least_0(5e-4),
    "ppo.value_learning_rate": Field(1e-3, float, low=0, optional=True),
    "ppo.learning_rate_schedule": Field("linear", str, choices=("linear", "constant")),
    "ppo.num_envs": _count(16),
    "ppo.num_steps": _count(256),
    "ppo.batch_size": _count(64, low=2),
    "ppo.num_epochs": _count(4),
    "ppo.total_env_steps": _count(300_000),
    "ppo.gamma": _share(0.999),
    "ppo.gae_lambda": _share(0.98),
    "ppo.clip_range": _positive(0.2),
    "ppo.entropy_coef": _at_least_0(0.005),
    "ppo.value_coef": _at_least_0(0.5),
    "ppo.max_grad_norm": _positive(0.5),
    "ppo.target_kl": Field(None, float, low=0, above=True, optional=True),
    "ppo.audit": Field("stop", str, choices=("stop", "report")),
    "ppo.exploration": Field("reset", str, choices=("kept", "calibrated", "reset")),
    "ppo.start_exploration": Field(0.3, float, low=0, high=1, above=True),
    "ppo.critic_fit_epochs": _count(10, low=0),
    "ppo.critic_burn_in": _count(10, low=0),
    "ppo.burn_in_until": Field(0.5, float, low=0, high=1, optional=True),
    "ppo.anchor_coef": _at_least_0(0.0),
    "ppo.anchor_schedule": Field("linear", str, choices=("linear", "constant")),
    "ppo.anchor_target_kl": Field(None, float, low=0, above=True, optional=True),
    "ppo.cloning_coef": _at_least_0(0.0),
    "ppo.average_decay": Field(0.9, float, low=0, high=0.9999),
    "ppo.overlap": Field(False, bool),
    "ppo.eval_every": _count(8),
    "ppo.eval_episodes": _count(20),
    "ppo.playoff_episodes": _count(200, low=0),
    "evaluation.episodes": _count(300),
    "evaluation.deterministic": Field(True, bool),
    "evaluation.seed": Field(20_250, int, low=0, high=2**31 - 1),
}
SECTIONS = sorted({name.split(".")[0] for name in FIELDS if "." in name})


def default_config() -> ml_collections.ConfigDict:
    """A configuration with all fields at their defaults; ``env.id`` is still to be set."""
    config = ml_collections.ConfigDict()
    for name, field in FIELDS.items():
        section = config
        if "." in name:
            head, name = name.split(".")
            if head not in config:
                config[head] = ml_collections.ConfigDict()
            section = config[head]
        if field.default is None:
            section[name] = config_dict.placeholder(field.type)
        elif field.type is dict:
            section[name] = ml_collections.ConfigDict(field.default)
        else:
            section[name] = field.default
    return config


def make_config(values: ConfigLike) -> ml_collections.ConfigDict:
    """A locked configuration from nested values, with defaults for what they leave out.

    Raises:
      UserError: for what is no dict, and for a field that does not exist; values are checked by
        :func:`validate`.
    """
    if not isinstance(values, Mapping | ml_collections.ConfigDict):
        raise UserError(
            f"a configuration must be a dict or a ConfigDict, not the {type(values).__name__} "
            f"{values!r:.60}; jaxmaze.load_config reads one from a file"
        )
    config = default_config()
    for name, value in _flatten(_plain(values)):
        check_name(name)
        _set(config, name, value)
    return config.lock()


def _plain(values: ConfigLike) -> dict[str, Any]:
    """Nested dicts, whichever of the two kinds they are of."""
    pairs = values.to_dict() if isinstance(values, ml_collections.ConfigDict) else values
    return {
        str(key): _plain(value) if isinstance(value, Mapping | ml_collections.ConfigDict) else value
        for key, value in pairs.items()
    }


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values; ``env.kwargs`` is one value."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in SECTIONS:
            if not isinstance(value, Mapping):
                raise UserError(f"{name}={value!r} must be a section with fields")
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value


def _set(config: ml_collections.ConfigDict, name: str, value: Any) -> None:
    if name.startswith("env.kwargs."):
        name, value = "env.kwargs", config.env.kwargs.to_dict() | {name.split(".", 2)[2]: value}
    if name.startswith("sweep."):
        name, value = "sweep", config.sweep.to_dict() | {name.split(".", 1)[1]: value}
    section, _, leaf = name.rpartition(".")
    target = config[section] if section else config
    if name == "sweep":
        value = {k: tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in value.items()}
    if isinstance(value, Mapping):
        value = ml_collections.ConfigDict(dict(value))
    field = FIELDS[name]
    if field.type is tuple and isinstance(value, list):
        value = tuple(value)
    if field.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    with target.ignore_type():
        target[leaf] = value


def check_name(name: str) -> None:
    """Check that a dotted field name exists.

    Raises:
      UserError: with the nearest name that does.
    """
    if name in FIELDS or name.startswith("env.kwargs."):
        return
    if name.startswith("sweep."):
        if name.removeprefix("sweep.") not in sweeps.names():
            raise UserError(
                f"config.{name} cannot be swept; these can: {', '.join(sweeps.names())}"
            )
        return
    if name in SECTIONS:
        raise UserError(
            f"config.{name} is a section; set a field in it, such as {_fields_of(name)}"
        )
    close = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
    section = name.split(".")[0]
    hint = f"did you mean config.{close[0]}?" if close else (
        f"{section} has {_fields_of(section)}" if section in SECTIONS
        else f"the fields are {', '.join(FIELDS)}"
    )  # fmt: skip
    raise UserError(f"config.{name} is not a field; {hint}")


def _fields_of(section: str) -> str:
    return ", ".join(n.split(".")[1] for n in FIELDS if n.startswith(f"{section}."))


def expected(name: str) -> str:
    """What a field may be, in words."""
    field = FIELDS[name]
    if name == "network.hidden_sizes":
        return "a tuple of positive integers such as (64,64)"
    words = {
        int: "an integer", float: "a number", str: "a text", bool: "True or False",
        dict: "a set of arguments", tuple: "a tuple",
    }[field.type]  # fmt: skip
    if field.choices:
        words = "one of " + ", ".join(map(str, field.choices))
    low, high = field.low, field.high
    if low > -math.inf:
        words += f" {'above' if field.above else 'of at least'} {low:g}"
    if high < math.inf:
        words += f" {'and' if low > -math.inf else 'of'} at most {high:g}"
    return words + (", or None" if field.optional else "")


def _fits(name: str, value: Any) -> bool:
    field = FIELDS[name]
    if value is None:
        return field.optional
    if name == "network.hidden_sizes":
        return isinstance(value, tuple) and all(
            isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value
        )
    if field.type is dict:
        return isinstance(value, Mapping | ml_collections.ConfigDict)
    if isinstance(value, bool) and field.type is not bool:
        return False
    if field.type is float:
        if not isinstance(value, int | float) or math.isnan(value):
            return False
    elif not isinstance(value, field.type):
        return False
    if field.choices and value not in field.choices:
        return False
    if field.type in (int, float):
        above = value > field.low if field.above else value >= field.low
        return above and value <= field.high
    return True


def networks(config: ml_collections.ConfigDict, spaces: SpaceSpec) -> Networks:
    """The networks that a configuration asks for in an environment."""
    section = config.network
    return Networks(spaces, NetworkSpec(tuple(section.hidden_sizes), section.activation))


def get(config: ml_collections.ConfigDict, name: str) -> Any:
    """The value of a dotted field."""
    section, _, leaf = name.rpartition(".")
    return (config[section] if section else config)[leaf]


def validate(config: ConfigLike) -> ml_collections.ConfigDict:
    """Check every field and what they say together; returns a whole, locked configuration.

    Raises:
      UserError: one line that names the field and what it may be.
    """
    config = make_config(config)
    for name in FIELDS:
        value = get(config, name)
        if not _fits(name, value):
            shown = "not set" if value is None else f"{value!r}"
            raise UserError(f"config.{name} is {shown}; it must be {expected(name)}")
    _check_ppo(config)
    _check_sweep(config)
    return config


def _check_sweep(config: ml_collections.ConfigDict) -> None:
    """Whether the stage can take the sweep's fields, and those their values."""
    if not config.sweep:
        return
    if config.stage not in sweeps.FIELDS:
        raise UserError(
            f"config.sweep works with the stages {' and '.join(sweeps.FIELDS)}, not with "
            f"{config.stage}: choose a recipe such as :ppo"
        )
    for name, values in config.sweep.items():
        if name not in sweeps.FIELDS[config.stage]:
            raise UserError(
                f"config.sweep.{name} cannot be swept in {config.stage}; these can: "
                f"{', '.join(sweeps.FIELDS[config.stage])}"
            )
        full = f"{config.stage}.{name}"
        for value in values:
            if not _fits(full, value):
                raise UserError(f"config.sweep.{name} has {value!r}; each must be {expected(full)}")
        if not values or len(set(values)) < len(values):
            raise UserError(f"config.sweep.{name}={values} must be different values")


def _check_ppo(config: ml_collections.ConfigDict) -> None:
    """What the fields of ``ppo`` say together."""
    ppo = config.ppo
    segment = ppo.num_envs * ppo.num_steps
    if segment % ppo.batch_size:
        raise UserError(
            f"config.ppo.batch_size={ppo.batch_size} does not divide a segment of num_envs * "
            f"num_steps = {ppo.num_envs} * {ppo.num_steps} = {segment} steps; choose a divisor"
        )
    if ppo.total_env_steps < segment:
        raise UserError(
            f"config.ppo.total_env_steps={ppo.total_env_steps} is less than one segment of "
            f"num_envs * num_steps = {segment} steps; raise it or shorten the segment"
        )
    iterations = ppo.total_env_steps // segment
    clones = config.stage == "workflow" or (config.stage == "ppo" and ppo.init_from is not None)
    if clones and ppo.critic_burn_in >= iterations:
        raise UserError(
            f"config.ppo.critic_burn_in={ppo.critic_burn_in} leaves no iteration to learn in: "
            f"total_env_steps={ppo.total_env_steps} makes {iterations}"
        )
    if ppo.anchor_target_kl is not None and ppo.anchor_coef == 0:
        raise UserError(
            "config.ppo.anchor_target_kl adapts config.ppo.anchor_coef, which is 0; set it to the "
            "weight to begin with, such as 0.1"
        )


def to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """Nested plain values, as JSON can hold them and :func:`make_config` takes them back."""
    return json.loads(json.dumps(_finite(config.to_dict()), default=str))


def _finite(value: Any) -> Any:
    """JSON has no infinity: limits that are "none" are written as the text "inf"."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_finite(v) for v in value]
    return "inf" if isinstance(value, float) and value == math.inf else value


def from_dict(values: Mapping[str, Any]) -> ml_collections.ConfigDict:
    """The inverse of :func:`to_dict`, validated."""
    restored = {
        section: (
            {k: _infinite(v) for k, v in part.items()}
            if isinstance(part, Mapping) and section != "env"
            else part
        )
        for section, part in values.items()
    }
    return validate(make_config(restored))


def _infinite(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_infinite(v) for v in value)
    return math.inf if value == "inf" else value
