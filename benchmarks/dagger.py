"""Return against teacher labels: behavioural cloning beside DAgger, over seeds.

    python benchmarks/dagger.py --workdir=outputs/labels [--config=configs/lunar_lander.py]
        [--members=10] [--seed=3000] [--episodes=25,50,100]

Every seed has teacher episodes of its own: behavioural cloning is fitted to the first 25, 50, 100
of them, DAgger asks the teacher round after round. All clones are judged on 100 episodes. Prints a
table, and writes it with machine and versions to ``dagger.json`` in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from jaxmaze import api, cli, console, metrics, report, runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--config", default="configs/lunar_lander.py")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seed", type=int, default=3000)
    parser.add_argument("--episodes", default="25,50,100")
    args = parser.parse_args()
    cli.prepare()
    start = time.perf_counter()
    # DAgger's rounds are read off its own evaluations, so these have as many episodes.
    overrides = {"seed": args.seed, "members": args.members, "dagger.eval_episodes": 100}
    config = api.load_config(args.config, overrides)
    table = [
        cloned(config, args.workdir, int(count), args.members) for count in args.episodes.split(",")
    ]
    run = api.dagger(config, args.workdir / "dagger")
    table += rounds(run)
    goal = table[len(args.episodes.split(",")) - 1]
    reached = next((r for r in table if r["how"] == "DAgger" and r["iqm"] >= goal["iqm"]), None)
    console.table(
        f"{args.config}: {args.members} seeds from {args.seed}, 100 episodes each",
        ("how", "labels", "return: IQM [95 %]", "worst seed"),
        [
            (
                r["name"],
                f"{r['labels']:,.0f}",
                f"{r['iqm']:.1f} [{r['low']:.1f}, {r['high']:.1f}]",
                f"{r['worst']:.1f}",
            )
            for r in table
        ],
    )
    share = None if reached is None else reached["labels"] / goal["labels"]
    console.say(f"{goal['name']} is reached with {share} of its labels")
    final = np.array([m["evaluation"]["mean"] for m in run.summary["members"]])
    console.say(f"DAgger's selected clones on the test episodes: IQM {report.iqm(final):.1f}")
    runs.write_json(
        args.workdir / "dagger.json",
        {
            "table": table,
            "share_of_labels": share,
            "selected_iqm": report.iqm(final),
            "wall_seconds": time.perf_counter() - start,
            "versions": runs.versions(),
            "machine": {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
            },
            "arguments": json.loads(json.dumps(vars(args), default=str)),
        },
    )


def row(name: str, how: str, labels: float, returns: np.ndarray) -> dict[str, Any]:
    """One line of the table from the seeds' mean returns."""
    low, high = report.interval(returns)
    return {
        "name": name, "how": how, "labels": labels, "iqm": report.iqm(returns), "low": low,
        "high": high, "worst": float(returns.min()), "members": returns.tolist(),
    }  # fmt: skip


def cloned(config: Any, workdir: Path, count: int, members: int) -> dict[str, Any]:
    """Behavioural cloning, each seed on teacher episodes of its own."""
    labels, returns = [], []
    for seed in range(config.seed, config.seed + members):
        alone = api.override(config, {"seed": seed, "members": 1})
        folder = workdir / f"bc-{count}" / str(seed)
        teacher = api.record(alone, folder / "teacher", n_episodes=count)
        clone = api.clone(alone, teacher, folder / "clone")
        labels.append(teacher.summary["env_steps"])
        returns.append(clone.summary["evaluation"]["mean"])
    return row(f"BC, {count} episodes", "BC", float(np.mean(labels)), np.array(returns))


def rounds(run: api.Run) -> list[dict[str, Any]]:
    """DAgger's rounds, each as it was evaluated."""
    members = len(run.summary["members"])
    curve = report.curve_of(metrics.read(run.folder), members)
    assert curve is not None
    return [
        row(f"DAgger, round {i}", "DAgger", float(step), returns)
        for i, (step, returns) in enumerate(zip(curve.env_steps, curve.returns, strict=True))
    ]


if __name__ == "__main__":
    main()
