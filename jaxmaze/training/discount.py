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
ENOUGH = 200
"""Steps that tell whether lasting pays, where it is known that episodes end."""

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
    known = info.limit is None or any(map(_terminates, sets))
    ends, lasting_pays = _tried(info, known)
    return horizon.Episodes(info.limit, longest, ends, lasting_pays)


def _terminates(demos: Demonstrations) -> bool:
    return not demos.truncated.all()


def _tried(info: EnvInfo, known: bool) -> tuple[bool, bool]:
    """Whether episodes end by themselves, and whether lasting pays, by a few of random actions.

    They must be able to end where all rewards are equal: only an end can then make a difference.
    Lasting pays where more than half of the steps have a positive reward, though actions are not
    chosen for it, and not all the same. Steps at which an episode ends are left out.

    Args:
      info: the environment.
      known: whether it is already known that episodes end by themselves.
    """
    config = info.config._replace(max_episode_steps=min(info.limit or LONGEST, LONGEST))
    seeds = seeding.episode_seeds(0, seeding.TRAINING, TRIES)
    ends, tried = known, np.zeros(0)
    for episode in iter_episodes(info._replace(config=config), random.make(info, 0), seeds, 1):
        ends = ends or episode.terminated
        tried = np.append(tried, episode.rewards[:-1] if episode.terminated else episode.rewards)
        if ends and len(tried) >= ENOUGH:
            break
    if not tried.size:  # each try ended at its first step
        return ends, False
    alike = float(np.ptp(tried)) == 0
    return ends or alike, not alike and float((tried > 0).mean()) > 0.5
