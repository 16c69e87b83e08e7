"""The Python API: what the commands do, as functions.

Each function that runs something takes a configuration (a ConfigDict or a dict, complete or
partial) and returns a :class:`Run`, the handle of the folder it wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxmaze import config as config_lib
from jaxmaze import stages
from jaxmaze import trust as trust_lib
from jaxmaze.config import ConfigLike, make_config
from jaxmaze.core.types import Json
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import play_episodes
from jaxmaze.errors import UserError
from jaxmaze.exports import proof
from jaxmaze.handle import Run, open_run, path_of
from jaxmaze.loading import absolute, absolute_zips, load_config, override
from jaxmaze.policies import LoadedPolicy, checked, load_policy, registered, resolve
from jaxmaze.reporting import page
from jaxmaze.runs import console, outcomes, run_folder, sources, trackers
from jaxmaze.runs.arrays import dataset
from jaxmaze.runs.converters import convert
from jaxmaze.stages import compare as compare_stage
from jaxmaze.stages import inspect as inspect_stage
from jaxmaze.stages import rollout as rollout_stage
from jaxmaze.teachers.adapters import given
from jaxmaze.training import evaluation
from jaxmaze.videos.making import video
from jaxmaze.viewing.opening import open_viewer
from jaxmaze.viewing.viewer import Viewer

__all__ = [
    "LoadedPolicy",
    "Run",
    "UserError",
    "Viewer",
    "clone",
    "compare",
    "convert",
    "dagger",
    "dataset",
    "evaluate",
    "export",
    "fine_tune",
    "inspect",
    "load_config",
    "load_policy",
    "make_config",
    "open_run",
    "override",
    "record",
    "report",
    "resume",
    "train",
    "video",
    "view",
]

TAUGHT = {"workflow": "rollout.policy", "dagger": "dagger.policy"}
"""The field with the teacher's name, for the stages that query a teacher."""


def train(config: ConfigLike, workdir: str | Path, policy: object = None) -> Run:
    """Run the stage that ``config.stage`` names: the whole workflow, bc, dagger or ppo.

    If the folder holds the same run, it is resumed; packages whose version has changed since are
    named in one printed line.

    Args:
      config: the configuration.
      workdir: the folder to write.
      policy: the teacher of a workflow or dagger, as in :func:`record`; the configured one by
        default.

    Raises:
      UserError: for input that cannot be used.
    """
    config = config_lib.validate(config)
    function = None
    if policy is not None:
        if config.stage not in TAUGHT:
            raise UserError(f"{config.stage} asks no teacher; leave policy out")
        name, function = _named(policy)
        config = override(config, {TAUGHT[config.stage]: name})
    settings = config_lib.to_settings(absolute(config))
    trackers.check(settings.tracking)
    note = run_folder.version_note(Path(workdir))
    if note:
        console.say(note)
    stage = stages.find("sweep" if settings.sweep else settings.stage)
    with page.reported(workdir):
        if function is None:
            stage.run(settings, Path(workdir))
        else:
            stage.run(settings, Path(workdir), policy=function)
    return Run(workdir)


def _named(policy: object) -> tuple[str, object]:
    """A teacher's name for the provenance, and the Python object if it is one."""
    if isinstance(policy, str | Path | Run):
        return path_of(policy), None
    return given.name_of(policy), policy


