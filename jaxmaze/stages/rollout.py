"""Rollouts: a policy plays fixed episodes; they are counted, shown, and recorded if asked for."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import ml_collections
import numpy as np

from jaxmaze import (
    collect,
    console,
    evaluation,
    metrics,
    policies,
    runs,
    seeding,
    trajectories,
)
from jaxmaze.envs import gymnasium as backend
from jaxmaze.errors import UserError
from jaxmaze.trajectories import Episode

KIND = "rollout"
VIDEO_FPS = 50


def run(
    config: ml_collections.ConfigDict,
    workdir: Path,
    *,
    policy: policies.Act | None = None,
    seeds: np.ndarray | None = None,
    record: bool = False,
    render: str | None = None,
    member: int = 0,
) -> dict[str, Any]:
    """Play ``config.rollout.n_episodes`` episodes with ``config.rollout.policy``.

    Args:
      config: the configuration.
      workdir: the run's folder.
      policy: a function to use instead of the named policy.
      seeds: the episodes' seeds; spawned from ``config.seed`` by default.
      record: whether to write the episodes to ``trajectory_data/``.
      render: ``"human"`` for a window, ``"video"`` for a file an episode in ``videos/``.
      member: which member of a run's policies.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for a policy or an environment that cannot be used.
    """
    info = backend.describe(backend.EnvConfig.of(config.env))
    name, given = config.rollout.policy, policy is not None
    if policy is None:
        policy = policies.resolve(name, info, config.seed, member, config.evaluation.deterministic)
    if seeds is None:
        seeds = seeding.episode_seeds(config.seed, seeding.ROLLOUT, config.rollout.n_episodes)
    identity = runs.identity(
        config, KIND, record=record, render=render, member=member, first_seed=int(seeds[0]),
        policy_sha256=policies.digest_of(policy),
    )  # fmt: skip
    if runs.claim(workdir, identity):
        if given:
            raise UserError(f"{workdir} holds a finished rollout; give another folder")
        console.say(f"{workdir} is finished already")
        return runs.summary(workdir)
    start = time.perf_counter()
    with (workdir / runs.EPISODES).open("w") as file:
        log = _EpisodeLog(file)
        with console.progress("rollout", len(seeds)) as bar:

            def on_episode(episode: Episode) -> None:
                log(episode)
                bar.advance()

            checked = policies.checked(policy, info)
            if render is None:
                episodes = collect.play(
                    info, checked, seeds, config.rollout.num_envs, True, on_episode
                )
            else:
                episodes = _rendered(info, checked, seeds, render, workdir, on_episode)
    wall_seconds = time.perf_counter() - start
    result = evaluation.of_episodes(episodes)
    _show(name, info, episodes)
    if record:
        _record(workdir, episodes, info, {
            "policy": name, "seed": config.seed, "env": json.loads(backend.spec_json(info)),
            "versions": runs.versions(),
        })  # fmt: skip
    with metrics.MetricsWriter(workdir) as writer:
        writer.write(0, "eval", "rollout_stats", result.stats())
    steps = int(result.lengths.sum())
    block = result.summary()
    summary = {
        "kind": KIND,
        "env_steps": steps,
        "wall_seconds": wall_seconds,
        "policy": name,
        "evaluation": block,
        "members": [{"seed": config.seed, "env_steps": steps, "evaluation": block}],
    }
    runs.write_json(workdir / runs.SUMMARY, summary)
    return summary


class _EpisodeLog:
    """Writes one line an episode as it ends."""

    def __init__(self, file: Any):
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


def _record(
    workdir: Path, episodes: list[Episode], info: backend.EnvInfo, provenance: dict[str, Any]
) -> None:
    """Write the data set beside its place and move it there, so that it is whole or absent."""
    temporary = workdir / (runs.TRAJECTORIES + ".tmp")
    final = workdir / runs.TRAJECTORIES
    for leftover in (temporary, final):  # of an earlier start that did not come to its summary
        shutil.rmtree(leftover, ignore_errors=True)
    trajectories.write(temporary, episodes, info, provenance)
    temporary.rename(final)


def _rendered(
    info: backend.EnvInfo,
    act: policies.Act,
    seeds: np.ndarray,
    render: str,
    workdir: Path,
    on_episode: Callable[[Episode], None],
) -> list[Episode]:
    """One environment after the other, in a window or into video files."""
    env = backend.make(info.config, "human" if render == "human" else "rgb_array")
    frames: list[np.ndarray] = []
    episodes = []
    jobs = [list(enumerate(int(s) for s in seeds))]

    def after_step(slot: int) -> None:
        if render == "video":
            frames.append(np.asarray(env.render()))

    try:
        for _, episode in collect.run_episodes([env], act, jobs, True, after_step):
            if render == "video":
                _write_video(workdir, episode, frames)
                frames.clear()
            episodes.append(episode)
            on_episode(episode)
    except gym.error.DependencyNotInstalled as error:
        raise UserError(f"--render={render} needs a package that is missing: {error}") from error
    finally:
        env.close()
    return episodes


def _write_video(workdir: Path, episode: Episode, frames: list[np.ndarray]) -> None:
    try:
        from moviepy import ImageSequenceClip
    except ImportError:
        raise UserError("--render=video needs moviepy: pip install 'jaxmaze[video]'") from None
    folder = workdir / "videos"
    folder.mkdir(exist_ok=True)
    path = folder / f"episode_{episode.index:04d}_seed_{episode.seed}.mp4"
    clip = ImageSequenceClip(list(frames), fps=VIDEO_FPS)
    clip.write_videofile(str(path), logger=None, audio=False)


def _show(name: str, info: backend.EnvInfo, episodes: list[Episode]) -> None:
    """The statistics table: returns, step counts, actions."""
    result = evaluation.of_episodes(episodes)
    rows = [
        _row("return", result.returns),
        _row("step count", result.lengths),
    ]
    header = ("", "count", "min", "median", "mean", "max", "std")
    console.table(f"{info.config.id}: {len(episodes)} episodes of {name}", header, rows)
    ends = sum(e.terminated for e in episodes)
    console.say(
        f"{int(result.lengths.sum())} steps; {ends} episodes terminated, "
        f"{len(episodes) - ends} truncated"
    )
    taken = [e.actions for e in episodes if len(e.actions)]
    if not taken:
        return
    actions = np.concatenate(taken)
    if info.spaces.kind == "discrete":
        share = np.bincount(actions, minlength=info.spaces.num_actions) / len(actions)
        text = ", ".join(f"{a}: {100 * p:.1f} %" for a, p in enumerate(share))
    else:
        mean, std = actions.mean(0), actions.std(0)
        text = ", ".join(
            f"[{i}]: {m:.2f} ± {s:.2f}" for i, (m, s) in enumerate(zip(mean, std, strict=True))
        )
    console.say(f"actions  {text}")


def _row(name: str, x: np.ndarray) -> tuple[str, ...]:
    figures = (x.min(), np.median(x), x.mean(), x.max(), x.std())
    return (name, str(len(x)), *(f"{value:.1f}" for value in figures))
