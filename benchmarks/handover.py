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
import time
from pathlib import Path

import numpy as np

from jaxmaze import api, cli, console, evaluation, metrics, report, runs
from jaxmaze.stages import ppo, rollout

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
    "anchor to KL 0.05": {"ppo.anchor_coef": 0.1, "ppo.anchor_target_kl": 0.05},
    "cloning 0.1": {"ppo.cloning_coef": 0.1},
    "exploration kept": {"ppo.exploration": "kept"},
    "calibrated": {"ppo.exploration": "calibrated"},
    "reset to 0.5": {"ppo.start_exploration": 0.5},
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
    for item in args.set:
        name, _, text = item.partition("=")
        overrides[name] = cli.parse_value(name, text)
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
    level = judged["evaluation"]["mean"]
    table = {name: figures(folder, level) for name, (_, folder) in arms.items()}
    cloned = np.array([m["evaluation"]["mean"] for m in clone.summary["members"]])
    show(args, table, level, report.iqm(cloned))
    machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
    runs.write_json(
        args.workdir / "handover.json",
        {
            "environment": config.env.id,
            "teacher": level,
            "clone": {"iqm": report.iqm(cloned), "worst": float(cloned.min())},
            "variants": table,
            "env_steps": config.ppo.total_env_steps,
            "wall_seconds": time.perf_counter() - start,
            "versions": runs.versions(),
            "machine": machine,
            "arguments": json.loads(json.dumps(vars(args), default=str)),
        },
    )


def show(args: argparse.Namespace, table: dict[str, dict], teacher: float, clone: float) -> None:
    """Print the table."""
    console.table(
        f"{args.config}: {args.members} seeds from {args.seed}, teacher {teacher:.1f}, clones "
        f"{clone:.1f}",
        (
            "variant",
            "best: IQM [95 %]",
            "worst seed",
            "final: IQM [95 %]",
            "lowest to 100k / clone",
            "area",
            "env steps to teacher",
        ),
        [
            (
                name,
                f"{t['iqm']:.1f} [{t['low']:.1f}, {t['high']:.1f}]",
                f"{t['worst']:.1f}",
                f"{t['final_iqm']:.1f} [{t['final_low']:.1f}, {t['final_high']:.1f}]",
                f"{t['lowest']:.1f} / {t['start']:.1f}",
                f"{t['area']:.1f}",
                "never" if t["env_steps_to_teacher"] is None else f"{t['env_steps_to_teacher']:,}",
            )
            for name, t in table.items()
        ],
    )


def figures(folder: Path, teacher: float) -> dict:
    """A variant's row: test returns over seeds, and the curve on the way."""
    summary = runs.summary(folder)
    best = np.array([m["evaluation"]["mean"] for m in summary["members"]])
    last = np.array([m["last"]["mean"] for m in summary["members"]])
    curve = report.curve_of(metrics.read(folder), len(best))
    assert curve is not None
    level = np.array([report.iqm(r) for r in curve.returns])
    low, high = report.interval(best)
    final_low, final_high = report.interval(last)
    return {
        "iqm": report.iqm(best),
        "low": low,
        "high": high,
        "worst": float(best.min()),
        "final_iqm": report.iqm(last),
        "final_low": final_low,
        "final_high": final_high,
        "final_worst": float(last.min()),
        "start": float(level[0]),
        "lowest": float(level[curve.env_steps <= EARLY].min()),
        "area": report.area(curve),
        "env_steps_to_teacher": report.steps_to(curve, teacher),
        "members": best.tolist(),
        "curve": {"env_steps": curve.env_steps.tolist(), "iqm": level.tolist()},
    }


if __name__ == "__main__":
    main()
