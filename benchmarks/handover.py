"""What each part of the handover from clone to PPO is worth: variants side by side, over seeds.

    python benchmarks/handover.py --workdir=outputs/handover [--config=configs/lunar_lander.py]
        [--members=10] [--seed=100] [--teacher_seed=0]
        [--variants="default,blind critic"] [--set=ppo.gamma=0.99 ...]

Records teacher episodes, clones them with each seed, and fine-tunes each clone under every variant
below, all as members of one program. Prints a table, and writes it with machine and versions to
``handover.json`` in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import sidebyside

from jaxmaze import api, cli
from jaxmaze.runs import console, intervals, outcomes, report, run_folder
from jaxmaze.stages import compare, ppo, rollout
from jaxmaze.training import evaluation

BLIND = {"ppo.critic_burn_in": 0, "ppo.critic_fit_epochs": 0}
VARIANTS: dict[str, dict] = {
    "default": {},
    "from scratch": {"ppo.init_from": None},
    "blind critic": BLIND,
    "burn-in 5": BLIND | {"ppo.critic_burn_in": 5, "ppo.burn_in_until": None},
    "burn-in to 0.5": BLIND | {"ppo.critic_burn_in": 10},
    "critic fitted": {"ppo.critic_burn_in": 0},
    "no average": {"ppo.average_decay": 0.0},
    "anchor 0.1": {"ppo.anchor_coef": 0.1},
    "anchor let go": {"ppo.anchor_coef": 1.0, "ppo.anchor_fraction": 0.2},
    "anchor to KL 0.05": {"ppo.anchor_coef": 0.1, "ppo.anchor_target_kl": 0.05},
    "cloning 0.1": {"ppo.cloning_coef": 0.1},
    "exploration kept": {"ppo.exploration": "kept"},
    "calibrated": {"ppo.exploration": "calibrated"},
    "reset to 0.5": {"ppo.start_exploration": 0.5},
    "statistics frozen": {"ppo.observation_statistics": "frozen"},
    "statistics adapted": {"ppo.observation_statistics": "adapt"},
    "statistics running": {"ppo.observation_statistics": "running"},
    "from scratch adapted": {
        "ppo.init_from": None,
        "ppo.observation_statistics": "adapt",
    },
    "reset to 0.7": {"ppo.start_exploration": 0.7},
    "reset to 0.9": {"ppo.start_exploration": 0.9},
    "reset to 0.9 and burn-in": BLIND | {"ppo.critic_burn_in": 10, "ppo.start_exploration": 0.9},
    "reset to 0.5 and burn-in": BLIND | {"ppo.critic_burn_in": 10, "ppo.start_exploration": 0.5},
}
"""Each differs from the default in one thing."""
EARLY = 100_000
"""Environment steps within which no dip below the clone should be."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--config", default="configs/lunar_lander.py")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--teacher_seed", type=int, help="of the episodes; the first seed if unset")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="names, comma-separated")
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE for all variants")
    args = parser.parse_args()
    cli.prepare()
    start = time.perf_counter()
    # Two evaluations for each of the default's one, so that a dip between them would be seen.
    overrides = {"members": args.members, "seed": args.seed, "ppo.eval_every": 4}
    overrides |= sidebyside.settings(args.set)
    config = api.load_config(args.config, overrides)
    taught = {} if args.teacher_seed is None else {"seed": args.teacher_seed}
    teacher = api.record(api.override(config, taught), args.workdir / "teacher")
    clone = api.clone(config, teacher, args.workdir / "clone")
    judged = rollout.run(config, args.workdir / "judged", seeds=evaluation.test_seeds(config))
    origin = {"stage": "ppo", "ppo.init_from": str((args.workdir / "clone").resolve())}
    names = [name.strip() for name in args.variants.split(",")]
    arms = {
        name: (
            api.override(config, origin | VARIANTS[name]),
            args.workdir / "ppo" / name.replace(" ", "_").replace(",", ""),
        )
        for name in names
    }
    ppo.run_arms(arms)
    taught = compare.Teacher(compare.on_record(args.workdir / "judged"), compare.player(config))
    clones = outcomes.read_episodes(clone.folder)
    table = {name: figures(folder, clones, taught) for name, (_, folder) in arms.items()}
    level = judged["evaluation"]["mean"]
    cloned = report.block(intervals.estimate(clones.returns))
    show(args, table, level, cloned)
    machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
    run_folder.write_json(
        args.workdir / "handover.json",
        {
            "environment": config.env.id,
            "teacher": level,
            "clone": cloned | {"worst": float(clones.returns.mean(1).min())},
            "variants": table,
            "env_steps": config.ppo.total_env_steps,
            "wall_seconds": time.perf_counter() - start,
            "versions": run_folder.versions(),
            "machine": machine,
            "arguments": json.loads(json.dumps(vars(args), default=str)),
        },
    )


def show(args: argparse.Namespace, table: dict[str, dict], teacher: float, clone: dict) -> None:
    """Print the table."""
    console.table(
        f"{args.config}: {args.members} seeds from {args.seed}, teacher {teacher:.1f}, clones "
        f"{report.span(clone)}",
        (
            "variant",
            "best: IQM [95 %]",
            "worst",
            "gain on teacher",
            "gain on clone",
            "best - last",
            "dip to 100k: mean / worst",
            "area",
            "steps to beat teacher [seeds]",
        ),
        [
            (
                name,
                report.span(t),
                f"{t['worst']:.1f}",
                *(report.span(t[k]) for k in ("gain", "gain_on_clone", "best_less_last")),
                f"{sum(t['early_dip']) / args.members:.1f} / {max(t['early_dip']):.1f}",
                f"{t['area_under_curve']:.1f}",
                report.reached(t),
            )
            for name, t in table.items()
        ],
    )


def figures(folder: Path, clones: outcomes.Table, teacher: compare.Teacher) -> dict[str, Any]:
    """A variant's row: returns on the test episodes, gains in pairs, and the curve on the way."""
    arm = compare.load(folder)
    early = arm.curve.env_steps <= EARLY
    curve = arm.curve._replace(
        env_steps=arm.curve.env_steps[early], returns=arm.curve.returns[early]
    )
    block, fallen = report.arm_summary(arm, teacher), report.dips(curve)
    means = arm.best.returns.mean(1)
    return block | {
        "members": means.tolist(),
        "worst": float(means.min()),
        "gain_on_clone": report.block(intervals.estimate(arm.best.returns - clones.returns)),
        "best_less_last": report.block(intervals.estimate(arm.best.returns - arm.last.returns)),
        "early_dip": [] if fallen is None else fallen.tolist(),
    }


if __name__ == "__main__":
    sys.exit(sidebyside.exit_code(main))
