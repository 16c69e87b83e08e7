"""Rollouts: a policy plays fixed episodes, which are evaluated, rendered or recorded."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from jaxmaze import policies
from jaxmaze.config import Settings
from jaxmaze.config.fields import names_of
from jaxmaze.core import seeding
from jaxmaze.core.types import Json
from jaxmaze.core.words import counted
from jaxmaze.envs import environment, filming, outside
from jaxmaze.envs.episodes import (
    Episode,
    iter_episodes,
    play_episodes,
    run_episodes,
)
from jaxmaze.envs.leaves import arrays_of
from jaxmaze.errors import UserError
from jaxmaze.runs import about, console, disk, metrics, outcomes, run_folder, trackers, trajectories
from jaxmaze.teachers import human
from jaxmaze.teachers.adapters.noise import Noisy
from jaxmaze.teachers.person.session import Person
from jaxmaze.videos import files, small

KIND = "rollout"
RESUMED = "a rollout, which is not resumed; record it again"
VIDEO_FPS, VIDEOS = 50, "videos"
MODES = {"human": "human", "video": "rgb_array"}
"""The environment's render mode for each way to show episodes."""


def run(
    config: Settings,
    workdir: Path,
    *,
    policy: object = None,
    seeds: np.ndarray | None = None,
    record: bool = False,
    render: str | None = None,
    member: int = 0,
) -> Json:
    """Play ``config.rollout.n_episodes`` episodes with ``config.rollout.policy``.

    Args:
      config: the configuration.
      workdir: the run's folder.
      policy: a Python object to use instead of the named policy, see :func:`policies.resolve`.
      seeds: the episodes' seeds; spawned from ``config.seed`` by default.
      record: whether to write the episodes to ``trajectory_data/``.
      render: ``"human"`` for a window, ``"video"`` for one file per episode in ``videos/``.
      member: which member of a run's policies.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for a policy or an environment that cannot be used.
    """
    if render == "video":
        files.check()
    info = environment.describe(environment.EnvConfig.of(config.env), console.say)
    name, given = config.rollout.policy, policy is not None
    player = _player(config, info, policy, member, render)
    if seeds is None:
        seeds = seeding.episode_seeds(config.seed, seeding.ROLLOUT, config.rollout.n_episodes)
    if render in MODES and not isinstance(player, Person):
        filming.check(info, MODES[render], int(seeds[0]))  # before there is a folder
    section = config.rollout
    identity = run_folder.identity(
        config,
        KIND,
        record=record,
        render=render,
        member=member,
        first_seed=int(seeds[0]),
        policy_sha256=policies.digest_of(player),
    )
    if run_folder.claim(workdir, identity):
        if given:
            raise UserError(f"{workdir} holds a finished rollout; give another folder")
        return metrics.finished_already(workdir, config)
    if record and section.minari and section.dataset_id is not None:
        about.check_new(section.dataset_id)  # before anything is played
    start = time.perf_counter()
    provenance = {
        "policy": name,
        "seed": config.seed,
        "env": environment.spec_dict(info),
        "versions": run_folder.versions(),
    } | _noise(config)
    tally = _play(config, workdir, info, player, seeds, render, provenance if record else None)
    if record and section.minari and section.dataset_id is not None:
        place = about.publish(workdir / run_folder.TRAJECTORIES, section.dataset_id)
        console.say(f"minari.load_dataset({section.dataset_id!r}) finds it in {place}")
    wall_seconds = time.perf_counter() - start
    tally.show(name)
    summary = _finish(config, workdir, tally.result(), wall_seconds)
    if render == "video" and trackers.BUILT_IN in config.tracking.to:
        small.show(workdir, "episodes", sorted((workdir / VIDEOS).glob("*.mp4"))[: small.EPISODES])
    return summary


def _noise(config: Settings) -> Json:
    """The action noise, for the provenance; empty without noise."""
    section = config.rollout
    noise = {"epsilon": section.epsilon, "noise_std": section.noise_std}
    return {"noise": noise} if any(noise.values()) else {}


def _player(
    config: Settings,
    info: environment.EnvInfo,
    policy: object,
    member: int,
    render: str | None,
) -> policies.Act | Person:
    """The player: a person, or a policy with the configured action noise.

    Raises:
      UserError: if there is no such policy, or it does not fit.
    """
    section = config.rollout
    if policy is None and section.policy == human.NAME:
        if _noise(config):
            raise UserError("rollout.epsilon and noise_std are not for a person; set them to 0")
        if render == "video":
            raise UserError("a person sees the environment as it is; leave --render out")
        return Person(info, section.keyboard)
    act = policies.resolve(
        section.policy if policy is None else policy,
        info,
        config.seed,
        member,
        config.evaluation.deterministic,
    )
    act = policies.checked(act, info)
    if not _noise(config):
        return act
    return Noisy(act, info, section.epsilon, section.noise_std, config.seed)


def _finish(
    config: Settings, workdir: Path, result: outcomes.Evaluation, wall_seconds: float
) -> Json:
    """Log the results and write the summary."""
    with metrics.MetricsWriter(workdir, config=config) as writer:
        writer.write(0, "eval", "rollout_stats", result.stats())
    steps, block = int(result.lengths.sum()), result.summary()
    summary = {
        "kind": KIND,
        "env_steps": steps,
        "wall_seconds": wall_seconds,
        "policy": config.rollout.policy,
        "evaluation": block,
        "members": [{"seed": config.seed, "env_steps": steps, "evaluation": block}],
    }
    run_folder.write_json(workdir / run_folder.SUMMARY, summary)
    return summary


