"""Comparison: finished runs to a table and a figure with intervals over seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ml_collections
import numpy as np

from jaxmaze import config as config_lib
from jaxmaze import policies
from jaxmaze import trust as trust_lib
from jaxmaze.config import Settings
from jaxmaze.core.types import Json, JsonMap
from jaxmaze.core.words import agree, counted
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import play_episodes
from jaxmaze.errors import UserError
from jaxmaze.runs import (
    arms_figure,
    console,
    intervals,
    metrics,
    outcomes,
    report,
    run_folder,
    same_environment,
    style,
    who,
)
from jaxmaze.training import audit, evaluation

KIND = "compare"
RESUMED = "a comparison, which is not resumed; compare its runs again"
FIGURE = "report/comparison.png"
ONE = "their returns do not compare; give runs of one environment"
LEAST_NEEDED = (2, 5, 1)
"""Columns of the table that a narrow terminal leaves out: last, dip, seeds."""


def load(run: Path) -> report.Arm:
    """A finished run with its episodes.

    Raises:
      UserError: if it is not a finished run.
    """
    if not run.is_dir():
        raise UserError(f"{run} is not a folder; give the folders of finished runs")
    if not run_folder.finished(run):
        if (run / run_folder.CONFIG).exists():
            raise UserError(f"{run} is not finished; go on with jaxmaze train --resume={run}")
        raise UserError(f"{run} is not a run's folder: it has no {run_folder.SUMMARY}")
    summary = run_folder.summary(run)
    if not summary.get("members") or "arms" in summary:
        raise UserError(f"{run} is a {summary.get('kind')}; give the folders of its bc or ppo runs")
    if "evaluation" not in summary:
        raise UserError(
            f"{run} was cloned without an environment, so it has played no episodes to compare; "
            f"let it play some with jaxmaze rollout --run={run} --config.env.id=ID, and "
            "compare that folder"
        )
    best = last = outcomes.read_episodes(run)
    curve = None
    if "last" in summary:  # PPO or DAgger, evaluated during training
        last = outcomes.read_episodes(run, outcomes.LAST)
        section = run_folder.read_config(run)["config"]
        lines = metrics.read(run)
        count = max((len(x["returns"][0]) for x in lines if "returns" in x), default=0)
        seed = section["evaluation"]["seed"]
        curve = report.curve_of(lines, evaluation.selection_seeds_of(seed, count))
    if curve is None:
        # Without environment steps of its own (a clone, a teacher), a run is a constant level.
        curve = report.Curve(np.zeros(1, int), best.returns[None], best.seeds)
    return report.Arm(summary, curve, best, last)


class Teacher:
    """The teacher's returns in any episodes: recorded ones, or played on demand.

    Attributes:
      known: return and length of an episode by its seed.
    """

    def __init__(
        self,
        known: Mapping[int, tuple[float, int]],
        play: Callable[[np.ndarray], outcomes.Evaluation] | None = None,
    ):
        """``known`` are the recorded episodes; ``play`` plays ``[E]`` further seeds, if given."""
        self.known, self._play = dict(known), play

    def __call__(self, seeds: np.ndarray) -> np.ndarray | None:
        """Returns ``[E]`` in those episodes; None if some are not recorded and cannot be played."""
        missing = np.array([s for s in seeds.tolist() if s not in self.known], np.int64)
        if len(missing):
            if self._play is None:
                return None
            played = self._play(missing)
            found = zip(played.returns.tolist(), played.lengths.tolist(), strict=True)
            self.known |= dict(zip(missing.tolist(), found, strict=True))
        return np.array([self.known[s][0] for s in seeds.tolist()])

    def evaluation(self, seeds: np.ndarray) -> Json:
        """The evaluation block of those episodes, or of all recorded ones if it cannot play."""
        chosen = self.known if self(seeds) is None else seeds.tolist()
        returns, lengths = zip(*(self.known[s] for s in chosen), strict=True)
        return outcomes.Evaluation(np.array(returns), np.array(lengths)).summary()


def player(config: Settings, policy: object = None) -> Callable[[np.ndarray], outcomes.Evaluation]:
    """A function that plays episodes with ``config.rollout.policy``, or with a Python object.

    Raises:
      UserError: if there is no such policy or environment.
    """
    info = environment.describe(environment.EnvConfig.of(config.env), console.say)
    found = policies.resolve(
        config.rollout.policy if policy is None else policy,
        info,
        config.seed,
        deterministic=config.evaluation.deterministic,
    )
    act = policies.checked(found, info)
    count = config.rollout.num_envs
    return lambda seeds: outcomes.of_episodes(play_episodes(info, act, seeds, count))


def on_record(rollout: Path) -> dict[int, tuple[float, int]]:
    """Return and length of each episode of a rollout, by its seed.

    Raises:
      UserError: if it is not a rollout.
    """
    if run_folder.read_config(rollout)["kind"] != "rollout":
        raise UserError(f"{rollout} is not a rollout; --teacher takes the folder of one")
    table = outcomes.read_episodes(rollout)
    return {
        int(s): (float(r), int(n))
        for s, r, n in zip(table.seeds, table.returns[0], table.lengths[0], strict=True)
    }


def _configured(folder: Path, own: ml_collections.ConfigDict | None) -> ml_collections.ConfigDict:
    """A run's configuration, with the environment of the user's own where that is given.

    Raises:
      UserError: if that is another environment.
    """
    config = run_folder.load_config(folder)
    if own is None:
        return config
    theirs, ours = (config_lib.to_dict(c)["env"] for c in (config, own))
    difference = audit.env_difference(theirs, ours)  # type: ignore[arg-type]
    if difference:
        raise UserError(f"{folder} was made in another environment than config's: {difference}")
    return config_lib.make_config(config.to_dict() | {"env": own.env.to_dict()})


def recorded(
    folder: Path,
    trust: bool,
    own: ml_collections.ConfigDict | None = None,
    runs: Sequence[Path] = (),
) -> Teacher:
    """The teacher of a rollout; it plays further episodes if its policy is available.

    Args:
      folder: the rollout's.
      trust: whether code that it names may be imported.
      own: a configuration of the user's with the same environment, to make it from.
      runs: those that it will be compared with.

    Raises:
      UserError: if it is not a rollout, is of another environment than the runs, or has no recorded
        episodes and no available policy.
    """
    known = on_record(folder)
    same_environment.check_runs([*runs, folder], ONE)
    config = _configured(folder, own)
    noise = config.rollout.epsilon or config.rollout.noise_std
    if noise:
        known = {}  # returns with action noise are not the teacher's own
    try:
        trust_lib.check(config_lib.import_paths(config), folder, trust, _named(own))
        return Teacher(known, player(config_lib.to_settings(config)))
    except UserError as error:  # not trusted, or not available any more
        if noise:
            raise UserError(
                f"{folder} was recorded with noise, so its teacher has to play again: {error}"
            ) from error
        console.say(f"note: the teacher cannot be asked to play: {error}")
        return Teacher(known)


def _named(own: ml_collections.ConfigDict | None) -> list[object]:
    """The import paths of an environment that the user gave, which need no trust."""
    paths = {} if own is None else config_lib.import_paths(own)
    return [path for field, path in paths.items() if field.startswith("env.")]


def at_hand(
    policy: object,
    runs: Sequence[Path],
    trust: bool,
    own: ml_collections.ConfigDict | None = None,
) -> Teacher:
    """A teacher that plays now, in the environment of the runs.

    Args:
      policy: its name, or a Python object.
      runs: the runs' folders.
      trust: whether code that the first one names may be imported, to make its environment.
      own: a configuration of the user's with the same environment, to make it from.

    Raises:
      UserError: if there are no runs, they are not trusted, or the teacher does not fit.
    """
    if not runs:
        raise UserError("there are no runs to compare a teacher with")
    config = _configured(runs[0], own)
    paths = {k: v for k, v in config_lib.import_paths(config).items() if k.startswith("env.")}
    trust_lib.check(paths, runs[0], trust, _named(own))
    return Teacher({}, player(config_lib.to_settings(config), policy))


def given(folders: Sequence[Path]) -> list[Path]:
    """The folders of the runs to compare: those that hold the policies which runs hand over.

    Raises:
      UserError: if there is none, or one is not a run's.
    """
    if not folders:
        raise UserError("there is nothing to compare; give the folder of at least one finished run")
    return [run_folder.delivering(folder) for folder in folders]


def run(
    folders: Mapping[str, Path],
    workdir: Path,
    teacher: Teacher | None = None,
    choosing: bool = False,
) -> Json:
    """Compare finished runs.

    Args:
      folders: runs by the name they are shown under.
      workdir: where the comparison is written.
      teacher: plays the same episodes as each run, so that differences are paired.
      choosing: whether the best of them is chosen by these episodes.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: if one of them is not a finished run, or they are of different environments.
    """
    start = time.perf_counter()
    loaded = {name: load(folder) for name, folder in folders.items()}
    same_environment.check_runs(list(folders.values()), ONE)
    # Computed again each time, which is fast; never skipped as finished.
    run_folder.claim(workdir, {"kind": KIND, "runs": sorted(loaded)})
    arms = {
        name: {"who": who.of_run(folders[name]), **report.arm_summary(arm, teacher)}
        for name, arm in loaded.items()
    }
    block = None if teacher is None else teacher.evaluation(next(iter(loaded.values())).best.seeds)
    show(arms, block, choosing)
    if teacher is not None and all(a["gain"] is None for a in arms.values()):
        console.say("note: returns in different episodes do not compare, so no gain is given")
    fig, saved = arms_figure.figure(arms), arms_figure.saved(arms)
    style.save(fig, workdir / FIGURE, arms_figure.table(arms))
    with metrics.MetricsWriter(workdir) as writer:
        writer.add_figure("compare/returns", fig, 0)
    summary: Json = {
        "kind": KIND,
        "env_steps": sum(arm.summary["env_steps"] for arm in loaded.values()),
        "wall_seconds": time.perf_counter() - start,
        "arms": arms,
    }
    if saved is not None:
        summary["saved"] = saved.block()
        console.say(told(saved))
    if teacher is not None:
        played = [{"seed": s, "return": r} for s, (r, _) in sorted(teacher.known.items())]
        summary["teacher"] = {"evaluation": block, "episodes": played}
    run_folder.write_json(workdir / run_folder.SUMMARY, summary)
    console.say(f"figure: {workdir / FIGURE}")
    return summary


def told(saved: arms_figure.Saved) -> str:
    """The steps that pre-training saved, in a line that tells their criterion from the table's."""
    return (
        f"pre-training: {saved.words()} a seed until the interquartile mean is at the teacher's "
        "level (to beat the teacher, as in the table, a 95 % interval must be above it)"
    )


