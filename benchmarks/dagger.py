"""Return against teacher labels: behavioural cloning beside DAgger, over seeds.

    python benchmarks/dagger.py --workdir=outputs/labels [--config=configs/lunar_lander.py]
        [--members=10] [--seed=3000] [--episodes=25,50,100] [--rounds=3,6,10]
        [--set=FIELD=VALUE ...]

Every seed has teacher episodes of its own: behavioural cloning is fitted to the first 25, 50, 100
of them, DAgger asks the teacher round after round. All clones and the teacher are judged on the
same test episodes. Prints a table, and writes it with machine and versions to ``dagger.json`` in
the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sidebyside

from jaxmaze import api, cli
from jaxmaze.runs import console, intervals, outcomes, report, run_folder
from jaxmaze.stages import compare, rollout
from jaxmaze.training import evaluation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--config", default="configs/lunar_lander.py")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seed", type=int, default=3000)
    parser.add_argument("--episodes", default="25,50,100")
    parser.add_argument("--rounds", default="3,6,10", help="of DAgger, each a run of its own")
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE for all")
    args = parser.parse_args()
    cli.prepare()
    start = time.perf_counter()
    overrides = {"seed": args.seed, "members": args.members}
    overrides |= sidebyside.settings(args.set)
    config = api.load_config(args.config, overrides)
    judged = rollout.run(config, args.workdir / "judged", seeds=evaluation.test_seeds(config))
    teacher = compare.Teacher(compare.on_record(args.workdir / "judged"))
    table = [
        cloned(config, args.workdir, int(count), args.members, teacher)
        for count in args.episodes.split(",")
    ]
    # Seeds give the same rounds however many follow: what a run of three rounds hands over last is
    # what a longer one had after its third.
    table += [
        asked(config, args.workdir / f"dagger-{count}", int(count), teacher)
        for count in args.rounds.split(",")
    ]
    console.table(
        f"{args.config}: {args.members} seeds from {args.seed}, {config.evaluation.episodes} test "
        f"episodes each, teacher {judged['evaluation']['mean']:.1f}",
        ("how", "labels", "return: IQM [95 %]", "worst seed", "gain on teacher [95 %]"),
        [
            (
                r["name"],
                f"{r['labels']:,.0f}",
                report.span(r),
                f"{r['worst']:.1f}",
                report.span(r["gain"]),
            )
            for r in table
        ],
    )
    run_folder.write_json(
        args.workdir / "dagger.json",
        {
            "table": table,
            "teacher": judged["evaluation"],
            "wall_seconds": time.perf_counter() - start,
            "versions": run_folder.versions(),
            "machine": {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
            },
            "arguments": json.loads(json.dumps(vars(args), default=str)),
        },
    )


def row(
    name: str, how: str, labels: float, played: Sequence[outcomes.Table], teacher: compare.Teacher
) -> dict[str, Any]:
    """One line of the table from the seeds' test episodes."""
    returns = np.concatenate([table.returns for table in played])
    taught = teacher(played[0].seeds)
    assert taught is not None
    return {
        "name": name,
        "how": how,
        "labels": labels,
        **report.block(intervals.estimate(returns)),
        "gain": report.block(intervals.estimate(returns - taught)),
        "worst": float(returns.mean(1).min()),
        "members": returns.mean(1).tolist(),
    }


def cloned(
    config: Any, workdir: Path, count: int, members: int, teacher: compare.Teacher
) -> dict[str, Any]:
    """Behavioural cloning, each seed on teacher episodes of its own."""
    labels, played = [], []
    for seed in range(config.seed, config.seed + members):
        alone = api.override(config, {"seed": seed, "members": 1})
        folder = workdir / f"bc-{count}" / str(seed)
        recorded = api.record(alone, folder / "teacher", n_episodes=count)
        clone = api.clone(alone, recorded, folder / "clone")
        labels.append(recorded.summary["env_steps"])
        played.append(outcomes.read_episodes(clone.folder))
    return row(f"BC, {count} episodes", "BC", float(np.mean(labels)), played, teacher)


def asked(config: Any, workdir: Path, count: int, teacher: compare.Teacher) -> dict[str, Any]:
    """DAgger's clones after so many rounds."""
    run = api.dagger(api.override(config, {"dagger.rounds": count}), workdir)
    played = [outcomes.read_episodes(run.folder, outcomes.LAST)]
    return row(f"DAgger, {count} rounds", "DAgger", run.summary["labels"], played, teacher)


if __name__ == "__main__":
    sys.exit(sidebyside.exit_code(main))
