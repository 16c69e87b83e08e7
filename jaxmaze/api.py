"""The workflow in plain Python: what the commands do, as functions.

Each function that runs something takes a configuration (a ConfigDict or a dict, whole or partial)
and returns a :class:`Run`, the handle of the folder it wrote.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import ml_collections

from jaxmaze import config as config_lib
from jaxmaze import stages
from jaxmaze import trust as trust_lib
from jaxmaze.config import ConfigLike, files, make_config
from jaxmaze.core.types import Json
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import play_episodes
from jaxmaze.errors import UserError
from jaxmaze.policies import Act, LoadedPolicy, load_policy, registered, resolve
from jaxmaze.runs import console, metrics, outcomes, run_folder, sources
from jaxmaze.runs.arrays import dataset
from jaxmaze.runs.converters import convert
from jaxmaze.stages import compare as compare_stage
from jaxmaze.stages import inspect as inspect_stage
from jaxmaze.stages import rollout as rollout_stage
from jaxmaze.training import evaluation

__all__ = [
    "LoadedPolicy",
    "Run",
    "UserError",
    "clone",
    "compare",
    "convert",
    "dagger",
    "dataset",
    "evaluate",
    "fine_tune",
    "inspect",
    "load_config",
    "load_policy",
    "make_config",
    "open_run",
    "override",
    "record",
    "resume",
    "train",
]

Config: TypeAlias = ml_collections.ConfigDict


class Run:
    """A run's folder.

    Attributes:
      folder: where it is.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def summary(self) -> Json:
        """The final figures, as in summary.json."""
        return run_folder.summary(self.folder)

    @property
    def config(self) -> Config:
        """The whole configuration as run."""
        return run_folder.load_config(self.folder)

    def metrics(self) -> list[Json]:
        """The logged steps, as in metrics.jsonl."""
        return metrics.read(self.folder)

    def policy(self, member: int = 0) -> LoadedPolicy:
        """The policy that the run hands over."""
        return load_policy(self.folder, member)


def open_run(folder: str | Path) -> Run:
    """The handle of an existing run.

    Raises:
      UserError: if the folder is not a run's, or was written in another format.
    """
    run_folder.read_config(Path(folder))
    return Run(folder)


