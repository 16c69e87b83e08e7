"""PPO's speed against Stable-Baselines3 and SBX, at rl-zoo's settings for LunarLander-v3.

    python benchmarks/ppo_throughput.py [--repeats=5] [--total_env_steps=200000] [--envpool]

16 environments x 1024 steps, batch 64, 4 epochs, (64, 64) tanh; no evaluations. For both sides
"steps/s" leaves out the first iteration, and "whole" counts everything from the making of the
environments to the last update, compilation included: with the programs of earlier runs on disk, or
("cold") without. Both sides have the same cores: all, or one ("1 core"; one thread each). "at its
best" is the fastest of Stable-Baselines3's environments in one process or in one each, with torch's
own number of threads or one. ``--envpool`` needs the extra of that name. Each turn is another seed;
"return" is over its evaluation episodes. CleanRL's PPO is one file to copy, not a package for
present gymnasium: it is not among the peers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from sidebyside import PEERS, in_turn, peer_python, report, spread

SB3 = "Stable-Baselines3"
OURS = str(Path(__file__).parent / "ours" / "ppo.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--total_env_steps", type=int, default=200_000)
    parser.add_argument("--eval_episodes", type=int, default=100)
    parser.add_argument("--envpool", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    steps = [
        f"--total_env_steps={args.total_env_steps}",
        f"--eval_episodes={args.eval_episodes}",
    ]
    peer = [peer_python("sb3"), str(PEERS / "ppo.py")]
    ours = [sys.executable, OURS, *steps]
    sb3 = [*peer, "--library=sb3", *steps]
    commands = {
        SB3: sb3,
        f"{SB3}, 1 thread": [*sb3, "--threads=1"],
        f"{SB3}, processes": [*sb3, "--vec=subproc"],
        f"{SB3}, processes, 1 thread": [*sb3, "--vec=subproc", "--threads=1"],
        "SBX": [*peer, "--library=sbx", *steps],
        "jaxmaze": ours,
        "jaxmaze, cold": [*ours, "--cold"],
        "jaxmaze, overlap": [*ours, "--overlap"],
        f"{SB3}, 1 core": [*sb3, "--threads=1", "--cores=1"],
        "jaxmaze, 1 core": [*ours, "--cores=1"],
    }
    if args.envpool:
        commands["jaxmaze, envpool"] = [*ours, "--backend=envpool"]
    results = in_turn(commands, args.repeats, seeded=True)

    def rates(name: str, field: str) -> list[float]:
        return [r[field] for r in results[name]]

    def times(name: str, other: str, field: str) -> str:
        # Within a turn, so that a slow moment of the machine hits both sides.
        pairs = zip(rates(name, field), rates(other, field), strict=True)
        return spread([a / b for a, b in pairs])

    on_all = [n for n in commands if n.startswith(SB3) and "1 core" not in n]
    best = max(on_all, key=lambda n: statistics.median(rates(n, "steps_per_second")))
    rows = []
    for name, found in results.items():
        other = f"{SB3}, 1 core" if "1 core" in name else SB3
        update = [1e3 * r["update_seconds"] / r["train_seconds"] for r in found]
        rows.append(
            [
                name,
                spread(rates(name, "steps_per_second")),
                times(name, other, "steps_per_second"),
                "" if other != SB3 else times(name, best, "steps_per_second"),
                spread(rates(name, "steps_per_second_whole")),
                times(name, other, "steps_per_second_whole"),
                spread(update),
                spread([r["mean_return"] for r in found]),
            ]
        )
    print(f"{SB3} at its best: {best}")
    header = [
        "library",
        "steps/s",
        "times SB3, same cores",
        "times SB3 at its best",
        "whole: steps/s",
        "times SB3",
        "ms of a second: update",
        "return",
    ]
    report(
        "PPO, LunarLander-v3, median [min, max]", header, rows, args.out, results=results, best=best
    )


if __name__ == "__main__":
    main()
