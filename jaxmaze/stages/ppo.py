"""PPO, from scratch or from a clone: one or more arms, all members in one compiled program.

An arm is a run with its own folder (for example, the clone kept at learning rate 0). Arms that
share network and segment sizes train together; each writes the same files as a run on its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from jaxmaze.config import Settings, to_settings
from jaxmaze.config.sections.ppo import segment_steps
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Json, Rollout
from jaxmaze.envs import environment
from jaxmaze.envs.actors import Segment
from jaxmaze.envs.collectors import BACKENDS, open_collector
from jaxmaze.policies import build_networks
from jaxmaze.runs import checkpoint, console, metrics, outcomes, run_folder
from jaxmaze.runs.stopwatch import Stopwatch
from jaxmaze.training import (
    action_histograms,
    audit,
    discount,
    evaluation,
    handover,
    ppo_arms,
    selection,
    units,
)
from jaxmaze.training.arm_files import ArmFiles
from jaxmaze.training.judge import Judge
from jaxmaze.training.ppo_arms import Arm, DemonstrationSets, needs_demonstrations
from jaxmaze.training.ppo_learner import Population, stop_if_diverged
from jaxmaze.training.ppo_update import Updater

KIND = "ppo"
NEXT = "to train on from its best policy, start a new run"
OF_CLONES = ("clone_kl", "anchor_coef", "critic_ready")
"""Metrics that have no meaning for a run from scratch."""


Change = Callable[[Rollout], Rollout]
"""A function that changes the segments ``[L, T, N, ...]`` before the update."""


def run(
    config: Settings,
    workdir: Path,
    reported: np.ndarray | None = None,
    change: Change | None = None,
) -> Json:
    """One PPO run; ``config.ppo.init_from`` names a bc or ppo run to start from, if any.

    Args:
      config: all settings.
      workdir: the run's folder.
      reported: as in :func:`run_arms`.
      change: likewise.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for a run to start from that does not fit.
    """
    arms = {workdir.name: (config, workdir)}
    return run_arms(arms, reported, change)[workdir.name]


def run_arms(
    arms: Mapping[str, tuple[Settings, Path]],
    reported: np.ndarray | None = None,
    change: Change | None = None,
) -> dict[str, Json]:
    """Train several runs as members of one program; returns their summaries by name.

    Args:
      arms: configuration and folder of each run, by the name that tables call it.
      reported: seeds ``[E]`` of the episodes that summaries report; the test episodes by default.
      change: applied to each segment between collection and update, for example for reward shaping,
        a bonus or a penalty. Evaluations and logged returns use the environment's reward. It is
        not part of a run's identity.

    Raises:
      UserError: for runs to start from that do not fit.
    """
    arms = {name: (to_settings(config), workdir) for name, (config, workdir) in arms.items()}
    first = next(iter(arms.values()))[0]
    ppo_arms.check_shared([config for config, _ in arms.values()])
    info = environment.describe(environment.EnvConfig.of(first.env), console.say)
    BACKENDS[first.env.backend].check(info)
    networks = build_networks(first, units.spaces_of_arms(list(arms.values()), info))
    configs = [config for config, _ in arms.values()]
    given = {c.ppo.init_from: handover.read(c, networks) for c in configs}
    folders = [workdir for _, workdir in arms.values()]
    adapting = {
        name: ppo_arms.settled(config, given[config.ppo.init_from])
        for name, (config, _) in arms.items()
    }
    updater = Updater(list(adapting.values()), networks)
    if not all(map(run_folder.finished, folders)):
        updater.prepare()  # in the background, while data are read and clones are checked
    demonstrated = DemonstrationSets(info, networks.spaces.action)
    arms, rules = discount.settled(arms, info, demonstrated)
    configs = [config for config, _ in arms.values()]
    identities = [_identity(c, given[c.ppo.init_from], demonstrated) for c in configs]
    done = [run_folder.already_finished(*x) for x in zip(folders, identities, strict=True)]
    if all(done):
        return {
            name: metrics.finished_already(workdir, config)
            for name, (config, workdir) in arms.items()
        }
    chosen = {name: config.ppo.observation_statistics for name, config in adapting.items()}
    settled = {
        name: (config.replace("ppo", observation_statistics=chosen[name]), workdir)
        for name, (config, workdir) in arms.items()
    }
    listed = ppo_arms.take_over(settled, given, networks, info)
    for arm, identity in zip(listed, identities, strict=True):
        data = run_folder.about_demonstrations(arm.workdir, handover.sources_of(arm.config))
        run_folder.claim(arm.workdir, identity, demonstrations=data, **rules.get(arm.name, {}))
    trainer = _Trainer(listed, networks, info, demonstrated, updater, change)
    try:
        trainer.train()
        return trainer.finish(evaluation.test_seeds(first) if reported is None else reported)
    finally:
        trainer.close()


def _identity(
    config: Settings, given: handover.Given | None, demonstrated: DemonstrationSets
) -> Json:
    """What identifies a run, including the policies it starts from and the data it learns from."""
    hashes: dict[str, str | None] = {}
    if given is not None:
        hashes["origin_sha256"] = checkpoint.digest(handover.clones(given, config))
    sha256 = demonstrated.add(config)
    if needs_demonstrations(config):
        hashes["data_sha256"] = sha256
    return run_folder.identity(config, KIND, **hashes)


class _Trainer:
    """The training loop, with its logging, selection of the best policies and checkpoints."""

    @console.doing("starts the environments")
    def __init__(
        self,
        arms: list[Arm],
        networks: Networks,
        info: environment.EnvInfo,
        demonstrated: DemonstrationSets,
        updater: Updater,
        change: Change | None,
    ):
        self._change = change
        self.arms, self.networks, self.start = arms, networks, time.perf_counter()
        self.files = ArmFiles(arms)
        self.info = info
        self.config = config = arms[0].config
        self.section = section = config.ppo
        self.num_iterations = ppo_arms.num_iterations(config)
        self.steps_per_iteration = section.num_envs * segment_steps(section)
        self.checkpoint_every = ppo_arms.checkpoint_every(config, info.limit)
        self.watch = Stopwatch()
        self.population = Population(arms, networks, demonstrated, updater)
        self.seeds, self.members = self.population.seeds, len(self.population.seeds)
        self.collector = open_collector(
            config.env,
            info,
            networks,
            self.seeds,
            section.num_envs,
            [int(m) for m in self.population.learners],
            console.say,
        )
        try:
            self._open()
        except BaseException:
            self.collector.close()
            raise

    def _open(self) -> None:
        """Initialise states, checkpoints and logs, or restore them from an earlier start."""
        evaluator = evaluation.Evaluator(self.collector, self.config.evaluation.deterministic)
        self.judge = Judge(self.config, evaluator, self.population, self.files, self.watch)
        newest = self.files.newest()
        self.begun, self.iteration = newest is not None, newest or 0
        if newest is not None:
            whole = (self.population.whole(), self.judge.best)
            (state, self.judge.best), seconds = self.files.restore(whole, newest)
            self.population.restore(state)
            self.start -= seconds
        self.files.open_logs(self.step() if self.begun else None)

    def step(self) -> int:
        """Environment steps of each member so far."""
        return self.iteration * self.steps_per_iteration

    def _begin(self, bar: console.Progress) -> None:
        """Before the first iteration: fit the critics, evaluate, save a checkpoint."""
        for arm, writer in self.files.each():
            if arm.origin is not None:
                writer.write(0, "train", "handover", arm.origin.start)
        with self.watch("fit critics"), console.doing("fits the critics"):
            asked, means = self.population.fit_critics()
        self.files.write(0, "train", "critic_fit", means, where=asked)
        self.judge.evaluate(self.step(), bar)
        self._save()

    def train(self) -> None:
        """Run all iterations, evaluate between them, and save checkpoints at some evaluations."""
        every, total = self.section.eval_every, self.num_iterations
        size, done = len(self.population.learners) * self.steps_per_iteration, self.iteration
        with console.progress("fine-tune", total, done=done, size=size, unit="steps") as bar:
            if not self.begun:
                self._begin(bar)
            while self.iteration < total:
                learners = len(self.population.learners)
                if learners and self.iteration % self.checkpoint_every == 0:
                    with self.watch("reset"):
                        self.collector.reset(self.iteration)
                    self.population.reset_environments()
                self._iterate(min(every, total - self.iteration), bar)
                self.judge.evaluate(self.step(), bar)
                if self.iteration == total:
                    with self.watch("play-off"):
                        self.judge.play_off(self.step(), bar)
                if self.iteration % self.checkpoint_every == 0 or self.iteration == total:
                    self._save()

    def _iterate(self, count: int, bar: console.Progress) -> None:
        """Run ``count`` iterations; with overlap, all but the first act with the previous policy.

        The behaviour policy is then the one of one update before. At the end, all collected
        segments have been used for an update, so that a checkpoint needs only the training states.
        """
        if not len(self.population.learners):
            self.iteration += count
            bar.advance(count)
            return

        def begin(iteration: int) -> Callable[[], Segment]:
            policies = self.population.behaviour()
            return self.collector.begin(policies, iteration, segment_steps(self.section))

        overlap, pending = self.section.overlap, begin(self.iteration)
        for left in reversed(range(count)):
            with self.watch("collect"):
                segment = pending()
            if overlap and left:
                pending = begin(self.iteration + 1)
            with self.watch("update"):
                rollout = segment.rollout
                means = self.population.update(
                    rollout if self._change is None else self._change(rollout)
                )
            self.iteration += 1
            if self.iteration == 1:
                self.population.judge_critics(means["mc_explained_variance"], means["mc_known"])
            if not overlap and left:
                pending = begin(self.iteration)
            with self.watch("log"):
                stop_if_diverged(means, segment.rollout, self.step(), self.info.config.id)
                self._log_training(means, segment.episodes, bar)
                if not left:  # before each evaluation
                    self._log_actions(segment.rollout)
            bar.advance()

    def _log_training(
        self,
        means: dict[str, np.ndarray],
        episodes: list[tuple[int, float, int]],
        bar: console.Progress,
    ) -> None:
        """Log what the learners did; ``means`` are ``[L]``."""
        step = self.step()
        for arm, writer in self.files.each():
            everyone = range(self.members)[arm.members]
            mine = np.isin(self.population.learners, everyone)
            if not mine.any():
                continue  # no learners in this arm
            of_arm = {name: x[mine] for name, x in means.items()}
            if arm.origin is None:  # nothing to drift from, nothing to burn in
                of_arm = {n: x for n, x in of_arm.items() if n not in OF_CLONES}
            else:
                drift = console.small(float(of_arm["clone_kl"].mean()))
                bar.tell(arm.name, {"KL from clone": drift})
            writer.write(step, "train", "ppo", of_arm)
            stats = [
                metrics.rollout_stats(
                    [r for m, r, _ in episodes if m == member],
                    [n for m, _, n in episodes if m == member],
                )
                for member in everyone
            ]
            writer.write(step, "train", "rollout_stats", metrics.per_member(stats))

    def _log_actions(self, rollout: Rollout) -> None:
        """Log the actions of a segment ``[L, T, N, ...]``, each arm's of all its learners."""
        space, learners = self.networks.spaces.action, self.population.learners
        for arm, writer in self.files.each():
            mine = np.isin(learners, range(self.members)[arm.members])
            if mine.any():
                taken = np.asarray(rollout.action)[mine]
                action_histograms.write(writer, "train", space, taken, self.step())

    def _save(self) -> None:
        """Write a checkpoint of each arm, once the previous one and the logs of all are on disk."""
        with self.watch("wait for the last checkpoint"):
            self.files.flush()

        def about(arm: Arm) -> Json:
            meta = checkpoint.describe(self.networks, self.seeds[arm.members], KIND)
            return meta | {"wall_seconds": time.perf_counter() - self.start}

        best = self.judge.best
        self.files.save(self.iteration, (self.population.whole(), best), best.policy, about)

    def finish(self, seeds: np.ndarray) -> dict[str, Json]:
        """Evaluate the last and the best policies on the reported episodes; write the summaries."""
        with self.watch("test"), console.progress("test", 2) as bar:
            last = self.judge.evaluator(self.population.policies(), seeds)
            bar.advance()
            best = self.judge.evaluator(self.judge.best.policy, seeds)
            bar.advance()
        self.files.wait()
        summaries = {}
        for arm in self.arms:
            mine = jax.tree.map(lambda x, at=arm.members: x[at], self.judge.best.policy)
            audit.write(arm.workdir, self.networks, mine, self.info, arm.config)
            played = {"best": best[arm.members], "last": last[arm.members]}
            outcomes.write_episodes(arm.workdir, self.seeds[arm.members], seeds, played)
            summaries[arm.name] = _summary(arm, self.step(), self.judge.best.selection, played)
            summaries[arm.name] |= {
                "wall_seconds": time.perf_counter() - self.start,
                "timing": self.watch.summary(),
                **discount.rule_of(arm.workdir),
            }
            run_folder.write_json(arm.workdir / run_folder.SUMMARY, summaries[arm.name])
        for arm in self.arms:
            e = summaries[arm.name]["evaluation"]
            console.say(
                f"{arm.name}: mean return {e['mean']:.1f} ± {e['std']:.1f} over "
                + evaluation.size(arm.config.members, e["episodes"] // arm.config.members)
            )
        for part, t in self.watch.summary().items():
            console.detail(f"{part}: {t['first'] + t['rest']:.2f} s, {t['first']:.2f} s at first")
        return summaries

    def close(self) -> None:
        """Close workers, logs and checkpoints."""
        self.collector.close()
        self.files.close()


def _summary(
    arm: Arm,
    steps: int,
    chosen: selection.Selection,
    played: dict[str, list[outcomes.Evaluation]],
) -> Json:
    """An arm's summary.json, without the times; ``steps`` are environment steps per member."""
    best, last = played["best"], played["last"]
    members = [
        {
            "seed": arm.config.seed + i,
            "env_steps": steps,
            "evaluation": best[i].summary(),
            "selection": selection.block(chosen, arm.members.start + i, "env_steps"),
            "last": last[i].summary(),
        }
        for i in range(arm.config.members)
    ]
    summary = {
        "kind": KIND,
        "env_steps": steps * arm.config.members,
        "evaluation": outcomes.pooled(best).summary(),
        "last": outcomes.pooled(last).summary(),
        "members": members,
    }
    return summary if arm.origin is None else summary | {"audit": arm.origin.figures}
