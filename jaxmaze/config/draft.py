"""Drafting a first config file for an environment, based on its spaces."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping

from jaxmaze.config.door import ConfigLike, to_settings
from jaxmaze.config.settings import FIELDS, SECTIONS, get
from jaxmaze.core.spaces import Box
from jaxmaze.core.types import Json
from jaxmaze.core.words import counted
from jaxmaze.envs.environment import EnvInfo

FIRST = {
    "env": ("id", "kwargs", "max_episode_steps"),
    "network": ("encoder", "hidden_sizes", "activation"),
    "rollout": ("policy", "n_episodes"),
    "bc": ("learning_rate", "batch_size", "num_updates", "validation_percentage", "best_by"),
    "dagger": ("rounds", "n_episodes"),
    "ppo": ("learning_rate", "total_env_steps", "num_envs", "num_steps", "gamma", "entropy_coef"),
    "evaluation": ("episodes",),
}
"""The fields that users change first, by section."""
NO_LIMIT = 1000
"""Step limit for environments whose episodes otherwise may not end."""
MEMBERS = 3
"""Default number of seeds: the fewest that allow a confidence interval."""
WIDTH = 100
LARGE = 64
"""Observation size from which larger networks are suggested."""

HEAD = '''\
"""{title}

{about}

Recipes:
{recipes}

What is commented out has the library's default, and there are more fields: jaxmaze train --help.
"""

RECIPES = ("workflow", "bc", "dagger", "ppo")


def get_config(recipe={recipe}):
    """The configuration of a recipe."""
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {{recipe!r}}; choose one of {{', '.join(RECIPES)}}")
    return {{
        "stage": recipe,
'''
ABOUT = {
    "workflow": "record the teacher, clone it, fine-tune the clone, compare",
    "bc": "behavioural cloning alone; with --config.bc.data=DIR",
    "dagger": "the clone asks the teacher what to do in states that it gets into itself",
    "ppo": "PPO alone; from scratch, or from a clone with --config.ppo.init_from=DIR",
}


def text(info: EnvInfo, config: ConfigLike, chosen: Iterable[str], teacher: bool, name: str) -> str:
    """The file's text.

    Args:
      info: the environment.
      config: the configuration to write; only differences from the defaults are written.
      chosen: the fields that the user set, which are always written.
      teacher: whether the configured teacher supports the environment.
      name: name of the file, for the commands in it.
    """
    settings, hints = to_settings(config), _hints(info, teacher)
    values = {field: get(settings, field) for field in FIELDS} | _needed(info)
    active, recipe = {"env.id", *chosen, *_needed(info)}, "workflow"
    if teacher:
        active.add("rollout.policy")
    else:
        values["rollout.policy"], recipe = "my_teachers:act", "ppo"
    if "stage" in active:
        recipe = settings.stage
    if "members" not in active:
        values["members"] = MEMBERS
    alone = ("members", *sorted(f for f in active - {"members", "stage"} if "." not in f))
    lines = [f'        "{f}": {_code(values[f])},  # {FIELDS[f].help}' for f in alone]
    for section in (name for name in FIRST if name in SECTIONS):
        more = [f.partition(".")[2] for f in active if f.startswith(f"{section}.")]
        fields = [f for f in (*FIRST[section], *sorted(more)) if f"{section}.{f}" in FIELDS]
        lines.append(f'        "{section}": {{')
        for leaf in dict.fromkeys(fields):
            field = f"{section}.{leaf}"
            mark = "" if field in active else "# "
            hint = hints.get(field, FIELDS[field].help)
            lines += _line(f'{mark}"{leaf}": {_code(values[field])},', hint)
        lines.append("        },")
    limit = info.spec.max_episode_steps or values["env.max_episode_steps"]
    spaces = info.spaces
    head = HEAD.format(
        title=f"{info.config.id}: {counted(limit, 'step')} an episode at most.",
        about=f"Observations: {spaces.obs.describe()}. Actions: {spaces.action.describe()}.",
        recipes=_recipes(recipe, name),
        recipe=_code(recipe),
    )
    return head + "\n".join(lines) + "\n    }\n"


def _line(code: str, comment: str) -> list[str]:
    """A field with its comment after it, or above it if the line would be too long."""
    line, indent = f"{code}  # {comment}", " " * 12
    if len(indent) + len(line) <= WIDTH:
        return [indent + line]
    return [f"{indent}# {comment}:", indent + code]


def _needed(info: EnvInfo) -> Json:
    """Values that the environment needs in order to be usable."""
    return {} if info.spec.max_episode_steps else {"env.max_episode_steps": NO_LIMIT}


def _recipes(default: str, name: str) -> str:
    """The docstring's list of recipes with their commands."""
    each = []
    for recipe, about in ABOUT.items():
        suffix = "" if recipe == default else f":{recipe}"
        shown = "(none)" if recipe == default else recipe
        each += [f"  {shown:<8}  {about}", f"            jaxmaze train --config={name}{suffix}"]
    return "\n".join(each)


def _hints(info: EnvInfo, teacher: bool) -> Mapping[str, str]:
    """Hints for this environment, by field, that replace the field's help text."""
    found, limit = {}, info.spec.max_episode_steps
    found["env.id"] = "a registered id, or module:Name-v0"
    found["env.max_episode_steps"] = (
        f"the registered limit, {limit}, if None"
        if limit
        else "it has no limit of its own: steps after which an episode is cut"
    )
    found["rollout.policy"] = (
        "the teacher; or a run's folder, or module:function"
        if teacher
        else "no teacher is known: name a function of your own, module:function"
    )
    if info.spaces.obs.size > LARGE:
        found["network.hidden_sizes"] = (
            f"an observation has {info.spaces.obs.size} numbers: try (256, 256)"
        )
    if info.spaces.obs.num_pixels:
        found["network.encoder"] = "there are images: nature if auto, or impala"
    found["ppo.gamma"] = "discount; from the length of episodes if None; 0.99 looks 100 steps ahead"
    if isinstance(info.spaces.action, Box):
        found["ppo.entropy_coef"] = "weight of the entropy bonus; try 0 with continuous actions"
    return found


def _code(value: object) -> str:
    """A value as Python source code."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_code(k)}: {_code(x)}" for k, x in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_code, value)) + "]"
    if isinstance(value, float) and math.isinf(value):
        return f'float("{value}")'
    return repr(value)
