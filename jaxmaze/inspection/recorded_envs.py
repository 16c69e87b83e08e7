"""The environment in which episodes were recorded: the one their folder names, if it is trusted."""

from __future__ import annotations

from pathlib import Path

from jaxmaze import config as config_lib
from jaxmaze import trust as trust_lib
from jaxmaze.config import Settings
from jaxmaze.envs import environment, replay
from jaxmaze.errors import UserError
from jaxmaze.inspection.recordings import Recordings
from jaxmaze.runs import run_folder


def find(recordings: Recordings, config: Settings | None, trust: bool) -> replay.Source | UserError:
    """The environment that was recorded, or why there is none.

    Args:
      recordings: the data set.
      config: names the environment; the data's own by default.
      trust: whether code that the data's folder names may be imported.
    """
    try:
        if config is not None:
            return replay.source_of(environment.EnvConfig.of(config.env))
        run = run_of(recordings)
        if run is not None:
            return of_run(run, trust)
        return replay.source_in_data(recordings.metadata.get("env_spec"), trust)
    except UserError as error:
        return error


def of_run(run: Path, trust: bool) -> replay.Source:
    """The environment of a run's configuration.

    Raises:
      UserError: if it names code that is not trusted, or no environment.
    """
    config = run_folder.load_config(run)
    paths = config_lib.import_paths(config)
    trust_lib.check({k: v for k, v in paths.items() if k.startswith("env.")}, run, trust)
    return replay.source_of(environment.EnvConfig.of(config_lib.to_settings(config).env))


def run_of(recordings: Recordings) -> Path | None:
    """The folder of the rollout that recorded the data; None if another program did."""
    for run in (recordings.folder.parent.parent, recordings.folder.parent):
        if (run / run_folder.CONFIG).is_file():
            return run
    return None
