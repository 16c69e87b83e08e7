"""Behavioural cloning: recorded episodes to a checkpoint, all members in one compiled program."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze.config import Settings
from jaxmaze.core import bc, seeding
from jaxmaze.core.types import Json, Policy
from jaxmaze.core.words import counted
from jaxmaze.errors import UserError
from jaxmaze.policies import build_networks
from jaxmaze.runs import (
    checkpoint,
    console,
    figures,
    metrics,
    outcomes,
    run_folder,
    sources,
    style,
)
from jaxmaze.training import (
    action_histograms,
    audit,
    bc_data,
    bc_learner,
    data_alone,
    evaluation,
    selection,
    units,
)

KIND = "bc"


class Progress(NamedTuple):
    """The state from which a run is resumed.

    Attributes:
      train: the members' states of the first phase, with held-out episodes.
      refit: their states of the refit on all episodes.
      selection: the score that ``train.best`` was chosen by, higher is better.
      returns: ``[M, E]`` of ``train.best``, where selection is by return.
    """

    train: bc.State
    refit: bc.State
    selection: selection.Selection
    returns: np.ndarray


def run(config: Settings, workdir: Path, reported: np.ndarray | None = None) -> Json:
    """Clone the teacher recorded in ``config.bc.data``.

    Args:
      config: the configuration.
      workdir: the run's folder; a run in it is resumed from its last checkpoint.
      reported: seeds ``[E]`` of the episodes that the summary reports; the test episodes by
        default.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for data that cannot be used.
    """
    if config.bc.data is None:
        raise UserError("config.bc.data is not set; it must be a folder with recorded episodes")
    info = data_alone.describe(config)
    dataset = sources.read(config.bc, info)
    identity = run_folder.identity(config, KIND, data_sha256=dataset.sha256)
    if run_folder.already_finished(workdir, identity):
        return metrics.finished_already(workdir, config)
    networks = build_networks(config, units.spaces_of(workdir, info, dataset.episodes))
    problem = bc_data.prepare(config, dataset, networks)
    facts = {"sha256": dataset.sha256, "episodes": len(dataset.episodes)}
    about = {**facts, "steps": dataset.num_steps, **dataset.provenance}
    source = sources.source(config.bc, dataset)
    del dataset  # Training needs only the rows, which are a copy.
    about_data = run_folder.about_demonstrations(workdir, [source])
    run_folder.claim(workdir, identity, demonstrations=about_data)
    seeds = bc_learner.member_seeds(config)
    fitter = bc_learner.Fitter(config, networks, seeding.STAGE_BC)
    fitter.prepare(problem.data, problem.train, problem.steps, True)
    with (
        data_alone.open_evaluator(config, info, networks, seeds) as evaluator,
        checkpoint.Checkpoints(workdir) as checkpoints,
    ):
        trainer = _Trainer(config, fitter, problem, evaluator, checkpoints)
        with metrics.MetricsWriter(workdir, trainer.restore(), config, ("network", "bc")) as writer:
            taught = np.asarray(problem.data.action)
            action_histograms.write(writer, "train", networks.spaces.action, taught, 0)
            progress, policies = trainer.train(writer)
            reported = evaluation.test_seeds(config) if reported is None else reported
            results = evaluator(policies, reported) if evaluator else None
            if results:
                outcomes.write_episodes(workdir, seeds, reported, {"best": results})
            _draw(workdir, config, writer)
    summary = {
        "kind": KIND,
        "env_steps": 0,
        "wall_seconds": time.perf_counter() - trainer.start,
        **({"evaluation": outcomes.pooled(results).summary()} if results else {}),
        "members": [
            _member(config, progress, m, results[m] if results else None)
            for m in range(config.members)
        ],
        "data": about,
    }
    shown, temperature = trainer.held_out(progress)
    audit.write(workdir, networks, policies, info, config, shown, temperature)
    if not results:
        data_alone.add_validation(summary, workdir)
    run_folder.write_json(workdir / run_folder.SUMMARY, summary)
    show(summary, config)
    return summary


def _member(
    config: Settings, progress: Progress, member: int, result: outcomes.Evaluation | None
) -> Json:
    """One member's part of the summary."""
    block: Json = {
        "seed": config.seed + member,
        "env_steps": 0,
        "best_epoch": int(progress.train.best_epoch[member]),
    }
    if result:
        block["evaluation"] = result.summary()
    if config.bc.best_by == "return":
        block["selection"] = selection.block(progress.selection, member, "epoch")
    return block


def _draw(workdir: Path, config: Settings, writer: metrics.MetricsWriter) -> None:
    """Plot return against validation loss, because the loss does not predict the return."""
    writer.flush()
    found = figures.losses_and_returns(metrics.read(workdir), config.members)
    if found is not None:
        fig = figures.loss_and_return(found)
        style.save(fig, workdir / figures.LOSS_AND_RETURN, found.table())
        writer.add_figure("imitation/validation_loss_and_return", fig, 0)


