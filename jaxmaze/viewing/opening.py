"""From what a user names to a viewer: data sets, runs and policies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from jaxmaze import config as config_lib
from jaxmaze import trust as trust_lib
from jaxmaze.config import Settings
from jaxmaze.envs import environment, replay
from jaxmaze.errors import UserError
from jaxmaze.inspection import recorded_envs
from jaxmaze.inspection.recordings import Recordings
from jaxmaze.runs import console, run_folder, same_environment, sources
from jaxmaze.training import evaluation
from jaxmaze.viewing.names import Names
from jaxmaze.viewing.opinions import Judge
from jaxmaze.viewing.sources import FromData, Played, Source, has_data
from jaxmaze.viewing.viewer import Viewer


def open_viewer(
    data: Sequence[str],
    policies: Sequence[str] = (),
    config: Settings | None = None,
    trust: bool = False,
    n_episodes: int = 10,
) -> Viewer:
    """A viewer of one data set or run, or of two side by side.

    Args:
      data: one or two names: folders with recorded episodes, Minari ids, or runs, whose policies
        then play episodes.
      policies: runs whose policies are shown beside what was done.
      config: names the environment, and what observations and actions are called; by default the
        one that the data or the run name.
      trust: whether code that their folders name may be imported.
      n_episodes: number of episodes that a run's policy plays, and that go into a file.

    Raises:
      UserError: if there are no episodes, those of two are of different environments, or a policy
        does not fit them.
    """
    called = _labels([*data, *policies])
    judges = {path: Judge.of_run(Path(path), called[path]) for path in dict.fromkeys(policies)}
    opened: list[Source] = []
    for name in data:
        path = sources.locate(name)
        if has_data(path) or not (path / run_folder.CONFIG).is_file():
            opened.append(_recorded(path, called[name], config, trust))
            continue
        if run_folder.read_config(path)["kind"] == "rollout":
            raise UserError(f"{path} holds no recorded episodes; play them with --record")
        judge = judges.get(name) or Judge.of_run(path, called[name])
        judges[name] = judge
        opened.append(_played(path, judge, config, trust, n_episodes if not opened else 0))
    if config is None:
        environments = {source.name: source.environment for source in opened}
        same_environment.check(environments, "show each alone, or give two of one environment")
    first = opened[0]
    for source in opened[1:]:
        if [leaf[:3] for leaf in source.leaves[1]] != [leaf[:3] for leaf in first.leaves[1]]:
            raise UserError(f"{source.name} has other actions than {first.name}; show each alone")
    for source in opened:
        for judge in judges.values():
            judge.check(*source.spaces)
    return Viewer(opened, list(judges.values()), n_episodes)


def _labels(names: Sequence[str]) -> dict[str, str]:
    """A short name for each folder: as many of its last parts as tell it from the others."""
    parts = {name: Path(name).resolve().parts for name in names}
    deepest = max(map(len, parts.values()))
    found = {}
    for name, mine in parts.items():
        found[name] = name
        for count in range(1, deepest if Path(name).is_dir() else 0):
            if sum(other[-count:] == mine[-count:] for other in parts.values()) == 1:
                found[name] = "/".join(mine[-count:])
                break
    return found


def _recorded(path: Path, name: str, config: Settings | None, trust: bool) -> FromData:
    recordings = Recordings(path, trust)
    made = recorded_envs.find(recordings, config, trust)
    named = made.name if isinstance(made, replay.Source) else _env_id(recordings)
    settings = config
    run = recorded_envs.run_of(recordings)
    if settings is None and run is not None:
        try:
            settings = config_lib.to_settings(run_folder.load_config(run))
        except UserError:  # of another version; only the names are missing then
            settings = None
    return FromData(name, recordings, made, named, _names(settings))


def _env_id(recordings: Recordings) -> str:
    """The name of the environment that a data set's metadata have; empty without one."""
    try:
        return str(json.loads(recordings.metadata["env_spec"])["id"])
    except (KeyError, TypeError, ValueError):
        return ""


def _played(
    path: Path, judge: Judge, config: Settings | None, trust: bool, n_episodes: int
) -> Source:
    """The episodes of a run's policy; its demonstrations if it was cloned without environment."""
    run = run_folder.delivering(path)
    if config is None:
        loaded = run_folder.load_config(run)
        paths = config_lib.import_paths(loaded)
        settings = config_lib.to_settings(loaded)
        if not settings.env.named:
            return _demonstrated(run, judge, trust)
        trust_lib.check({k: v for k, v in paths.items() if k.startswith("env.")}, run, trust)
    else:
        settings = config
    info = environment.describe(environment.EnvConfig.of(settings.env), console.say)
    judge.check(info.observation_space, info.action_space)
    counted = settings.replace("evaluation", episodes=max(n_episodes, 1))
    seeds = evaluation.test_seeds(counted)[:n_episodes]
    play = judge.trained
    return Played(judge.name, info, play, [int(s) for s in seeds], _names(settings))


def _demonstrated(run: Path, judge: Judge, trust: bool) -> FromData:
    listed = run_folder.demonstrations(run)
    if not listed:
        raise UserError(f"{run} names no environment to play in; name one with --config or --env")
    return _recorded(Path(listed[0].paths[0]), judge.name, None, trust)


def _names(settings: Settings | None) -> Names:
    if settings is None:
        return Names()
    return Names(settings.env.observation_names or (), settings.env.action_names or ())
