"""The check that replays recorded actions in the environment."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxmaze.core.types import Json, PyTree
from jaxmaze.core.words import counted
from jaxmaze.envs import replay
from jaxmaze.errors import UserError
from jaxmaze.inspection.recordings import Recorded, Recordings
from jaxmaze.inspection.survey import Survey
from jaxmaze.inspection.verdicts import OK, SKIPPED, WARNING, Check

STEPS = 20_000
"""Number of replayed steps after which no further episode is started."""


def chosen(s: Survey, count: int) -> list[int]:
    """Indices of the episodes to replay, spread evenly over those that can be replayed."""
    bad = ~np.isfinite(s.actions)
    for i, column in enumerate(s.columns):
        if column.discrete:  # environments may raise or crash on such an action
            bad[:, i] |= (s.actions[:, i] < column.low) | (s.actions[:, i] > column.high)
    broken = set(s.episode_of[bad.any(1)].tolist())
    fit = [i for i, seed in enumerate(s.seeds) if seed is not None and i not in broken]
    spread = np.unique(np.linspace(0, len(fit) - 1, min(count, len(fit))).astype(int))
    return [int(s.index[fit[i]]) for i in spread] if fit else []


def check(
    recordings: Recordings, s: Survey, source: replay.Source | UserError, count: int
) -> Check:
    """Replay some episodes.

    Args:
      recordings: the data set.
      s: its survey.
      source: the environment, or why there is none.
      count: number of episodes.
    """
    if not count:
        return Check("replay", SKIPPED, "no episode was to be played again.", {})
    if isinstance(source, UserError):
        return Check("replay", SKIPPED, f"not played again: {source}.", {})
    episodes = chosen(s, count)
    if not episodes:
        return Check("replay", SKIPPED, "not played again: no whole episode has a seed.", {})
    try:
        env = source.make(None)
    except UserError as error:
        return Check("replay", SKIPPED, f"not played again: {error}.", {})
    try:
        played = _play(recordings, env, episodes)
    finally:
        env.close()
    return _verdict(played, source.name)


def _play(recordings: Recordings, env: PyTree, episodes: list[int]) -> list[replay.Replay]:
    played: list[replay.Replay] = []
    for index in episodes:
        e = recordings.episode(index)
        if not isinstance(e, Recorded) or e.seed is None:  # it could be read a moment ago
            continue
        played.append(
            replay.play(env, index, e.seed, e.options, e.taken, e.observations, e.rewards)
        )
        if sum(p.steps for p in played) > STEPS:
            break
    return played


def _verdict(played: list[replay.Replay], name: str) -> Check:
    other = [p for p in played if not p.same]
    steps = sum(p.steps for p in played)
    largest = max((p.difference for p in played), default=0.0)
    figures: Json = {
        "environment": name,
        "episodes": len(played),
        "steps": steps,
        "differ": [p.index for p in other],
        "largest_difference": largest,
    }
    if not other:
        how = "up to rounding" if largest else "to the bit"
        return Check(
            "replay",
            OK,
            f"{name} reproduces the observations of {counted(len(played), 'episode')} ({steps:,} "
            f"steps) from their seeds and actions, {how}.",
            figures,
        )
    p = other[0]
    figures["first"] = dataclasses.asdict(p)
    if p.error:
        where = f"raises {p.error}"
    elif p.differs_at is None:
        where = "gives the observations, but other rewards"
    elif p.differs_at == 0:
        where = "differs from the first observation on"
    else:
        where = f"differs from step {p.differs_at} on"
    return Check(
        "replay",
        WARNING,
        f"{name} does not reproduce {len(other)} of {counted(len(played), 'episode')} from their "
        f"seeds and actions (episode {p.index} {where}): it has another version, other arguments "
        "or wrappers, or chance of its own, so check that clones are tried in the environment that "
        "was recorded.",
        figures,
    )