def load_config(path: str | Path, overrides: Mapping[str, object] | None = None) -> Config:
    """A configuration from a config file.

    Args:
      path: the file, or the name of one that comes with the library (``"lunar_lander"``), with a
        recipe behind a colon if wanted: ``"configs/lunar_lander.py:guide"``.
      overrides: values by dotted name, ``{"bc.num_epochs": 20}``.

    Raises:
      UserError: if the file, the recipe or a value cannot be used.
    """
    name, _, recipe = str(path).partition(":")
    file = files.find(name)
    spec = importlib.util.spec_from_file_location(f"_jaxmaze_config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"config file {name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        values = module.get_config(recipe) if recipe else module.get_config()
    except UserError:
        raise
    except Exception as error:  # Whatever a user's file raises.
        raise UserError(f"config file {path}: {type(error).__name__}: {error}") from error
    if not isinstance(values, ml_collections.ConfigDict | Mapping):
        raise UserError(f"config file {name}: get_config() must return a ConfigDict")
    return override(values, overrides or {})


def override(config: ConfigLike, overrides: Mapping[str, object]) -> Config:
    """A checked copy of a configuration with some values changed, by dotted name.

    Args:
      config: the configuration, or a dict; what it leaves out has the library's default.
      overrides: values by dotted name.

    Raises:
      UserError: for a field that does not exist or a value out of its range.
    """
    values = make_config(config).to_dict()
    for name, value in overrides.items():
        config_lib.check_name(name)
        *path, leaf = name.split(".")
        target = values
        if path[2:] or (path and path[0] == "sweep" and path[1:]):
            raise UserError(f"config.{name} is nested too deeply; give env.kwargs one by one")
        for part in path:
            target = target[part]
        target[leaf] = value
    return config_lib.validate(make_config(values))


def train(config: ConfigLike, workdir: str | Path) -> Run:
    """Run the stage that ``config.stage`` names: the whole workflow, bc or ppo.

    A folder that holds the same run goes on where it stopped; packages that have another version
    than when it was begun are named in one printed line.

    Raises:
      UserError: for input that cannot be used.
    """
    settings = config_lib.to_settings(_absolute(config_lib.validate(config)))
    note = run_folder.version_note(Path(workdir))
    if note:
        console.say(note)
    stage = stages.find("sweep" if settings.sweep else settings.stage)
    stage.run(settings, Path(workdir))
    return Run(workdir)


def _absolute(config: Config) -> Config:
    """Paths as absolute ones, so that a run can be resumed from any folder."""
    changes: dict[str, object] = {}
    for name, field in config_lib.FIELDS.items():
        value = config_lib.get(config, name) if field.folder or field.code else None
        if value is None:
            continue
        if field.several:
            changes[name] = sources.absolute(value)
        # What may be code is a folder too, unless a teacher is called so.
        elif field.folder or (value not in registered() and Path(value).is_dir()):
            changes[name] = str(Path(value).resolve())
    return override(config, changes)


def resume(folder: str | Path, trust: bool = False) -> Run:
    """Go on with a run where it stopped, with everything taken from its folder.

    Args:
      folder: the run's.
      trust: whether code that the folder names may be imported: the module of an environment, a
        teacher's function.

    Raises:
      UserError: if the folder is not a run's, was written in another format, is of a kind that
        cannot go on, is finished, or names code and is not trusted.
    """
    folder = Path(folder)
    kind = run_folder.read_config(folder)["kind"]
    resumed = stages.resumed(kind)
    if resumed is not True:
        raise UserError(f"{folder} is {resumed}")
    if run_folder.finished(folder):
        more = getattr(stages.find(kind), "NEXT", "to fine-tune it, start a ppo run")
        raise UserError(run_folder.finished_note(folder, more))
    config = run_folder.load_config(folder)
    trust_lib.check(config_lib.import_paths(config), folder, trust)
    return train(config, folder)


def record(
    config: ConfigLike,
    workdir: str | Path,
    *,
    policy: str | Act | None = None,
    n_episodes: int | None = None,
    save: bool = True,
    render: str | None = None,
    member: int = 0,
) -> Run:
    """Play episodes and (unless ``save`` is False) record them to ``trajectory_data/``.

    Args:
      config: the configuration.
      workdir: the folder to write.
      policy: a name (``"heuristic"``, ``"random"``, a run's folder, ``"package.module:function"``)
        or a function from observations ``[N, ...]`` to actions ``[N, ...]``; the configured one by
        default.
      n_episodes: number of episodes; the configured one by default.
      save: whether to write the episodes.
      render: ``"human"`` or ``"video"``.
      member: which member, if the policy is a run.

    Raises:
      UserError: for input that cannot be used.
    """
    changes: dict[str, object] = {}
    function = policy if callable(policy) else None
    if function is not None:
        changes["rollout.policy"] = getattr(function, "__name__", type(function).__name__)
    elif policy is not None:
        changes["rollout.policy"] = str(policy)
    if n_episodes is not None:
        changes["rollout.n_episodes"] = n_episodes
    settings = config_lib.to_settings(override(config, changes))
    rollout_stage.run(
        settings, Path(workdir), policy=function, record=save, render=render, member=member
    )
    return Run(workdir)


def clone(
    config: ConfigLike, data: str | Path | Run | Sequence[str | Path | Run], workdir: str | Path
) -> Run:
    """Clone recorded episodes by behavioural cloning.

    Args:
      config: the configuration.
      data: a rollout, a folder with a Minari dataset, a Minari id, or several of these.
      workdir: the folder to write.

    Raises:
      UserError: for data that cannot be used.
    """
    names = _path(data) if isinstance(data, str | Path | Run) else tuple(map(_path, data))
    return train(override(config, {"stage": "bc", "bc.data": names}), workdir)


def dagger(config: ConfigLike, workdir: str | Path, policy: str | Path | Run | None = None) -> Run:
    """Clone a teacher by asking it what to do in states that the clone gets into (DAgger).

    Args:
      config: the configuration.
      workdir: the folder to write.
      policy: the teacher: a name, a trained run, or ``"package.module:function"``; the configured
        one by default.

    Raises:
      UserError: for a teacher that cannot be asked, or does not fit.
    """
    changes: dict[str, object] = {"stage": "dagger"}
    if policy is not None:
        changes["dagger.policy"] = _path(policy)
    return train(override(config, changes), workdir)


def fine_tune(config: ConfigLike, init_from: str | Path | Run | None, workdir: str | Path) -> Run:
    """Train with PPO, starting from a clone (or from scratch with ``init_from=None``).

    Args:
      config: the configuration.
      init_from: a bc or ppo run.
      workdir: the folder to write.

    Raises:
      UserError: for a run that does not fit.
    """
    origin = None if init_from is None else _path(init_from)
    return train(override(config, {"stage": "ppo", "ppo.init_from": origin}), workdir)


def evaluate(
    config: ConfigLike, policy: str | Act | Run | Path, n_episodes: int | None = None
) -> Json:
    """Evaluate a policy on the test episodes, without writing anything.

    Args:
      config: the configuration; its ``evaluation`` section fixes the episodes.
      policy: as in :func:`record`, or a run.
      n_episodes: number of episodes; the configured one by default.

    Returns:
      ``episodes``, ``mean``, ``std``, ``median``, ``min``, ``max`` and ``mean_step_count``.
    """
    changes = {} if n_episodes is None else {"evaluation.episodes": n_episodes}
    settings = config_lib.to_settings(override(config, changes))
    info = environment.describe(environment.EnvConfig.of(settings.env))
    if callable(policy):
        act = policy
    else:
        name = str(policy.folder) if isinstance(policy, Run) else str(policy)
        act = resolve(name, info, settings.seed, deterministic=settings.evaluation.deterministic)
    seeds = evaluation.test_seeds(settings)
    episodes = play_episodes(info, act, seeds, settings.rollout.num_envs)
    return outcomes.of_episodes(episodes).summary()


def compare(
    folders: Sequence[str | Path | Run],
    workdir: str | Path,
    teacher: str | Path | Run | None = None,
    trust: bool = False,
) -> Run:
    """Compare finished runs: a table, a figure and a summary.

    Args:
      folders: runs (bc, ppo or rollout).
      workdir: the folder to write.
      teacher: the teacher's rollout. What it did not play of the runs' own episodes it is asked to
        play now, so that gains on it are differences on the same episodes.
      trust: whether code that the teacher's folder names may be imported, so that it can play.

    Raises:
      UserError: if one of them is not a finished run.
    """
    taught = None
    if teacher is not None:
        folder = Path(_path(teacher))
        known = compare_stage.on_record(folder)
        config = run_folder.load_config(folder)
        try:
            trust_lib.check(config_lib.import_paths(config), folder, trust)
            play = compare_stage.player(config_lib.to_settings(config))
        except UserError as error:  # not trusted, or not at hand any more
            console.say(f"note: the teacher cannot be asked to play: {error}")
            play = None
        taught = compare_stage.Teacher(known, play)
    named = compare_stage.labels([run_folder.delivering(Path(_path(folder))) for folder in folders])
    compare_stage.run(named, Path(workdir), taught)
    return Run(workdir)


def inspect(
    data: str | Path | Run,
    workdir: str | Path | None = None,
    *,
    config: ConfigLike | None = None,
    trust: bool = False,
    replay: int = inspect_stage.REPLAYED,
) -> Run:
    """Look at recorded episodes: what is wrong with them, and what to do about it.

    Args:
      data: a rollout, or a folder with a Minari dataset, which may be broken.
      workdir: the folder to write; ``outputs/<data>-inspect/<time>`` by default.
      config: says which environment was recorded; the one that the data name by default.
      trust: whether code that the data's folder names may be imported.
      replay: how many episodes are played again in that environment.

    Returns:
      The handle of what was written; its ``summary["verdict"]`` is ``"ok"``, ``"warning"`` or
      ``"unfit"``.

    Raises:
      UserError: for what is no data set at all.
    """
    path = sources.locate(_path(data))
    folder = workdir or run_folder.default_workdir(path.resolve().name or "data", "inspect")
    settings = None if config is None else config_lib.to_settings(config)
    inspect_stage.run(path, Path(folder), settings, trust, replay)
    return Run(folder)


def _path(run: str | Path | Run) -> str:
    return str(run.folder if isinstance(run, Run) else run)
