"""Behavioural cloning: recorded episodes to a checkpoint, all members in one compiled program."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxmaze import (
    audit,
    checkpoint,
    console,
    evaluation,
    metrics,
    parallel,
    runs,
    seeding,
    trajectories,
)
from jaxmaze import config as config_lib
from jaxmaze.collect import ActorConfig
from jaxmaze.core import bc
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy
from jaxmaze.envs import gymnasium as backend
from jaxmaze.errors import UserError
from jaxmaze.workers import Pool, num_shards

KIND = "bc"
EVALUATION_ENVS = 16


class Problem(NamedTuple):
    """What is to be cloned.

    Attributes:
      data: all rows, on the device.
      train: ``[M, R]`` 1.0 for each member's training rows.
      validation: ``[M, R]`` likewise.
      steps: minibatches of an epoch over all rows, which is also enough for any part of them: one
        compiled program serves training and refit.
    """

    data: bc.Data
    train: np.ndarray
    validation: np.ndarray
    steps: int


def member_seeds(config: ml_collections.ConfigDict) -> tuple[int, ...]:
    """Member ``i`` has the seed ``config.seed + i``, so that each can be run again alone."""
    return tuple(config.seed + i for i in range(config.members))


def prepare(
    config: ml_collections.ConfigDict, dataset: trajectories.Dataset, info: backend.EnvInfo
) -> Problem:
    """Rows and splits of a data set.

    Raises:
      UserError: if a split or the batch size does not fit the data.
    """
    obs, action, number = trajectories.rows(dataset.episodes, info.spaces.kind)
    held_out = np.stack(
        [
            trajectories.split(len(dataset.episodes), config.bc.validation_percentage, seed)
            for seed in member_seeds(config)
        ]
    )
    validation = held_out[:, number]
    smallest = int((~validation).sum(1).min())
    if config.bc.batch_size > smallest:
        raise UserError(
            f"config.bc.batch_size={config.bc.batch_size} is larger than the {smallest} training "
            f"steps of {len(dataset.episodes)} episodes; choose at most {smallest}, or record more"
        )
    return Problem(
        bc.Data(jnp.asarray(obs), jnp.asarray(action)),
        (~validation).astype(np.float32),
        validation.astype(np.float32),
        -(-len(obs) // config.bc.batch_size),
    )


def run(config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Any]:
    """Clone the teacher recorded in ``config.bc.data``.

    Args:
      config: the configuration.
      workdir: the run's folder.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for data that cannot be used.
    """
    if config.bc.data is None:
        raise UserError("config.bc.data is not set; it must be a folder with recorded episodes")
    info = backend.describe(backend.EnvConfig.of(config.env))
    dataset = trajectories.read(config.bc.data, info)
    problem = prepare(config, dataset, info)
    if runs.claim(workdir, runs.identity(config, KIND, data_sha256=dataset.sha256)):
        console.say(f"{workdir} is finished already")
        return runs.summary(workdir)
    start = time.perf_counter()
    # An earlier start that did not come to its summary: training is a matter of seconds and the
    # same to the bit, so it begins anew.
    shutil.rmtree(workdir / checkpoint.FOLDER, ignore_errors=True)
    networks, seeds = config_lib.networks(config, info.spaces), member_seeds(config)
    actors = ActorConfig(info.config, networks, seeds, EVALUATION_ENVS, num_shards(EVALUATION_ENVS))
    with Pool(actors, info, config.env.workers) as pool, metrics.MetricsWriter(workdir) as writer:
        evaluator = evaluation.Evaluator(pool, config.evaluation.deterministic)
        trainer = _Trainer(config, networks, problem, evaluator, writer)
        state = trainer.train()
        if config.bc.refit and problem.validation.any():
            state = trainer.refit(state)
        state = jax.device_get(state)
        results = evaluator(state.best, evaluation.test_seeds(config))
    with checkpoint.Checkpoints(workdir) as checkpoints:
        meta = checkpoint.describe(networks, seeds, KIND)
        checkpoints.save(int(state.epoch.max()), state, state.best, meta)
    held_out = audit.held_out(np.asarray(problem.data.obs), np.asarray(problem.data.action),
                              problem.validation)  # fmt: skip
    audit.write(workdir, networks, state.best, info, config, held_out)
    summary = {
        "kind": KIND,
        "env_steps": 0,
        "wall_seconds": time.perf_counter() - start,
        "evaluation": evaluation.pooled(results).summary(),
        "members": [
            {
                "seed": seed,
                "env_steps": 0,
                "best_epoch": int(state.best_epoch[m]),
                "evaluation": result.summary(),
            }
            for m, (seed, result) in enumerate(zip(seeds, results, strict=True))
        ],
        "data": {"sha256": dataset.sha256, "episodes": len(dataset.episodes),
                 "steps": dataset.num_steps, **dataset.provenance},
    }  # fmt: skip
    runs.write_json(workdir / runs.SUMMARY, summary)
    show(summary, config)
    return summary


def show(summary: dict[str, Any], config: ml_collections.ConfigDict) -> None:
    """Print what came out."""
    e = summary["evaluation"]
    console.say(
        f"clone: mean return {e['mean']:.1f} ± {e['std']:.1f} over {len(summary['members'])} "
        f"members x {config.evaluation.episodes} episodes"
    )


class _Trainer:
    """Compiled functions of one run and the loop over epochs."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        networks: Networks,
        problem: Problem,
        evaluator: evaluation.Evaluator,
        writer: metrics.MetricsWriter,
    ):
        self.config, self.networks, self.problem = config, networks, problem
        self.evaluator, self.writer = evaluator, writer
        self.members = config.members
        self.section = section = config.bc

        def init(key: Any, data: bc.Data, train: Any) -> bc.State:
            return bc.init(networks, key, data, train)

        def select(state: bc.State, score: Any) -> Any:
            return bc.select(state, score, section.patience)

        self._init = parallel.vmap_members(init, self.members, shared=(1,))
        self._select = parallel.vmap_members(select, self.members)
        self._epoch = self._compile()
        self._keys = jax.vmap(lambda s: jax.random.fold_in(jax.random.key(s), seeding.STAGE_BC))(
            jnp.asarray(member_seeds(config), jnp.uint32)
        )

    def _compile(self) -> Any:
        networks, batch_size, steps = self.networks, self.section.batch_size, self.problem.steps

        def epoch(
            state: bc.State, data: bc.Data, train: Any, validation: Any, hyper: bc.Hyper
        ) -> Any:
            state, means = bc.epoch(networks, batch_size, steps, state, data, train, hyper)
            held_out = bc.evaluate(networks, state.policy, data, validation, hyper.entropy_coef)
            return state, means, held_out

        return parallel.vmap_members(epoch, self.members, shared=(1,))

    def _hyper(self, num_epochs: Any) -> bc.Hyper:
        section = self.section

        def each(value: Any) -> np.ndarray:
            return np.broadcast_to(np.float32(value), (self.members,))

        return bc.Hyper(
            each(section.learning_rate), each(section.entropy_coef), each(section.weight_decay),
            each(section.max_grad_norm), np.asarray(num_epochs, np.int32),
        )  # fmt: skip

    def train(self) -> bc.State:
        """Epochs with validation, until all members' patience or the number of epochs is out."""
        section, problem = self.section, self.problem
        state = self._init(self._keys, problem.data, problem.train)
        hyper = self._hyper(np.full(self.members, section.num_epochs))
        by_return = section.best_by == "return"
        validates = bool(problem.validation.any())
        with console.progress("clone", section.num_epochs) as bar:
            for epoch in range(1, section.num_epochs + 1):
                state, means, held_out = self._epoch(
                    state, problem.data, problem.train, problem.validation, hyper
                )
                means, held_out = jax.device_get((means, held_out))
                self._stop_if_diverged(epoch, means, held_out)
                self.writer.write(epoch, "train", "imitation", means)
                if validates:
                    self.writer.write(epoch, "eval", "imitation", held_out)
                last = epoch == section.num_epochs
                due = section.eval_every > 0 and epoch % section.eval_every == 0
                score = (
                    -held_out["policy_loss"] if validates else np.full(self.members, float(epoch))
                )
                loss, name = (held_out, "validation") if validates else (means, "training")
                rule = f"{name} loss {np.mean(loss['policy_loss']):.4f}"
                if due or (by_return and last):
                    returns = self._evaluate(epoch, state.policy)
                    rule = f"{rule}, return {np.mean(returns):.1f}"
                    score = returns if by_return else score
                if not by_return or due or last:
                    state, better = self._select(state, score.astype(np.float32))
                    self._tell(epoch, jax.device_get(better), rule)
                bar.advance()
                if jax.device_get(state.stopped).all():
                    bar.advance(section.num_epochs - epoch)
                    console.say(f"epoch {epoch:3d}  patience of {section.patience} epochs is out")
                    break
                self.writer.flush()
        return state

    def _stop_if_diverged(self, epoch: int, *groups: dict[str, np.ndarray]) -> None:
        bad = {name for group in groups for name, x in group.items() if not np.isfinite(x).all()}
        if bad:
            raise UserError(
                f"cloning diverged: {', '.join(sorted(bad))} not finite in epoch {epoch}; lower "
                "config.bc.learning_rate"
            )

    def _evaluate(self, epoch: int, policies: Policy) -> np.ndarray:
        seeds = evaluation.selection_seeds(self.config, self.section.eval_episodes)
        results = self.evaluator(policies, seeds)
        stats = metrics.per_member([r.stats() for r in results])
        self.writer.write(epoch, "eval", "rollout_stats", stats)
        return stats["reward/mean"]

    def _tell(self, epoch: int, better: np.ndarray, rule: str) -> None:
        if better.any():
            who = "" if len(better) == 1 else f" for {better.sum()} of {len(better)} members"
            console.say(f"epoch {epoch:3d}  {rule}  -> new best{who}")

    def refit(self, chosen: bc.State) -> bc.State:
        """Train anew on every episode, each member for the epochs that validation chose.

        Held-out episodes have told how long to train; with few episodes they are too precious not
        to be learned from.
        """
        problem = self.problem
        everything = np.ones_like(problem.train)
        epochs = jax.device_get(chosen.best_epoch)
        hyper = self._hyper(epochs)
        state = self._init(self._keys, problem.data, everything)
        offset = int(jax.device_get(chosen.epoch).max())
        with console.progress("refit", int(epochs.max())) as bar:
            for epoch in range(1, int(epochs.max()) + 1):
                state, means, _ = self._epoch(
                    state, problem.data, everything, problem.validation, hyper
                )
                means = jax.device_get(means)
                self._stop_if_diverged(epoch, means)
                self.writer.write(offset + epoch, "train", "refit", means)
                bar.advance()
        return state._replace(best=state.policy, best_epoch=chosen.best_epoch)
