"""PPO's speed against Stable-Baselines3 and SBX, at rl-zoo's settings for LunarLander-v3.

    python benchmarks/ppo_throughput.py [--repeats=5] [--total_env_steps=200000] [--envpool]

16 environments x 1024 steps, batch 64, 4 epochs, (64, 64) tanh; steps a second of the training loop
(collection and update), after the first iteration for jaxmaze and from the start for the others;
"with compilation" counts jaxmaze's first iteration too. ``--envpool`` needs the extra of that name.
Each turn is another seed; "return" is over its evaluation episodes. CleanRL's PPO is one file to
copy, not a package for present gymnasium: it is not among the peers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sidebyside import PEERS, in_turn, peer_python, report, spread

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
        f"--total_env_steps={args.total_env_steps}", f"--eval_episodes={args.eval_episodes}",
    ]  # fmt: skip
    peer = [peer_python("sb3"), str(PEERS / "ppo.py")]
    ours = [sys.executable, OURS, *steps]
    commands = {
        "Stable-Baselines3": [*peer, "--library=sb3", *steps],
        "SBX": [*peer, "--library=sbx", *steps],
        "jaxmaze": ours,
        "jaxmaze, overlap": [*ours, "--overlap"],
    }
    if args.envpool:
        commands["jaxmaze, envpool"] = [*ours, "--backend=envpool"]
    results = in_turn(commands, args.repeats, seeded=True)
    rates = {n: [r["steps_per_second"] for r in rs] for n, rs in results.items()}
    rows = []
    for name, found in results.items():
        # Within a turn, so that a slow moment of the machine hits both sides.
        ratio = [a / b for a, b in zip(rates[name], rates["Stable-Baselines3"], strict=True)]
        cold = [r.get("steps_per_second_with_compilation", r["steps_per_second"]) for r in found]
        thousand = [1e3 * r["collect_seconds"] / r["train_seconds"] for r in found]
        update = [1e3 * r["update_seconds"] / r["train_seconds"] for r in found]
        rows.append([name, spread(rates[name]), spread(ratio), spread(cold),
                     spread(thousand), spread(update),
                     spread([r["mean_return"] for r in found])])  # fmt: skip
    header = ["library", "steps/s", "times Stable-Baselines3", "with compilation",
              "ms of a second: collect", "update", "return"]  # fmt: skip
    report("PPO, LunarLander-v3, median [min, max]", header, rows, args.out, results=results)


if __name__ == "__main__":
    main()
