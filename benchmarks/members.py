"""What more members cost: the training loop and a whole cold run with 1, 4, 10 and 16 of them.

    python benchmarks/members.py [--repeats=3] [--members=1,4,10,16]

The loop is PPO at rl-zoo's settings; the whole run is a teacher's 100 episodes recorded, cloned and
fine-tuned for 131,072 steps a member, with imports and compilation.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sidebyside import in_turn, report, spread

HERE = Path(__file__).parent / "ours"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--members", default="1,4,10,16")
    parser.add_argument("--total_env_steps", type=int, default=98_304)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    counts = [int(n) for n in args.members.split(",")]
    commands = {}
    for n in counts:
        loop = [sys.executable, str(HERE / "ppo.py"), f"--total_env_steps={args.total_env_steps}"]
        commands[f"loop {n}"] = [*loop, f"--members={n}"]
        commands[f"run {n}"] = [sys.executable, str(HERE / "finetune.py"), f"--members={n}"]
    results = in_turn(commands, args.repeats, JAX_ENABLE_COMPILATION_CACHE="false")
    rows = []
    for n in counts:
        loops, runs = results[f"loop {n}"], results[f"run {n}"]
        one = results[f"run {counts[0]}"]
        rows.append(
            [
                str(n),
                spread([r["steps_per_second"] for r in loops]),
                spread([r["wall_seconds"] for r in runs]),
                spread(
                    [a["wall_seconds"] / b["wall_seconds"] for a, b in zip(runs, one, strict=True)]
                ),
                spread([r["mean_return"] for r in runs]),
            ]
        )
    header = ["members", "steps/s of the loop", "whole run, s", "times the first", "return"]
    report("Members, median [min, max]", header, rows, args.out, results=results)


if __name__ == "__main__":
    main()
