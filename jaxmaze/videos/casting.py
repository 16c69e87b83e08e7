"""Who plays in a video: the policies of runs, in their environments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxmaze import config as config_lib
from jaxmaze import policies
from jaxmaze import trust as trust_lib
from jaxmaze.config import Settings
from jaxmaze.core.types import Json
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Act
from jaxmaze.errors import UserError
from jaxmaze.runs import console, outcomes, run_folder, same_environment, who
from jaxmaze.teachers import human
from jaxmaze.training import evaluation

WORKFLOW = {"clone": Path("bc"), "fine-tuned": Path("ppo") / "pretrained"}
"""The policies of a workflow, beside its teacher."""
TEACHER = "teacher"
WITHOUT = {"compare": "a comparison", "inspect": "an inspection"}
"""Kinds of runs that have no policy, in words."""


class Part(NamedTuple):
    """A policy in its environment.

    Attributes:
      label: what it is called.
      info: the environment.
      act: the policy.
      known: the returns that its run has on record, by the episode's seed.
      who: what it is, which says its colour.
    """

    label: str
    info: environment.EnvInfo
    act: Act
    known: dict[int, float]
    who: str


class Casting(NamedTuple):
    """How parts are given.

    Attributes:
      config: names the environment of all; each run's own if None.
      trust: whether code that the runs' folders name may be imported.
      member: which member of runs that have several.
    """

    config: Settings | None = None
    trust: bool = False
    member: int = 0

    def parts(self, runs: Sequence[Path], teacher: object = None) -> list[Part]:
        """The policies of runs, in their order; a workflow alone gives teacher, clone, fine-tuned.

        Args:
          runs: their folders.
          teacher: shown first: a rollout or another run, a policy's name, or a Python object.

        Raises:
          UserError: for a folder without a policy, an environment that cannot be made, different
            ones, or code that is not trusted.
        """
        if len(runs) == 1 and self._kind(runs[0]) == "workflow":
            found = self._workflow(runs[0], teacher is None)
        else:
            found = [self._run(name, run) for name, run in run_folder.labels(runs).items()]
        if teacher is not None:
            found.insert(0, self._teacher(teacher, runs[0]))
        environments = {part.label: part.info.config.id for part in found}
        same_environment.check(environments, "film each alone, or give runs of one environment")
        return found

    def seed(self, runs: Sequence[Path], episode: int) -> int:
        """The seed of a test episode, counted from 0, of the first run that is judged by some.

        Raises:
          UserError: if there are fewer.
        """
        of_teachers = [run for run in runs if self._kind(run) == "rollout"]
        chosen = next((run for run in runs if run not in of_teachers), runs[0])
        seeds = _seeds(run_folder.delivering(chosen))
        if episode >= len(seeds):
            raise UserError(
                f"{chosen} has the episodes 0 to {len(seeds) - 1}, not {episode}; any other one "
                "is given by its --seed"
            )
        return seeds[episode]

    @staticmethod
    def _kind(run: Path) -> str:
        """The kind of a run that has a policy."""
        data = (run / "metadata.json", run / "data" / "metadata.json")
        if not (run / run_folder.CONFIG).is_file() and any(path.is_file() for path in data):
            raise UserError(
                f"{run} holds recorded episodes and no run, so there is no policy to film; "
                f"jaxmaze view {run} shows them"
            )
        kind = str(run_folder.read_config(run)["kind"])
        if kind in WITHOUT:
            raise UserError(
                f"{run} is {WITHOUT[kind]}, which has no policy to film; give the folders of runs"
            )
        return kind

    def _workflow(self, run: Path, taught: bool) -> list[Part]:
        found = [self._run(name, run / below) for name, below in WORKFLOW.items()]
        if taught:
            folder = run / "teacher"
            try:
                played = folder if run_folder.finished(folder) else run / "rollout"
                found.insert(0, self._rollout(TEACHER, played)._replace(who=who.TEACHER))
            except _NotThereError as error:
                console.say(f"note: the video is without the teacher: {error}")
        return found

    def _run(self, label: str, run: Path) -> Part:
        if self._kind(run) == "rollout":
            return self._rollout(label, run)
        source = run_folder.delivering(run)
        settings = config_lib.to_settings(run_folder.load_config(source))
        info = self._environment(settings, source)
        act = self._resolved(str(source), info, settings)
        return Part(label, info, act, _on_record(source, self.member), who.of_run(run))

    def _rollout(self, label: str, run: Path) -> Part:
        """The policy of a rollout, without the noise that it may have been recorded with."""
        settings = config_lib.to_settings(run_folder.load_config(run))
        section = settings.rollout
        if section.policy == human.NAME:
            raise _NotThereError(
                f"{run} was played by a person, who cannot be asked again; jaxmaze view {run} "
                "shows what was recorded"
            )
        info = self._environment(settings, run)
        paths = config_lib.import_paths(run_folder.load_config(run))
        trust_lib.check({k: v for k, v in paths.items() if k == "rollout.policy"}, run, self.trust)
        try:
            act = self._resolved(section.policy, info, settings)
        except UserError as error:  # such as a Python object, which has gone
            raise _NotThereError(f"the policy of {run} cannot be asked again: {error}") from error
        noisy = section.epsilon or section.noise_std
        return Part(label, info, act, {} if noisy else _on_record(run, 0), who.of_run(run))

    def _teacher(self, teacher: object, run: Path) -> Part:
        if isinstance(teacher, str | Path) and Path(teacher).is_dir():
            return self._run(TEACHER, Path(teacher))._replace(who=who.TEACHER)
        source = run_folder.delivering(run)
        settings = config_lib.to_settings(run_folder.load_config(source))
        info = self._environment(settings, source)
        return Part(TEACHER, info, self._resolved(teacher, info, settings), {}, who.TEACHER)

    def _environment(self, settings: Settings, run: Path) -> environment.EnvInfo:
        if self.config is not None:
            return environment.describe(environment.EnvConfig.of(self.config.env), console.say)
        if not settings.env.named:
            raise UserError(
                f"{run} was cloned without an environment; name one to play in with --env=ID or "
                "--config=FILE"
            )
        paths = config_lib.import_paths(run_folder.load_config(run))
        trust_lib.check({k: v for k, v in paths.items() if k.startswith("env.")}, run, self.trust)
        return environment.describe(environment.EnvConfig.of(settings.env), console.say)

    def _resolved(self, policy: object, info: environment.EnvInfo, settings: Settings) -> Act:
        found = policies.resolve(
            policy, info, settings.seed, self.member, settings.evaluation.deterministic
        )
        return policies.checked(found, info)


class _NotThereError(UserError):
    """A teacher that cannot be asked to play any more."""


def _lines(run: Path) -> list[Json]:
    """The episodes that a run reports; none if it has not played them, or they cannot be read."""
    try:
        lines = [json.loads(text) for text in (run / run_folder.EPISODES).read_text().splitlines()]
        return [x for x in lines if x.get("policy", outcomes.BEST) == outcomes.BEST]
    except (OSError, ValueError, AttributeError):
        return []


def _seeds(run: Path) -> list[int]:
    """The seeds of the episodes that a run is judged by, in order."""
    found = {int(line["episode"]): int(line["seed"]) for line in _lines(run)}
    if found:
        return [found[i] for i in sorted(found)]
    settings = config_lib.to_settings(run_folder.load_config(run))
    return [int(seed) for seed in evaluation.test_seeds(settings)]


def _on_record(run: Path, member: int) -> dict[int, float]:
    """Returns by seed of one of the run's members."""
    lines = _lines(run)
    members = sorted({line.get("member", 0) for line in lines})
    if member >= len(members):
        return {}
    return {
        int(line["seed"]): float(line["return"])
        for line in lines
        if line.get("member", 0) == members[member]
    }