def resume(folder: str | Path, trust: bool = False) -> Run:
    """Resume a run where it stopped, with everything taken from its folder.

    Args:
      folder: the run's folder.
      trust: whether code that the folder names may be imported: the module of an environment, a
        teacher's function.

    Raises:
      UserError: if the folder is not a run's, was written in another format, is of a kind that
        cannot be resumed, is finished, or names code and is not trusted.
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
    policy: object = None,
    n_episodes: int | None = None,
    save: bool = True,
    render: str | None = None,
    member: int = 0,
) -> Run:
    """Play episodes and (unless ``save`` is False) record them to ``trajectory_data/``.

    Args:
      config: the configuration.
      workdir: the folder to write.
      policy: a name (``"heuristic"``, ``"random"``, ``"human"``, a run or its folder,
        ``"sb3:model.zip"``, ``"package.module:function"``); or a Python object: a function of
        observations ``[N, ...]`` or of one, an object with ``reset(seed)`` and ``act(obs)``, or a
        model with ``predict(obs)``. The configured one by default.
      n_episodes: number of episodes; the configured one by default.
      save: whether to write the episodes.
      render: ``"human"`` or ``"video"``.
      member: which member, if the policy is a run.

    Raises:
      UserError: for input that cannot be used.
    """
    changes: dict[str, object] = {}
    function = None
    if policy is not None:
        changes["rollout.policy"], function = _named(policy)
    if n_episodes is not None:
        changes["rollout.n_episodes"] = n_episodes
    config = override(config, changes)
    settings = config_lib.to_settings(override(config, absolute_zips(config)))
    trackers.check(settings.tracking)
    with page.reported(workdir):
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
    names = path_of(data) if isinstance(data, str | Path | Run) else tuple(map(path_of, data))
    return train(override(config, {"stage": "bc", "bc.data": names}), workdir)


def dagger(config: ConfigLike, workdir: str | Path, policy: object = None) -> Run:
    """Clone a teacher by querying it for actions in states that the clone visits (DAgger).

    Args:
      config: the configuration.
      workdir: the folder to write.
      policy: the teacher, as in :func:`record`; the configured one by default. A run whose teacher
        is a Python object is resumed by calling this again with that object.

    Raises:
      UserError: for a teacher that cannot be queried, or does not fit.
    """
    return train(override(config, {"stage": "dagger"}), workdir, policy)


def fine_tune(config: ConfigLike, init_from: str | Path | Run | None, workdir: str | Path) -> Run:
    """Train with PPO, starting from a clone (or from scratch with ``init_from=None``).

    Args:
      config: the configuration.
      init_from: a bc or ppo run.
      workdir: the folder to write.

    Raises:
      UserError: for a run that does not fit.
    """
    origin = None if init_from is None else path_of(init_from)
    return train(override(config, {"stage": "ppo", "ppo.init_from": origin}), workdir)


def evaluate(config: ConfigLike, policy: object, n_episodes: int | None = None) -> Json:
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
    info = environment.describe(environment.EnvConfig.of(settings.env), console.say)
    name, function = _named(policy)
    act = resolve(
        name if function is None else function,
        info,
        settings.seed,
        deterministic=settings.evaluation.deterministic,
    )
    act = checked(act, info)
    seeds = evaluation.test_seeds(settings)
    episodes = play_episodes(info, act, seeds, settings.rollout.num_envs)
    return outcomes.of_episodes(episodes).summary()


def compare(
    folders: Sequence[str | Path | Run],
    workdir: str | Path,
    teacher: object = None,
    trust: bool = False,
    config: ConfigLike | None = None,
) -> Run:
    """Compare finished runs: a table, a figure and a summary.

    Args:
      folders: runs (bc, ppo or rollout).
      workdir: the folder to write.
      teacher: the teacher's rollout; it plays now those of the runs' episodes that it has not
        recorded, so that gains over it are paired differences. Or a teacher's name or a Python
        object as in :func:`record`, which plays all of these episodes.
      trust: whether code that the folders name may be imported, so that the teacher can play.
      config: the runs' configuration, if their environment was given in Python (a class or function
        of a notebook, say), so that the teacher can play in it.

    Raises:
      UserError: if one of them is not a finished run, or ``config`` has another environment.
    """
    runs = compare_stage.given([Path(path_of(folder)) for folder in folders])
    about: Json = {"runs": [str(run.resolve()) for run in runs], "trust": trust}
    taught = None
    own = None if config is None else config_lib.validate(config)
    if teacher is not None:
        path, function = _named(teacher)
        about["teacher"] = path if not Path(path).is_dir() else str(Path(path).resolve())
        about["object"] = function is not None
        if function is None and (path in registered() or ":" in path) and not Path(path).is_dir():
            function = path
        taught = (
            compare_stage.recorded(Path(path), trust, own, runs)
            if function is None
            else compare_stage.at_hand(function, runs, trust, own)
        )
    with page.reported(workdir, True, config, **about):
        compare_stage.run(run_folder.labels(runs), Path(workdir), taught)
    return Run(workdir)


def report(run: str | Path | Run) -> Path:
    """Write a run's report anew: ``report/index.html``, one self-contained page.

    Every run writes its own at its end; this serves runs that were interrupted, or are still going
    on. Nothing is computed again.

    Returns:
      The page's path.

    Raises:
      UserError: if it is not a run's folder.
    """
    return page.write(Path(path_of(run)))


def inspect(
    data: str | Path | Run,
    workdir: str | Path | None = None,
    *,
    config: ConfigLike | None = None,
    trust: bool = False,
    replay: int = inspect_stage.REPLAYED,
) -> Run:
    """Check recorded episodes: report what is wrong with them, and what to do about it.

    Args:
      data: a rollout, or a folder with a Minari dataset, which may be broken.
      workdir: the folder to write; ``outputs/<data>-inspect/<time>`` by default.
      config: names the recorded environment; by default the one named in the data.
      trust: whether code that the data's folder names may be imported.
      replay: number of episodes to replay in that environment.

    Returns:
      The handle of the folder; its ``summary["verdict"]`` is ``"ok"``, ``"warning"`` or
      ``"unfit"``.

    Raises:
      UserError: if it is not a data set.
    """
    path = sources.locate(path_of(data))
    folder = workdir or run_folder.default_workdir(path.resolve().name or "data", "inspect")
    settings = None if config is None else config_lib.to_settings(config)
    with page.reported(folder, True, config, trust=trust, replay=replay):
        inspect_stage.run(path, Path(folder), settings, trust, replay)
    return Run(folder)


def export(run: str | Path | Run, path: str | Path, format: str = "jax", member: int = 0) -> Path:
    """Export the policy that a run hands over, as files that run without jaxmaze.

    The export is loaded again and must reproduce the log-probabilities in the run's ``audit.npz``
    (within 1e-5, relative where they are above 1), or nothing is written.

    Args:
      run: a finished run with a policy.
      path: the folder to write, new or empty.
      format: ``"jax"`` for StableHLO that ``jax.export`` loads, ``"npz"`` for weights with a script
        that needs numpy alone, ``"onnx"`` for onnxruntime.
      member: which of the run's members.

    Returns:
      The folder.

    Raises:
      UserError: for a run without a policy, a policy that the format cannot hold, or an export that
        does not reproduce the policy.
    """
    about = proof.export(Path(path_of(run)), Path(path), format, member)
    found = about["proof"]
    console.say(
        f"{format}: log-probabilities in {found['states']} states differ by "
        f"{found['max_log_prob_difference']:.1g} at most"
    )
    return Path(path)


def view(
    *data: str | Path | Run,
    policies: Sequence[str | Path | Run] = (),
    config: ConfigLike | None = None,
    trust: bool = False,
    n_episodes: int = 10,
) -> Viewer:
    """Look at episodes: pictures, observations, actions, and what policies say about them.

    The viewer shows itself in a notebook; ``viewer.serve()`` serves its page to this machine's
    browsers, ``viewer.save("page.html")`` writes it as one file.

    Args:
      data: one or two: recorded episodes (a folder, a Minari id), or runs, whose policies then play
        episodes. Two are shown side by side, on the same seeds.
      policies: runs whose policies are shown beside what was done; a run that is looked at is one
        anyway.
      config: names the environment, and what observations and actions are called; by default the
        one that the data name.
      trust: whether code that the folders name may be imported.
      n_episodes: number of episodes that a run's policy plays, and that go into a file.

    Raises:
      UserError: if there are no episodes, or a policy does not fit them.
    """
    if not 1 <= len(data) <= 2:
        raise UserError("give one or two data sets or runs")
    settings = None if config is None else config_lib.to_settings(config)
    names = [path_of(each) for each in data]
    return open_viewer(names, [path_of(p) for p in policies], settings, trust, n_episodes)
