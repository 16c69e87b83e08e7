"""Evaluations during training of runs that train together, and the best policies so far."""

from __future__ import annotations

import numpy as np

from jaxmaze.config import Settings
from jaxmaze.runs import console, metrics
from jaxmaze.runs.stopwatch import Stopwatch
from jaxmaze.training import evaluation, selection
from jaxmaze.training.arm_files import ArmFiles
from jaxmaze.training.ppo_learner import Population


class Judge:
    """Evaluates during training, and keeps the best policies so far.

    Attributes:
      best: of each member, with the scores they were chosen by.
      evaluator: plays episodes.
    """

    def __init__(
        self,
        config: Settings,
        evaluator: evaluation.Evaluator,
        population: Population,
        files: ArmFiles,
        watch: Stopwatch,
    ):
        self.evaluator, self.best = evaluator, selection.begin(population.policies())
        self._config, self._section = config, config.ppo
        self._population, self._files, self._watch = population, files, watch

    def evaluate(self, step: int, bar: console.Progress) -> None:
        """Evaluate all members, update the best policies, log."""
        seeds = evaluation.selection_seeds(self._config, self._section.eval_episodes)
        policies = self._population.policies()
        with self._watch("evaluate"):
            results = self.evaluator(policies, seeds)
        returns = np.stack([r.returns for r in results])
        self.best = selection.consider(self.best, policies, returns, step)
        stats = metrics.per_member([r.stats() for r in results])
        self._files.write(step, "eval", "rollout_stats", stats, returns)
        self._files.flush_logs()
        for arm in self._files.arms:
            score = returns[arm.members].mean(1)
            cell = console.returned(score)
            bar.tell(arm.name, cell, float(score.mean()))
            console.detail(f"{arm.name}: return {', '.join(cell.values())} after {step:,} steps")

    def play_off(self, step: int, bar: console.Progress) -> None:
        """Choose between the best policies so far and the last, on more and different episodes."""
        if not self._section.playoff_episodes:
            return
        bar.note("plays off the best against the last")
        # Exclude the episodes by which the best was chosen, as its returns there are biased.
        seen = self._section.eval_episodes
        more = evaluation.selection_seeds(self._config, seen + self._section.playoff_episodes)
        self.best, means = selection.play_off(
            self.best, self._population.policies(), self.evaluator, more[seen:], step
        )
        self._files.write(step, "eval", "playoff", means)
        bar.note("")
