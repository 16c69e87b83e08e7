"""The units of a run's actions: found once, then kept with its policies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxmaze.config import Settings
from jaxmaze.core.spaces import Spaces
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint, run_folder


def spaces_of(workdir: Path, info: EnvInfo, episodes: Iterable[Episode]) -> Spaces:
    """The environment's spaces with the units of a run that clones.

    Those of the run's own checkpoint if it is resumed, whatever version wrote it.

    Args:
      workdir: the run's folder, which need not exist.
      info: the environment.
      episodes: the demonstrations, which set the units where bounds do not; else not looked at.
    """
    kept = _kept(workdir, info)
    if kept is not None:
        return kept
    action = info.spaces.action
    if not action.needs_actions():
        return info.spaces.in_units()
    taken = [(e.actions if e.labels is None else e.labels, e.length) for e in episodes]
    return info.spaces.in_units(np.concatenate([action.from_env(x)[:n] for x, n in taken]))


def spaces_of_arms(arms: Sequence[tuple[Settings, Path]], info: EnvInfo) -> Spaces:
    """The environment's spaces with the common units of PPO runs that train together.

    Runs from scratch have the units of the clones that they train beside; alone, those that the
    bounds set.

    Args:
      arms: configuration and folder of each run.
      info: the environment.

    Raises:
      UserError: if runs that they start from have different units, or cannot be read.
    """
    if not _matter(info):
        return info.spaces
    origins = dict.fromkeys(c.ppo.init_from for c, _ in arms if c.ppo.init_from is not None)
    folders = [workdir for _, workdir in arms] + [
        run_folder.delivering(Path(origin)) for origin in origins
    ]
    found = {folder: _kept(folder, info) for folder in folders}
    known = {spaces: folder for folder, spaces in found.items() if spaces is not None}
    if len(known) > 1:
        first, second, *_ = known.values()
        raise UserError(
            f"the policies of {first} and {second} have different units of actions, because they "
            "are clones of different demonstrations or of another version's; train them apart"
        )
    return next(iter(known), info.spaces.in_units())


def _matter(info: EnvInfo) -> bool:
    """Whether policies may have other units than the environment."""
    action = info.spaces.action
    return action.needs_actions() or action.in_units() != action


def _kept(workdir: Path, info: EnvInfo) -> Spaces | None:
    """The spaces in a run's checkpoint; None without one, or if they are of other spaces."""
    if not _matter(info) or not checkpoint.there(workdir):
        return None
    with checkpoint.Checkpoints(workdir, read_only=True) as checkpoints:
        if checkpoints.latest() is None:
            return None
        spaces = checkpoint.networks_of(checkpoints.meta()).spaces
    return spaces if spaces.bare() == info.spaces else None
