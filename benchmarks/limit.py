"""How near the whole training loop comes to the environment's own speed, and where time goes.

    python benchmarks/limit.py [--repeats=5] [--envpool]

The limit is the same backend with random actions on all cores, without any policy. Beside it, in
turn, the whole PPO loop at rl-zoo's settings, with its stopwatch's parts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from sidebyside import in_turn, report, spread

HERE = Path(__file__).parent / "ours"


def parts(values: list[dict]) -> str:
    """Microseconds of wall clock that each part of the loop takes of a step, medians."""

    def each(part: str) -> float:
        return statistics.median(
            1e6 * r[f"{part}_seconds"] / (r["steps_per_second"] * r["train_seconds"])
            for r in values
        )

    names = [n for n in ("collect", "update", "log") if f"{n}_seconds" in values[0]]
    return ", ".join(f"{name} {each(name):.2f}" for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--total_env_steps", type=int, default=200_000)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--envpool", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows, results = [], {}
    for backend in ["gymnasium", *(["envpool"] if args.envpool else [])]:
        ours = [
            sys.executable,
            str(HERE / "ppo.py"),
            f"--total_env_steps={args.total_env_steps}",
            f"--members={args.members}",
            f"--backend={backend}",
        ]
        raw = [
            sys.executable,
            str(HERE / "raw.py"),
            f"--envs={16 * args.members}",
            f"--backend={backend}",
        ]
        commands = {"alone": raw, "loop": ours}
        if backend == "gymnasium":
            commands["loop, overlap"] = [*ours, "--overlap"]
        found = results[backend] = in_turn(commands, args.repeats)
        limit = [r["steps_per_second"] for r in found["alone"]]
        for name, values in found.items():
            rate = [r["steps_per_second"] for r in values]
            share = [100 * a / b for a, b in zip(rate, limit, strict=True)]
            rows.append([f"{backend}, {name}", spread(rate), spread(share), parts(values)])
    header = ["what", "steps/s", "% of the environment alone", "us a step"]
    report(
        "The whole loop against its limit, median [min, max]",
        header,
        rows,
        args.out,
        results=results,
    )


if __name__ == "__main__":
    main()
