"""PPO, from scratch or from a clone: one or more arms, all members in one compiled program.

An arm is a run with its own folder (say, cloned with learning rate 0). Arms that share network and
segment sizes train together; each ends up with the files of a run of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from jaxmaze import (
    checkpoint,
    collect,
    console,
    evaluation,
    handover,
    metrics,
    parallel,
    runs,
    seeding,
)
from jaxmaze import config as config_lib
from jaxmaze.core import optimizer, ppo
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy
from jaxmaze.envs import gymnasium as backend
from jaxmaze.errors import UserError
from jaxmaze.workers import Pool, num_shards

KIND = "ppo"
UNLIMITED_EPISODE = 1000
"""Steps that an episode is taken to last in an environment without a limit."""


class Best(NamedTuple):
    """The best policies so far.

    Attributes:
      policy: copies of the weights, ``[M, ...]``.
      score: ``[M]`` mean evaluation return when taken.
      env_steps: ``[M]`` environment steps when taken.
    """

    policy: Policy
    score: Any
    env_steps: Any


class Arm(NamedTuple):
    """One run among those that train together.

    Attributes:
      name: what progress and tables call it.
      config: its configuration.
      workdir: its folder.
      members: positions of its members on the common leading axis.
    """

    name: str
    config: ml_collections.ConfigDict
    workdir: Path
    members: slice


def run(config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Any]:
    """One PPO run; ``config.ppo.init_from`` names a bc or ppo run to start from, if any.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for a run to start from that does not fit.
    """
    return run_arms({workdir.name: (config, workdir)})[workdir.name]


def run_arms(
    arms: Mapping[str, tuple[ml_collections.ConfigDict, Path]],
) -> dict[str, dict[str, Any]]:
    """Train several runs as members of one program; returns their summaries by name.

    Raises:
      UserError: for runs to start from that do not fit.
    """
    first = next(iter(arms.values()))[0]
    info = backend.describe(backend.EnvConfig.of(first.env))
    listed, done, at = [], [], 0
    networks = config_lib.networks(first, info.spaces)
    origins = {name: handover.load(config, networks) for name, (config, _) in arms.items()}
    for name, (config, workdir) in arms.items():
        policy = origins[name]
        origin = {} if policy is None else {"origin_sha256": handover.digest(policy)}
        done.append(runs.claim(workdir, runs.identity(config, KIND, **origin)))
        listed.append(Arm(name, config, workdir, slice(at, at + config.members)))
        at += config.members
    if all(done):
        console.say(", ".join(str(arm.workdir) for arm in listed) + ": finished already")
        return {arm.name: runs.summary(arm.workdir) for arm in listed}
    trainer = _Trainer(listed, networks, info, origins)
    try:
        trainer.train()
        return trainer.finish()
    finally:
        trainer.close()


def num_iterations(config: ml_collections.ConfigDict) -> int:
    """Iterations that fit into ``total_env_steps``."""
    return config.ppo.total_env_steps // (config.ppo.num_envs * config.ppo.num_steps)


def _hyper(arm: Arm) -> ppo.Hyper:
    """Hyper-parameters of an arm's members, arrays ``[members]``."""
    c = arm.config.ppo
    from_clone = c.init_from is not None
    value_learning_rate = (
        c.learning_rate if c.value_learning_rate is None else c.value_learning_rate
    )
    values = ppo.Hyper(
        learning_rate=c.learning_rate,
        value_learning_rate=value_learning_rate,
        gamma=c.gamma,
        gae_lambda=c.gae_lambda,
        clip_range=c.clip_range,
        entropy_coef=c.entropy_coef,
        value_coef=c.value_coef,
        max_grad_norm=c.max_grad_norm,
        target_kl=np.inf if c.target_kl is None else c.target_kl,
        critic_burn_in=c.critic_burn_in if from_clone else 0,
        anchor_coef=c.anchor_coef if from_clone else 0.0,
        adapt_stats=0.0 if from_clone else 1.0,
    )
    return jax.tree.map(lambda x: np.full(arm.config.members, x, np.float32), values)


