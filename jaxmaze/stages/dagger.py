"""DAgger: the teacher labels states that the clones visit; clones are refitted every round.

Ross, Gordon & Bagnell (2011), "A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning". Each member has a clone, episodes and a data set of its own.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze import policies
from jaxmaze.config import Settings
from jaxmaze.core import seeding
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Json, Policy
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Episode
from jaxmaze.policies import build_networks
from jaxmaze.runs import checkpoint, console, metrics, outcomes, run_folder
from jaxmaze.training import audit, bc_learner, dagger_data, evaluation, selection, units

KIND = "dagger"


class Progress(NamedTuple):
    """The state from which a run is resumed, in addition to the rounds' episodes.

    Attributes:
      last: the latest clones, ``[M, ...]`` on the host.
      best: the best ones.
    """

    last: Policy
    best: selection.Best


def run(config: Settings, workdir: Path, *, policy: object = None) -> Json:
    """Clone ``config.dagger.policy`` by querying it for labels.

    Args:
      config: the configuration; its ``bc`` section says how clones are fitted.
      workdir: the run's folder; a run in it is resumed with its next round.
      policy: a Python object as teacher instead, see :func:`policies.resolve`.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for a teacher that cannot be queried, or does not fit.
    """
    info = environment.describe(environment.EnvConfig.of(config.env), console.say)
    teacher = dagger_data.teacher_of(config, info, 0, policy)
    identity = run_folder.identity(config, KIND, teacher_sha256=policies.digest_of(teacher))
    seeds = bc_learner.member_seeds(config)
    own = [run_folder.Source((str(workdir / f"seed_{seed}"),), None) for seed in seeds]
    data = run_folder.about_demonstrations(workdir, own)
    if run_folder.claim(workdir, identity, demonstrations=data):
        return metrics.finished_already(workdir, config)
    spaces = units.spaces_of(workdir, info, dagger_data.shown(config, info, policy))
    networks = build_networks(config, spaces)
    with (
        evaluation.open_evaluator(config, info, networks, seeds) as evaluator,
        checkpoint.Checkpoints(workdir) as checkpoints,
    ):
        trainer = _Trainer(config, networks, info, workdir, evaluator, checkpoints, policy)
        with metrics.MetricsWriter(
            workdir, trainer.restore(), config, ("network", "dagger", "bc")
        ) as writer:
            trainer.train(writer)
        summary = trainer.finish()
    run_folder.write_json(workdir / run_folder.SUMMARY, summary)
    dagger_data.drop_rounds(workdir)
    e = summary["evaluation"]
    console.say(
        f"clone: mean return {e['mean']:.1f} ± {e['std']:.1f} over "
        f"{evaluation.size(config.members, config.evaluation.episodes)}, {summary['labels']:.0f} "
        "labels a member"
    )
    return summary


class _Trainer:
    """The loop over rounds."""

    def __init__(
        self,
        config: Settings,
        networks: Networks,
        info: environment.EnvInfo,
        workdir: Path,
        evaluator: evaluation.Evaluator,
        checkpoints: checkpoint.Checkpoints,
        policy: object = None,
    ):
        self.config, self.networks, self.info, self.policy = config, networks, info, policy
        self.workdir, self.evaluator, self.checkpoints = workdir, evaluator, checkpoints
        self.section, self.seeds = config.dagger, bc_learner.member_seeds(config)
        self.start = time.perf_counter()
        self.fitter = bc_learner.Fitter(config, networks, seeding.STAGE_DAGGER, own_data=True)
        blank = checkpoint.blank_policies(networks, config.members)
        self.progress = Progress(blank, selection.begin(blank))
        self.round = 0
        # By member, then by round.
        self.episodes: list[list[list[Episode]]] = [[] for _ in self.seeds]
        self.provenance: list[list[Json]] = [[] for _ in self.seeds]

    def labels(self) -> np.ndarray:
        """``[M]`` the number of labels queried for each member so far."""
        return np.array([sum(e.length for r in mine for e in r) for mine in self.episodes])

    def step(self) -> int:
        """Labels per member (the mean over members), the step of the logs."""
        return round(float(self.labels().mean()))

    def restore(self) -> int | None:
        """Go back to the newest checkpoint; returns the step it was logged at, None without one."""
        latest = self.checkpoints.latest()
        self.round = latest or 0
        kept = [dagger_data.kept_rounds(self.workdir, s, self.round, self.info) for s in self.seeds]
        if latest is None:
            return None
        self.episodes, self.provenance = [k[0] for k in kept], [k[1] for k in kept]
        self.progress = self.checkpoints.restore(self.progress, latest)
        self.start -= self.checkpoints.meta(latest)["wall_seconds"]
        return self.step()

    def train(self, writer: metrics.MetricsWriter) -> None:
        """All rounds: play, label, aggregate, refit, evaluate."""
        self.writer, rounds = writer, self.section.rounds
        with console.progress("dagger", rounds, done=self.round) as bar:
            self.bar = bar
            while self.round < rounds:
                share = dagger_data.beta(self.config, self.round)
                taught = self._play(share)
                means = self._fit()
                self._evaluate(share, taught, means)
                self.round += 1
                if self.round == rounds:
                    self._play_off()
                self._save()
                bar.advance()

    @console.doing("plays")
    def _play(self, share: float) -> np.ndarray:
        """A round's episodes of all members.

        Returns ``[M]`` the share of steps at which the action was the one that the teacher would
        take.
        """
        path = (seeding.STAGE_DAGGER, self.round)
        path_of, count = (seeding.AGGREGATION, self.round), self.section.n_episodes
        each = [[seeding.episode_seed(s, *path_of, i) for i in range(count)] for s in self.seeds]
        seeds = np.array(each)
        generators = [
            np.random.default_rng(np.random.SeedSequence(s, spawn_key=(seeding.MIXTURE, *path)))
            for s in self.seeds
        ]
        clones = None if self.round == 0 else self.progress.last
        # A new teacher each round, so that a random one draws the same numbers after a resume.
        teacher = dagger_data.teacher_of(self.config, self.info, self.round, self.policy)
        played = dagger_data.play(
            self.info, self.networks, teacher, clones, seeds, share, generators
        )
        agreed = []
        for m, (seed, episodes) in enumerate(zip(self.seeds, played, strict=True)):
            mine = jax.tree.map(lambda x, m=m: x[m], self.progress.last)
            provenance = {
                "policy": self.config.dagger.policy or self.config.rollout.policy,
                "round": {
                    "beta": share,
                    "episodes": len(episodes),
                    "clone_sha256": None if clones is None else checkpoint.digest(mine),
                },
            }
            dagger_data.keep_round(self.workdir, seed, self.round, episodes, self.info, provenance)
            self.episodes[m].append(episodes)
            self.provenance[m].append(provenance)
            rows = self.networks.spaces.action.from_env
            same = [
                np.isclose(rows(e.actions), rows(e.labels)).reshape(e.length, -1).all(1)
                for e in episodes
            ]
            agreed.append(np.concatenate(same).mean())
        return np.array(agreed)

    @console.doing("fits the clones")
    def _fit(self) -> dict[str, np.ndarray]:
        """Fit new clones to all data so far; returns the last epoch's means."""
        obs, action, weight = dagger_data.padded_rows(self.episodes, self.networks.spaces.action)
        cuts = None
        if self.networks.carry_size:
            cuts = dagger_data.padded_cuts(self.episodes, self.config.bc.sequence_length)
        data = bc_learner.rows_on_device(obs, action, cuts=cuts)
        steps = bc_learner.num_minibatches(self.config, weight.shape[1], cuts)
        counts = bc_learner.own_minibatches(self.config, weight, cuts)  # padding takes no steps
        plans = [self.fitter.plan(count) for count in counts]
        passes = min(plan.passes for plan in plans)
        last = np.array([plan.epochs for plan in plans])
        epochs = self.fitter.epochs(steps, False)
        state = self.fitter.init(data, weight, (self.round,))
        hyper = self.fitter.hyper(last, last)
        means: dict[str, np.ndarray] = {}
        for done in range(0, last.max(), passes):
            each = np.clip(last - done, 0, passes).astype(np.int32)
            state, logged, _ = epochs(state, data, weight, weight, hyper, each)
            # A member with more rows has fewer passes to make, and keeps the means of its last.
            new = jax.device_get(logged)
            means = {k: np.where(each > 0, x, means.get(k, x)) for k, x in new.items()}
            bc_learner.stop_if_diverged(done + passes, means)
        self.progress = self.progress._replace(last=jax.device_get(state.policy))
        return means

    def _evaluate(self, share: float, agreed: np.ndarray, means: dict[str, np.ndarray]) -> None:
        """Evaluate the round's clones, keep the best, log."""
        step, last = self.step(), self.progress.last
        seeds = evaluation.selection_seeds(self.config, self.section.eval_episodes)
        results = self.evaluator(last, seeds)
        returns = np.stack([r.returns for r in results])
        mean = returns.mean(1)
        best = selection.consider(self.progress.best, last, returns, step)
        self.progress = Progress(last, best)
        ones = np.ones(len(self.seeds))
        self.writer.write(step, "train", "imitation", means)
        self.writer.write(
            step,
            "train",
            "dagger",
            {
                "round": self.round * ones,
                "beta": share * ones,
                "labels": self.labels(),
                "agreement": agreed,
            },
        )
        stats = metrics.per_member([r.stats() for r in results])
        self.writer.write(step, "eval", "rollout_stats", stats, returns)
        self.bar.tell("clone", console.returned(mean) | {"labels": f"{step:,}"})
        console.say(
            f"round {self.round:2d}  beta {share:.2f}  {step} labels  return {mean.mean():.1f}"
        )

    def _play_off(self) -> None:
        """Choose between the best rounds and the last, on more and different episodes."""
        if not self.section.playoff_episodes:
            return
        seen = self.section.eval_episodes
        seeds = evaluation.selection_seeds(self.config, seen + self.section.playoff_episodes)
        best, means = selection.play_off(
            self.progress.best, self.progress.last, self.evaluator, seeds[seen:], self.step()
        )
        self.progress = self.progress._replace(best=best)
        self.writer.write(self.step(), "eval", "playoff", means)

    def _save(self) -> None:
        """Write a checkpoint; its step is the number of finished rounds."""
        meta = checkpoint.describe(self.networks, self.seeds, KIND)
        meta["wall_seconds"] = time.perf_counter() - self.start
        self.writer.flush()
        self.checkpoints.save(self.round, self.progress, self.progress.best.policy, meta)
        self.checkpoints.wait()  # without a whole one, the next round's data are dropped

    def finish(self) -> Json:
        """Write the aggregated data sets, evaluate on the test episodes; returns the summary."""
        sha256 = [
            dagger_data.keep_all(self.workdir, s, self.episodes[m], self.provenance[m], self.info)
            for m, s in enumerate(self.seeds)
        ]
        seeds = evaluation.test_seeds(self.config)
        best = self.evaluator(self.progress.best.policy, seeds)
        last = self.evaluator(self.progress.last, seeds)
        played = {"best": best, "last": last}
        outcomes.write_episodes(self.workdir, self.seeds, seeds, played)
        labels, chosen = self.labels(), self.progress.best.selection
        members = [
            {
                "seed": seed,
                "env_steps": int(labels[m]),
                "labels": int(labels[m]),
                "evaluation": best[m].summary(),
                "selection": selection.block(chosen, m, "labels"),
                "last": last[m].summary(),
                "data_sha256": sha256[m],
            }
            for m, seed in enumerate(self.seeds)
        ]
        audit.write(self.workdir, self.networks, self.progress.best.policy, self.info, self.config)
        return {
            "kind": KIND,
            "env_steps": int(labels.sum()),
            "labels": float(labels.mean()),
            "wall_seconds": time.perf_counter() - self.start,
            "evaluation": outcomes.pooled(best).summary(),
            "last": outcomes.pooled(last).summary(),
            "members": members,
        }
