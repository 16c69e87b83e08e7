"""What each part of the handover from clone to PPO is worth: variants side by side, over seeds.

    python benchmarks/handover.py --workdir=outputs/handover [--members=10] [--seed=100]

Records 100 teacher episodes, clones them with each seed, and fine-tunes each clone under every
variant below, all as members of one program. Prints a table, and writes it with machine and
versions to ``handover.json`` in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

import numpy as np

from jaxmaze import api, cli, console, metrics, report, runs
from jaxmaze.stages import ppo

VARIANTS: dict[str, dict] = {
    "default": {},
    "no burn-in": {"ppo.critic_burn_in": 0},
    "anchor 0.01": {"ppo.anchor_coef": 0.01},
    "anchor 0.1": {"ppo.anchor_coef": 0.1},
    "anchor 1": {"ppo.anchor_coef": 1.0},
}
EARLY = 100_000
"""Environment steps within which no dip below the clone should be."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--config", default="configs/lunar_lander.py")
    parser.add_argument("--n_episodes", type=int, default=100)
    args = parser.parse_args()
    cli.prepare()
    overrides = {"members": args.members, "seed": args.seed, "rollout.n_episodes": args.n_episodes}
    config = api.load_config(args.config, overrides)
    teacher = api.record(config, args.workdir / "teacher")
    clone = api.clone(config, teacher, args.workdir / "clone")
    start = {"stage": "ppo", "ppo.init_from": str((args.workdir / "clone").resolve())}
    arms = {
        name: (
            api.override(config, start | changes),
            args.workdir / "ppo" / name.replace(" ", "_"),
        )
        for name, changes in VARIANTS.items()
    }
    ppo.run_arms(arms)
    table = {name: figures(folder, args.members) for name, (_, folder) in arms.items()}
    console.table(
        f"{args.members} seeds from {args.seed}, clones {clone.summary['evaluation']['mean']:.1f}",
        ("variant", "IQM [95 %]", "worst seed", "final IQM", "lowest / clone to 100k", "area"),
        [
            (
                name,
                f"{t['iqm']:.1f} [{t['low']:.1f}, {t['high']:.1f}]",
                f"{t['worst']:.1f}",
                f"{t['final_iqm']:.1f}",
                f"{t['lowest_over_clone']:.3f}",
                f"{t['area']:.1f}",
            )
            for name, t in table.items()
        ],
    )
    machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
    runs.write_json(
        args.workdir / "handover.json",
        {
            "variants": table,
            "versions": runs.versions(),
            "machine": machine,
            "arguments": json.loads(json.dumps(vars(args), default=str)),
        },
    )


def figures(folder: Path, members: int) -> dict[str, float]:
    """A variant's row: test returns over seeds, and the curve on the way."""
    summary = runs.summary(folder)
    best = np.array([m["evaluation"]["mean"] for m in summary["members"]])
    last = np.array([m["last"]["mean"] for m in summary["members"]])
    curve = report.curve_of(metrics.read(folder), members)
    assert curve is not None
    level = np.array([report.iqm(r) for r in curve.returns])
    low, high = report.interval(best)
    return {
        "iqm": report.iqm(best),
        "low": low,
        "high": high,
        "worst": float(best.min()),
        "final_iqm": report.iqm(last),
        "lowest_over_clone": float((level[curve.env_steps <= EARLY] / level[0]).min()),
        "area": report.area(curve),
    }


if __name__ == "__main__":
    main()