def _play(
    config: Settings,
    workdir: Path,
    info: environment.EnvInfo,
    player: policies.Act | Person,
    seeds: np.ndarray,
    render: str | None,
    provenance: Json | None,
) -> _Tally:
    """Play the episodes, log each as it ends, and record them if ``provenance`` is given."""
    tally, finished = _Tally(info), list[float]()
    with (workdir / run_folder.EPISODES).open("w") as file:
        log = _EpisodeLog(file)
        with console.progress("rollout", len(seeds), unit="episodes") as bar:

            def on_episode(episode: Episode) -> None:
                log(episode)
                bar.advance()
                finished.append(episode.episode_return)
                bar.note(f"mean return {np.mean(finished):.1f}")

            if isinstance(player, Person):
                episodes = player.episodes(seeds, on_episode)
            elif render is None:
                num_envs = config.rollout.num_envs
                episodes = iter_episodes(info, player, seeds, num_envs, True, on_episode)
            else:
                episodes = _rendered(info, player, seeds, render, workdir, on_episode)
            episodes = tally.counted(episodes)
            if provenance is not None:
                _record(workdir, episodes, info, provenance, _about(config, info))
            else:
                deque(episodes, maxlen=0)  # play all and keep none
    return tally


class _EpisodeLog:
    """Writes one line per episode as it ends."""

    def __init__(self, file: TextIO):
        self._file = file

    def __call__(self, episode: Episode) -> None:
        line = {
            "episode": episode.index,
            "seed": episode.seed,
            "return": episode.episode_return,
            "length": episode.length,
            "end": "terminated" if episode.terminated else "truncated",
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _about(config: Settings, info: environment.EnvInfo) -> about.About:
    """The data set's metadata; plays the random policy if a reference score is asked for."""
    section, reference = config.rollout, None
    if section.reference_episodes > 0:
        act = policies.resolve("random", info, config.seed)
        seeds = seeding.episode_seeds(config.seed, seeding.ROLLOUT, section.reference_episodes)
        played = play_episodes(info, act, seeds, section.num_envs)
        reference = float(np.mean([e.episode_return for e in played]))
    return about.About(
        section.dataset_id or about.DATASET_ID,
        names_of(section.author),
        names_of(section.author_email),
        section.code_permalink,
        reference,
        section.reference_episodes,
    )


def _record(
    workdir: Path,
    episodes: Iterable[Episode],
    info: environment.EnvInfo,
    provenance: Json,
    said: about.About = about.About(),  # noqa: B008  (frozen)
) -> None:
    """Write the data set to a temporary place and move it, so that it is whole or absent.

    Episodes are written as they end, so memory holds only those in progress.
    """
    with disk.whole(workdir / run_folder.TRAJECTORIES) as temporary:
        where = workdir / run_folder.TRAJECTORIES
        trajectories.write_each(temporary, episodes, info, provenance, said, where)


def _rendered(
    info: environment.EnvInfo,
    act: policies.Act,
    seeds: np.ndarray,
    render: str,
    workdir: Path,
    on_episode: Callable[[Episode], None],
) -> Iterator[Episode]:
    """Play one environment after the other, in a window or into video files."""
    env = environment.make(info.config, MODES[render])
    frames: list[np.ndarray] = []
    jobs = [deque(enumerate(int(s) for s in seeds))]

    def after_step(slot: int) -> None:
        if render == "video":
            frames.append(filming.picture(env))

    try:
        for _, episode in run_episodes([env], act, jobs, True, after_step):
            if render == "video":
                _write_video(workdir, episode, frames)
                frames.clear()
            on_episode(episode)
            yield episode
    except environment.MissingPackageError as error:
        raise UserError(f"--render={render} needs a package that is missing: {error}") from error
    finally:
        env.close()


def _write_video(workdir: Path, episode: Episode, frames: list[np.ndarray]) -> None:
    folder = workdir / VIDEOS
    folder.mkdir(exist_ok=True)
    path = folder / f"episode_{episode.index:04d}_seed_{episode.seed}.mp4"
    with disk.whole(path) as temporary, files.mp4(temporary, VIDEO_FPS) as film:
        for frame in frames:
            film.add(frame)


class _Tally:
    """Statistics of episodes that are not kept: returns, step counts, how they end, actions."""

    def __init__(self, info: environment.EnvInfo):
        self._info = info
        self._returns: list[float] = []
        self._lengths: list[int] = []
        self._terminated = 0
        self._actions = np.zeros(1)

    def counted(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """The same episodes, counted as they pass."""
        name, space = self._info.config.id, self._info.observation_space
        for e in episodes:
            outside.note(name, space, arrays_of(e.observations), console.say)
            self._returns.append(e.episode_return)
            self._lengths.append(e.length)
            self._terminated += e.terminated
            self._actions = self._actions + self._info.spaces.action.tally(e.actions)
            yield e

    def result(self) -> outcomes.Evaluation:
        """Returns and lengths."""
        return outcomes.Evaluation(np.array(self._returns), np.array(self._lengths))

    def show(self, name: str) -> None:
        """Print the table."""
        result, info = self.result(), self._info
        rows = [_row("return", result.returns), _row("step count", result.lengths)]
        header = ("", "count", "min", "median", "mean", "max", "std")
        played = counted(len(result.returns), "episode")
        console.table(f"{info.config.id}: {played} of {name}", header, rows)
        steps = int(result.lengths.sum())
        console.say(
            f"{counted(steps, 'step')}; {counted(self._terminated, 'episode')} terminated, "
            f"{len(result.returns) - self._terminated} truncated"
        )
        text = info.spaces.action.tallied(self._actions, steps)
        console.say(f"actions  {text}")


def _row(name: str, x: np.ndarray) -> tuple[str, ...]:
    figures = (x.min(), np.median(x), x.mean(), x.max(), x.std())
    return (name, str(len(x)), *(f"{value:.1f}" for value in figures))