def show(summary: Json, config: Settings) -> None:
    """Print the results."""
    if "evaluation" not in summary:
        return data_alone.show(summary)
    e = summary["evaluation"]
    console.say(
        f"clone: mean return {e['mean']:.1f} ± {e['std']:.1f} over "
        + evaluation.size(len(summary["members"]), config.evaluation.episodes)
    )


class _Trainer:
    """The loop over epochs: first with held-out episodes, then a refit on all episodes."""

    def __init__(
        self,
        config: Settings,
        fitter: bc_learner.Fitter,
        problem: bc_data.Problem,
        evaluator: evaluation.Evaluator | None,
        checkpoints: checkpoint.Checkpoints,
    ):
        self.config, self.fitter, self.problem = config, fitter, problem
        self.evaluator, self.checkpoints = evaluator, checkpoints
        self.section, self.members = config.bc, config.members
        self.start = time.perf_counter()
        self.plan = self.fitter.plan(problem.steps)
        self._epochs = self.fitter.epochs(problem.steps, True)
        self.validates = bool(problem.validation.any())
        self.refits = self.section.refit and self.validates
        self.progress = Progress(
            self.fitter.init(problem.data, problem.train),
            self.fitter.init(problem.data, np.ones_like(problem.train)),
            selection.start(self.members),
            np.full((self.members, self.section.eval_episodes), -np.inf),
        )
        # Epochs of the two phases so far, and whether the first is finished.
        self.trained, self.refitted, self.chosen = 0, 0, False

    def restore(self) -> int | None:
        """Go back to the newest checkpoint; returns the step it was logged at, None without one."""
        step = self.checkpoints.latest()
        if step is None:
            return None
        template = jax.tree.map(np.array, jax.device_get(self.progress))
        self.progress = self.checkpoints.restore(template, step)
        meta = self.checkpoints.meta(step)
        self.trained, self.refitted, self.chosen = (
            meta["trained"],
            meta["refitted"],
            meta["chosen"],
        )
        self.start -= meta["wall_seconds"]
        return step

    def train(self, writer: metrics.MetricsWriter) -> tuple[Progress, Policy]:
        """Run both phases; returns their states and the policies to hand over, on the host."""
        self.writer = writer
        if not self.chosen:
            self._choose()
        if self.refits:
            self._refit()
        progress = jax.device_get(self.progress)
        return progress, self._policies(progress)

    def _policies(self, progress: Progress) -> Policy:
        """The policies to hand over now: the refitted clones once the refit is done."""
        whole = self.refits and self.chosen and self.refitted >= progress.train.best_epoch.max()
        return progress.refit.policy if whole else progress.train.best

    def _save(self) -> None:
        """Write a checkpoint; its number is the step of the latest metrics."""
        progress = jax.device_get(self.progress)
        seeds = bc_learner.member_seeds(self.config)
        meta = checkpoint.describe(self.fitter.networks, seeds, KIND) | {
            "trained": self.trained,
            "refitted": self.refitted,
            "chosen": self.chosen,
            "wall_seconds": time.perf_counter() - self.start,
        }
        self.writer.flush()
        self.checkpoints.save(
            self.trained + self.refitted, progress, self._policies(progress), meta
        )

    def _choose(self) -> None:
        """Train with validation until early stopping of all members, or the last epoch."""
        plan, problem = self.plan, self.problem
        hyper = self.fitter.hyper(plan.epochs, plan.epochs)
        with console.progress("clone", plan.epochs, done=self.trained, unit="epochs") as bar:
            self.bar = bar
            while not self.chosen:
                passes = min(plan.passes, plan.epochs - self.trained)
                self.trained += passes
                state, means, held_out = self._epochs(
                    self.progress.train,
                    problem.data,
                    problem.train,
                    problem.validation,
                    hyper,
                    self.fitter.each(passes),
                )
                self.progress = self.progress._replace(train=state)
                means, held_out = jax.device_get((means, held_out))
                bc_learner.stop_if_diverged(self.trained, means, held_out)
                self.writer.write(self.trained, "train", "imitation", means)
                if self.validates:
                    self.writer.write(self.trained, "eval", "imitation", held_out)
                self._select(means, held_out)
                bar.advance(passes)
                out = jax.device_get(self.progress.train.stopped).all()
                if out:
                    bar.advance(plan.epochs - self.trained)
                    console.say(
                        f"epoch {self.trained:3d}  patience of {counted(plan.patience, 'epoch')} "
                        "is out"
                    )
                self.chosen = bool(out) or self.trained == plan.epochs
                if self.chosen or plan.due(self.trained, plan.save_every):
                    self._save()

    def _select(self, means: dict[str, np.ndarray], held_out: dict[str, np.ndarray]) -> None:
        """Keep each member's policy if it is the best so far, by loss or by return."""
        section, epoch = self.section, self.trained
        self._tell(means, held_out)
        by_return, last = section.best_by == "return", epoch == self.plan.epochs
        due = self.evaluator and self.plan.due(epoch, self.plan.eval_every)
        loss, name = (held_out, "validation") if self.validates else (means, "training")
        rule = f"{name} loss {np.mean(loss['policy_loss']):.4f}"
        if due or (by_return and last):
            returns = self._evaluate(epoch, self.progress.train.policy)
            rule = f"{rule}, return {returns.mean():.1f}"
        if by_return and not (due or last):
            return
        if by_return:
            better, score, error = self._by_return(returns)
        else:
            by_loss = section.best_by == "validation_loss" and self.validates
            score = -held_out["policy_loss"] if by_loss else np.full(self.members, epoch)
            better, error = score > self.progress.selection.mean, np.zeros(self.members)
        better &= ~jax.device_get(self.progress.train.stopped)
        self._keep(better, score, error)
        if section.best_by == "last":
            if due or last:
                console.say(f"epoch {epoch:3d}  {rule}")
        elif better.any():
            who = "" if len(better) == 1 else f" for {better.sum()} of {len(better)} members"
            console.say(f"epoch {epoch:3d}  {rule}  -> new best{who}")

    def _tell(self, means: dict[str, np.ndarray], held_out: dict[str, np.ndarray]) -> None:
        """Show the losses."""
        cells = {"loss": console.small(float(means["policy_loss"].mean()))}
        if self.validates:
            cells["held out"] = console.small(float(held_out["policy_loss"].mean()))
        self.bar.tell("clone", cells)

    def _by_return(self, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``[M]`` whether returns ``[M, E]`` beat those of the kept policies; score and error."""
        none = ~np.isfinite(self.progress.selection.mean)
        kept = np.where(none[:, None], returns, self.progress.returns)
        better = none | selection.surpasses(returns, kept)
        self.progress = self.progress._replace(returns=np.where(better[:, None], returns, kept))
        return better, returns.mean(1), selection.standard_error(returns)

    def _keep(self, better: np.ndarray, score: np.ndarray, error: np.ndarray) -> None:
        """Keep the policies marked in ``better`` ``[M]``, with their scores and standard errors."""
        state = self.fitter.select(
            self.progress.train, better, self.fitter.each(self.plan.patience)
        )
        epoch = np.full(self.members, self.trained)
        count = np.full(self.members, self.section.eval_episodes)
        kept = selection.keep(
            better, selection.Selection(score, error, epoch, count), self.progress.selection
        )
        self.progress = self.progress._replace(train=state, selection=kept)

    def _evaluate(self, epoch: int, policies: Policy) -> np.ndarray:
        """Returns ``[M, E]`` on the selection episodes."""
        seeds = evaluation.selection_seeds(self.config, self.section.eval_episodes)
        assert self.evaluator  # settings that need an evaluator name an environment
        results = self.evaluator(policies, seeds)
        stats = metrics.per_member([r.stats() for r in results])
        returns = np.stack([r.returns for r in results])
        self.writer.write(epoch, "eval", "rollout_stats", stats, returns)
        self.bar.tell("clone", console.returned(returns.mean(1)))
        return returns

    def held_out(self, progress: Progress) -> tuple[audit.Shown, np.ndarray | None]:
        """Held-out states with the teacher's actions, and the temperature that fits them best.

        Takes arrays on the host, so that one program runs for all members and gives the same bits.
        """
        problem = self.problem
        rows = jax.tree.map(np.asarray, problem.data)
        episode = problem.episode if self.fitter.networks.carry_size else None
        shown = audit.held_out(rows.obs, rows.action, problem.validation, episode)
        if not self.validates:
            return shown, None
        return shown, audit.temperature_of(self.fitter.networks, progress.train.best, shown)

    def _refit(self) -> None:
        """Train from scratch on all episodes, each member for the number of epochs chosen before.

        This includes the held-out episodes: with few episodes, they are too valuable to leave out.
        """
        problem, everything = self.problem, np.ones_like(self.problem.train)
        epochs = jax.device_get(self.progress.train.best_epoch)
        hyper, total = self.fitter.hyper(epochs, self.plan.epochs), int(epochs.max())
        with console.progress("refit", total, done=self.refitted, unit="epochs") as bar:
            while self.refitted < total:
                passes = min(self.plan.passes, total - self.refitted)
                self.refitted += passes
                state, means, _ = self._epochs(
                    self.progress.refit,
                    problem.data,
                    everything,
                    problem.validation,
                    hyper,
                    self.fitter.each(passes),
                )
                self.progress = self.progress._replace(refit=state)
                means = jax.device_get(means)
                bc_learner.stop_if_diverged(self.refitted, means)
                self.writer.write(self.trained + self.refitted, "train", "refit", means)
                bar.tell("clone", {"loss": console.small(float(means["policy_loss"].mean()))})
                bar.advance(passes)
                if self.refitted == total or self.plan.due(self.refitted, self.plan.save_every):
                    self._save()