def gain(run: Path, other: Path) -> dict[str, float]:
    """The gain in return of a run over another with the same members, on the same episodes.

    Raises:
      UserError: if they have not played the same episodes.
    """
    ours, theirs = outcomes.read_episodes(run), outcomes.read_episodes(other)
    same = ours.returns.shape == theirs.returns.shape and (ours.seeds == theirs.seeds).all()
    if not same:
        raise UserError(f"{run} and {other} have played different episodes, which do not compare")
    return report.block(intervals.estimate(ours.returns - theirs.returns))


def show(arms: JsonMap, teacher: JsonMap | None, choosing: bool = False) -> None:
    """Print the table; see :func:`run`."""
    counts = sorted({a["episodes"] for a in arms.values()})
    noun = agree(counts[-1], "episode", "episodes")
    serve = "for choosing alone" if choosing else "that chose nothing"
    title = f"Returns on {' or '.join(map(str, counts))} {noun} a seed {serve}"
    console.table(title, report.HEADER, report.rows(arms), spare=LEAST_NEEDED)
    if len(counts) > 1:
        console.say(
            "note: these have not played the same episodes; a teacher's rollout is compared on the "
            "same ones as --teacher=DIR"
        )
    if teacher is not None:
        console.say(
            f"teacher: mean return {teacher['mean']:.1f} ± {teacher['std']:.1f} over "
            + counted(teacher["episodes"], "episode")
        )