def checkpoint_every(config: ml_collections.ConfigDict, episode_limit: int | None) -> int:
    """Iterations between checkpoints: the evaluations that are two episodes' length apart.

    Environments start anew at a checkpoint, because they cannot save their state. Were that more
    often than an episode takes, nobody would ever learn how one ends.
    """
    steps = config.ppo.eval_every * config.ppo.num_steps
    return config.ppo.eval_every * -(-2 * (episode_limit or UNLIMITED_EPISODE) // steps)


class _Trainer:
    """The loop over iterations, and what is logged, chosen and saved on the way."""

    def __init__(
        self, arms: list[Arm], networks: Networks, info: backend.EnvInfo, origins: dict[str, Any]
    ):
        self.arms, self.networks, self.start = arms, networks, time.perf_counter()
        self.config = config = arms[0].config
        self.section = section = config.ppo
        self.seeds = tuple(a.config.seed + i for a in arms for i in range(a.config.members))
        self.members = len(self.seeds)
        self.static = ppo.Static(
            section.num_epochs, section.batch_size, num_iterations(config),
            section.learning_rate_schedule == "linear",
            any(a.config.ppo.anchor_coef > 0 for a in arms), section.anchor_schedule == "linear",
        )  # fmt: skip
        self.steps_per_iteration = section.num_envs * section.num_steps
        hypers = [_hyper(arm) for arm in arms]
        self.hyper = jax.tree.map(lambda *x: np.concatenate(x), *hypers)
        self.checkpoint_every = checkpoint_every(config, info.spec.max_episode_steps)
        self.pool = Pool(
            collect.ActorConfig(
                info.config, networks, self.seeds, section.num_envs, num_shards(section.num_envs)
            ),
            info, config.env.workers,
        )  # fmt: skip
        try:
            self._open(origins)
        except BaseException:
            self.pool.close()
            raise

    def _open(self, origins: dict[str, Any]) -> None:
        """States, checkpoints and logs, new or as an earlier start left them."""
        self.evaluator = evaluation.Evaluator(self.pool, self.config.evaluation.deterministic)
        self._compile()
        self.clones = self._clones(origins)
        self.state = self._init(origins)
        self.best = Best(
            jax.device_get(self.state.policy),
            np.full(self.members, -np.inf, np.float32),
            np.zeros(self.members, np.int64),
        )
        self.checkpoints = [checkpoint.Checkpoints(arm.workdir) for arm in self.arms]
        self.iteration = self._restore()
        resumed = self.iteration * self.steps_per_iteration if self.iteration >= 0 else None
        self.writers = [metrics.MetricsWriter(arm.workdir, resumed) for arm in self.arms]

    def _compile(self) -> None:
        networks, static = self.networks, self.static

        def update(state: ppo.State, rollout: Any, hyper: ppo.Hyper, clone: Policy) -> Any:
            return ppo.update(networks, static, state, rollout, hyper, clone)

        self._update = parallel.vmap_members(update, self.members, donate=(0,))
        self._reset = parallel.vmap_members(ppo.reset_environments, self.members, donate=(0,))

    def _clones(self, origins: dict[str, Any]) -> Policy:
        """What each member starts from, ``[M, ...]``; zeros for members from scratch."""
        blank = checkpoint.blank_policies(self.networks, self.config.members)
        rows = [blank if origins[a.name] is None else origins[a.name] for a in self.arms]
        return jax.tree.map(lambda *x: np.concatenate(x), *rows)

    def _init(self, origins: dict[str, Any]) -> ppo.State:
        """States of all members: fresh networks, and the clones' policies where there are some."""
        networks, num_envs = self.networks, self.section.num_envs

        def init(seed: Any, origin: Policy, cloned: Any) -> ppo.State:
            key = jax.random.fold_in(jax.random.key(seed), seeding.STAGE_PPO)
            state = ppo.init(networks, key, num_envs)
            return state._replace(policy=optimizer.where(cloned, origin, state.policy))

        cloned = np.repeat([origins[a.name] is not None for a in self.arms], self.config.members)
        seeds = np.asarray(self.seeds, np.uint32)
        state = parallel.vmap_members(init, self.members)(seeds, self.clones, cloned)
        for arm in self.arms:
            origin = origins[arm.name]
            if origin is not None:
                mine = jax.tree.map(lambda x, at=arm.members: x[at], jax.device_get(state.policy))
                handover.check(networks, mine, origin, str(arm.config.ppo.init_from))
        return state

    def _restore(self) -> int:
        """Go back to the newest checkpoint that all arms hold; -1 without one.

        A crash between two arms' saves leaves one ahead of the others.
        """
        common = set.intersection(*(set(c.steps()) for c in self.checkpoints))
        return self._load(max(common)) if common else -1

    def _load(self, iteration: int) -> int:
        whole = jax.tree.map(np.array, (jax.device_get(self.state), self.best))
        for arm, saved in zip(self.arms, self.checkpoints, strict=True):
            mine = jax.tree.map(lambda x, at=arm.members: x[at], whole)
            restored = saved.restore(mine, iteration)
            saved.drop_after(iteration)
            for target, source in zip(
                jax.tree.leaves(whole), jax.tree.leaves(restored), strict=True
            ):
                target[arm.members] = source
        self.state, self.best = whole
        self.start -= self.checkpoints[0].meta(iteration)["wall_seconds"]
        return iteration

    def train(self) -> None:
        """Iterations, with evaluations between them; some of these are checkpoints."""
        every, total = self.section.eval_every, self.static.num_iterations
        with console.progress("fine-tune", total) as bar:
            if self.iteration < 0:
                self.iteration = 0
                self._evaluate(bar)
                self._save()
            else:
                bar.advance(self.iteration)
            while self.iteration < total:
                if self.iteration % self.checkpoint_every == 0:
                    self.pool.reset(self.iteration)
                    self.state = self._reset(self.state)
                for _ in range(min(every, total - self.iteration)):
                    self._iterate()
                    bar.advance()
                self._evaluate(bar)
                if self.iteration % self.checkpoint_every == 0 or self.iteration == total:
                    self._save()

    def _iterate(self) -> None:
        segment = self.pool.collect(self.state.policy, self.iteration, self.section.num_steps)
        self.state, means = self._update(self.state, segment.rollout, self.hyper, self.clones)
        self.iteration += 1
        self._log_training(jax.device_get(means), segment.episodes)

    def _log_training(self, means: dict[str, Any], episodes: list[tuple[int, float, int]]) -> None:
        step = self.iteration * self.steps_per_iteration
        bad = [name for name, x in means.items() if not np.isfinite(x).all()]
        if bad:
            raise UserError(
                f"training diverged: {', '.join(bad)} not finite after {step} steps; lower "
                "config.ppo.learning_rate. The last checkpoint is whole"
            )
        stats = [
            metrics.rollout_stats(
                [r for m, r, _ in episodes if m == member],
                [n for m, _, n in episodes if m == member],
            )
            for member in range(self.members)
        ]
        for arm, writer in zip(self.arms, self.writers, strict=True):
            mine = {name: x[arm.members] for name, x in means.items()}
            if arm.config.ppo.init_from is None:  # nothing to drift from
                mine = {n: x for n, x in mine.items() if n not in ("clone_kl", "anchor_coef")}
            writer.write(step, "train", "ppo", mine)
            writer.write(step, "train", "rollout_stats", metrics.per_member(stats[arm.members]))

    def _evaluate(self, bar: console.Progress) -> None:
        """Evaluate all members, keep the best, log."""
        step = self.iteration * self.steps_per_iteration
        seeds = evaluation.selection_seeds(self.config, self.section.eval_episodes)
        results = self.evaluator(self.state.policy, seeds)
        score = np.array([r.returns.mean() for r in results], np.float32)
        better = score > self.best.score
        policies = jax.device_get(self.state.policy)

        def keep(new: np.ndarray, old: np.ndarray) -> np.ndarray:
            return np.where(better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

        self.best = Best(
            jax.tree.map(keep, policies, self.best.policy),
            keep(score, self.best.score),
            keep(np.full(self.members, step, np.int64), self.best.env_steps),
        )
        for arm, writer in zip(self.arms, self.writers, strict=True):
            stats = metrics.per_member([r.stats() for r in results[arm.members]])
            writer.write(step, "eval", "rollout_stats", stats)
            writer.flush()
        bar.note(", ".join(f"{a.name} {score[a.members].mean():.0f}" for a in self.arms))

    def _save(self) -> None:
        """Write a checkpoint of each arm."""
        state = jax.device_get(self.state)
        for arm, saved in zip(self.arms, self.checkpoints, strict=True):
            mine = jax.tree.map(lambda x, at=arm.members: x[at], (state, self.best))
            meta = checkpoint.describe(self.networks, self.seeds[arm.members], KIND)
            meta["wall_seconds"] = time.perf_counter() - self.start
            saved.save(self.iteration, mine, mine[1].policy, meta)

    def finish(self) -> dict[str, dict[str, Any]]:
        """Evaluate the last and the best policies on the test episodes; write the summaries."""
        seeds = evaluation.test_seeds(self.config)
        last = self.evaluator(self.state.policy, seeds)
        best = self.evaluator(self.best.policy, seeds)
        steps = self.iteration * self.steps_per_iteration
        wall = time.perf_counter() - self.start
        summaries = {}
        for arm, saved in zip(self.arms, self.checkpoints, strict=True):
            saved.wait()
            members = [
                {
                    "seed": self.seeds[m],
                    "env_steps": steps,
                    "evaluation": best[m].summary(),
                    "best_env_steps": int(self.best.env_steps[m]),
                    "last": last[m].summary(),
                }
                for m in range(self.members)[arm.members]
            ]
            summaries[arm.name] = {
                "kind": KIND,
                "env_steps": steps * arm.config.members,
                "wall_seconds": wall,
                "evaluation": evaluation.pooled(best[arm.members]).summary(),
                "last": evaluation.pooled(last[arm.members]).summary(),
                "members": members,
            }
            runs.write_json(arm.workdir / runs.SUMMARY, summaries[arm.name])
        for arm in self.arms:
            e = summaries[arm.name]["evaluation"]
            console.say(
                f"{arm.name}: mean return {e['mean']:.1f} ± {e['std']:.1f} over "
                f"{arm.config.members} members x {e['episodes'] // arm.config.members} episodes"
            )
        return summaries

    def close(self) -> None:
        """Close workers, logs and checkpoints."""
        self.pool.close()
        for closing in (*getattr(self, "writers", ()), *self.checkpoints):
            closing.close()
