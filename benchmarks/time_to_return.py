"""Wall clock from a cold process to a return: 270 from a teacher, 200 from scratch.

    python benchmarks/time_to_return.py [--repeats=3] [--scratch]

jaxmaze (100 teacher episodes recorded, cloned, fine-tuned for a fixed number of steps; nothing kept
from earlier runs, everything imported and compiled) against imitation + Stable-Baselines3 doing the
same, which stops at the first policy that has the target. Both are judged on 100 fresh episodes.

How soon depends on speed and on how many steps the algorithm takes, so both are given: environment
steps, and steps a second of fine-tuning, evaluations and compilation included. "same schedule" is
the peer with jaxmaze's number of steps, environments, batch, epochs, learning rate and its decay,
discounts, clipping, entropy bonus, value loss and network. What stays different: jaxmaze normalises
observations and rewards, has an optimizer each for policy and critic, fits the critic to the
demonstrations beforehand, lets the clone explore more, and hands over an average of policies.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sidebyside import PEERS, in_turn, peer_python, report, spread

OURS = str(Path(__file__).parent / "ours" / "finetune.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scratch", action="store_true", help="without a teacher, to 200")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    target = 200 if args.scratch else 270
    extra = ["--from_scratch"] if args.scratch else []
    peer = [peer_python("imitation"), str(PEERS / "finetune.py"), f"--target={target}"]
    theirs = "Stable-Baselines3" if args.scratch else "imitation + Stable-Baselines3"
    commands = {theirs: [*peer, *extra], "jaxmaze": [sys.executable, OURS, *extra]}
    if not args.scratch:
        commands[f"{theirs}, same schedule"] = [*peer, "--env_steps=131072"]
    results = in_turn(commands, args.repeats, seeded=True, JAX_ENABLE_COMPILATION_CACHE="false")
    rows = []
    for name, found in results.items():
        pairs = list(zip(found, results[theirs], strict=True))
        rows.append(
            [
                name,
                spread([r["wall_seconds"] for r in found]),
                spread([b["wall_seconds"] / a["wall_seconds"] for a, b in pairs]),
                spread([r["env_steps"] for r in found]),
                spread([r["env_steps"] / r["tune_seconds"] for r in found]),
                spread([r["mean_return"] for r in found]),
            ]
        )
    header = ["library", "seconds", "times faster", "environment steps", "steps/s", "return"]
    report(
        f"To a return of {target}, cold, median [min, max]", header, rows, args.out, results=results
    )


if __name__ == "__main__":
    main()
