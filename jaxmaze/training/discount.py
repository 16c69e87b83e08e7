"""The discount of runs that set none, by the rule of :mod:`jaxmaze.core.horizon`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxmaze.config import Settings
from jaxmaze.core import horizon, seeding
from jaxmaze.core.types import Json
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import iter_episodes
from jaxmaze.runs import console, run_folder
from jaxmaze.teachers import random
from jaxmaze.training.handover import Demonstrations
from jaxmaze.training.ppo_arms import DemonstrationSets

ENTRY = "discount"
"""The rule's entry in config.json and summary.json."""
TRIES, LONGEST = 4, 1000
"""Episodes that are tried with random actions to see how they end, and the most steps of each."""

Arms = Mapping[str, tuple[Settings, Path]]


def settled(
    arms: Arms, info: EnvInfo, demonstrated: DemonstrationSets
) -> tuple[Arms, dict[str, Json]]:
    """The arms with a discount each, and the rule of those that set none.

    All of these have the same, so that they can be compared. A run that is resumed keeps its own.

    Args:
      arms: configuration and folder of each run.
      info: the environment.
      demonstrated: reads the demonstrations behind their clones.

    Returns:
      The arms; and what those that set no discount are to record in config.json, by name.
    """
    unset = {name: arm for name, arm in arms.items() if arm[0].ppo.gamma is None}
    if not unset:
        return arms, {}
    begun = (workdir for _, workdir in unset.values() if (workdir / run_folder.CONFIG).exists())
    rule = next(filter(None, map(rule_of, begun)), None)
    if rule is None:
        episodes = _episodes(info, [config for config, _ in arms.values()], demonstrated)
        found = {"gamma": horizon.discount_of(episodes), "rule": horizon.reason_for(episodes)}
        rule = {ENTRY: found}
    found = rule[ENTRY]
    console.say(f"discount {found['gamma']:g} = {found['rule']} (config.ppo.gamma sets another)")
    with_it = {
        name: (config.replace("ppo", gamma=found["gamma"]), workdir)
        for name, (config, workdir) in unset.items()
    }
    return {**arms, **with_it}, dict.fromkeys(unset, rule)


def rule_of(run: Path) -> Json:
    """The entry in a run's config.json with its rule; empty if its discount was set.

    Raises:
      UserError: if it is not a run's folder, or was written in another format.
    """
    found = run_folder.read_config(run).get(ENTRY)
    known = isinstance(found, dict) and {"gamma", "rule"} <= set(found)
    return {ENTRY: found} if known else {}


def _episodes(
    info: EnvInfo, configs: Sequence[Settings], demonstrated: DemonstrationSets
) -> horizon.Episodes:
    """What demonstrations and a few tries tell of the environment's episodes."""
    sets = [demos for config in configs for demos in demonstrated.behind(config)]
    longest = max((int(demos.lengths().max()) for demos in sets), default=None)
    # Without a limit, nothing else ends them.
    ends = info.limit is None or any(map(_terminates, sets)) or _ends_by_itself(info)
    return horizon.Episodes(info.limit, longest, ends)


def _terminates(demos: Demonstrations) -> bool:
    return not demos.truncated.all()


def _ends_by_itself(info: EnvInfo) -> bool:
    """Whether episodes with random actions terminate, or must be able to.

    They must where all rewards are equal: only an end can then make a difference.
    """
    config = info.config._replace(max_episode_steps=min(info.limit or LONGEST, LONGEST))
    seeds = seeding.episode_seeds(0, seeding.TRAINING, TRIES)
    rewards = []
    for episode in iter_episodes(info._replace(config=config), random.make(info, 0), seeds, 1):
        if episode.terminated:
            return True
        rewards.append(episode.rewards)
    return float(np.ptp(np.concatenate(rewards))) == 0
