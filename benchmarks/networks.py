"""Cloning and PPO with small and large networks, on the CPU and on a GPU if JAX finds one.

    python benchmarks/networks.py [--repeats=3] [--hidden=64,64 256,256 1024,1024]

Each comparison in turn on both; without a GPU, the CPU alone. Environments are stepped on the CPU
in any case.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sidebyside import in_turn, report, spread

HERE = Path(__file__).parent / "ours"
RECORD = (
    "-m",
    "jaxmaze.rollout",
    "--config=configs/lunar_lander.py",
    "--policy=heuristic",
    "--n_episodes=100",
    "--record",
)


def has_gpu() -> bool:
    """Whether JAX finds a GPU; asked in a process of its own, which lets go of it."""
    ask = "import jax; print(jax.default_backend())"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    return done.stdout.strip() == "gpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--hidden", nargs="+", default=["64,64", "256,256", "1024,1024"])
    parser.add_argument("--total_env_steps", type=int, default=98_304)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    platforms = {"CPU": ["env", "JAX_PLATFORMS=cpu"]} | ({"GPU": []} if has_gpu() else {})
    rows, results = [], {}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "rollout"
        command = [sys.executable, *RECORD, f"--workdir={run}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))
        for hidden in args.hidden:
            sizes = [f"--hidden={hidden}", f"--members={args.members}"]
            cloning = [
                sys.executable,
                str(HERE / "bc.py"),
                f"--data={run / 'trajectory_data'}",
                f"--epochs={args.epochs}",
                *sizes,
            ]
            ppo = [
                sys.executable,
                str(HERE / "ppo.py"),
                f"--total_env_steps={args.total_env_steps}",
                *sizes,
            ]
            commands = {
                f"{name}, {on}": [*where, *command]
                for on, where in platforms.items()
                for name, command in (("cloning", cloning), ("PPO", ppo))
            }
            found = results[hidden] = in_turn(commands, args.repeats)
            for name, values in found.items():
                unit = "samples" if name.startswith("cloning") else "steps"
                rate = spread([r[f"{unit}_per_second"] for r in values])
                update = [
                    1000 * r["update_seconds"] / r["train_seconds"]
                    for r in values
                    if "update_seconds" in r
                ]
                rows.append(
                    [f"({hidden})", name, f"{rate} {unit}/s", spread(update) if update else ""]
                )
    header = ["hidden", "what", "speed", "ms of a second: update"]
    report("Networks, median [min, max]", header, rows, args.out, results=results)


if __name__ == "__main__":
    main()
