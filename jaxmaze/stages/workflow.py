"""The whole workflow: record the teacher, clone it, fine-tune the clone, compare.

The only stage that calls others. Each has a folder of its own and is skipped if it is finished, so
that a workflow started again on the same folder resumes at the first unfinished stage.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from jaxmaze import policies
from jaxmaze.config import Settings
from jaxmaze.core.types import Json
from jaxmaze.core.words import counted
from jaxmaze.envs import environment
from jaxmaze.envs.collectors import BACKENDS
from jaxmaze.runs import console, metrics, report, run_folder, splits
from jaxmaze.stages import bc, compare, ppo, rollout
from jaxmaze.training import evaluation

KIND = "workflow"
NEXT = "to train its fine-tuned arm further, start a new ppo run"
ARMS = ("random_lr0", "pretrained_lr0", "from_scratch", "pretrained")


def run(config: Settings, workdir: Path, *, policy: object = None) -> Json:
    """Run all stages in ``workdir``.

    Args:
      config: the configuration.
      workdir: the run's folder.
      policy: a Python object as teacher instead of ``config.rollout.policy``.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: for a configuration that a stage cannot use.
    """
    _check(config, policy)
    identity = run_folder.identity(config, KIND)
    if run_folder.claim(workdir, identity, hands_over="ppo/pretrained"):
        summary = metrics.finished_already(workdir, config)
        compare.show(*_shown(summary))
        return summary
    start, members = time.perf_counter(), counted(config.members, "member")
    about = f"record {counted(config.rollout.n_episodes, 'episode')} of {config.rollout.policy}"
    with console.stage(1, 4, about):
        recorded = _rollout(config, workdir / "rollout", policy)
    with console.stage(2, 4, f"clone it, {members}"):
        data = str((workdir / "rollout").resolve())
        cloned = bc.run(_with(config, "bc", data=data), workdir / "bc")
    with console.stage(3, 4, f"fine-tune: {len(ARMS)} arms of {members} each"):
        arms = {arm: (_arm(config, arm, workdir), workdir / "ppo" / arm) for arm in ARMS}
        tuned = ppo.run_arms(arms)
    with console.stage(4, 4, "compare"):
        # The teacher without the noise that its demonstrations were recorded with.
        calm = config.replace("rollout", epsilon=0.0, noise_std=0.0)
        _rollout(calm, workdir / "teacher", policy, evaluation.test_seeds(config))
        play = compare.player(config, policy)
        teacher = compare.Teacher(compare.on_record(workdir / "teacher"), play)
        folders = {arm: workdir / "ppo" / arm for arm in ARMS}
        compared = compare.run(folders, workdir / "compare", teacher)
        gain = compare.gain(folders["pretrained"], folders["pretrained_lr0"])
        console.say(f"fine-tuning gained {report.span(gain)} on the clone, on the same episodes")
    summary = {
        "kind": KIND,
        "env_steps": recorded["env_steps"] + sum(t["env_steps"] for t in tuned.values()),
        "wall_seconds": time.perf_counter() - start,
        "evaluation": tuned["pretrained"]["evaluation"],
        "members": tuned["pretrained"]["members"],
        "teacher": compared["teacher"],
        "audit": tuned["pretrained"]["audit"],
        "clone": {"evaluation": cloned["evaluation"], "members": cloned["members"]},
        "gain_on_clone": gain,
        "arms": compared["arms"],
    }
    run_folder.write_json(workdir / run_folder.SUMMARY, summary)
    return summary


def _rollout(
    config: Settings, folder: Path, policy: object, seeds: np.ndarray | None = None
) -> Json:
    """A rollout, of the given seeds or a recorded one; skipped if it is finished."""
    if policy is not None and run_folder.finished(folder):
        return run_folder.summary(folder)
    return rollout.run(config, folder, policy=policy, seeds=seeds, record=seeds is None)


def _check(config: Settings, policy: object) -> None:
    """Check before the folder is claimed what would stop a later stage."""
    info = environment.describe(environment.EnvConfig.of(config.env), console.say)
    BACKENDS[config.env.backend].check(info)
    policies.resolve(config.rollout.policy if policy is None else policy, info, config.seed)
    splits.split(config.rollout.n_episodes, config.bc.validation_percentage, config.seed)


def _shown(summary: Json) -> tuple[Json, Json]:
    return summary["arms"], summary["teacher"]["evaluation"]


def _with(config: Settings, stage: str, **fields: object) -> Settings:
    """The configuration of one stage; ``fields`` are set in the stage's section."""
    return config.replace(stage=stage).replace(stage, **fields)


def _arm(config: Settings, arm: str, workdir: Path) -> Settings:
    fields: Json = {}
    if arm.startswith("pretrained"):
        fields["init_from"] = str((workdir / "bc").resolve())
    if arm.endswith("lr0"):
        fields["learning_rate"] = 0.0
    return _with(config, "ppo", **fields)
