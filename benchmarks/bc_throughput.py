"""Behavioural cloning's speed against imitation: batch 128, (32, 32), 100 episodes, 20 epochs.

    python benchmarks/bc_throughput.py [--repeats=5]

The whole call goes from numpy arrays to a trained policy: for jaxmaze with data to the device and
compilation, with nothing kept from earlier runs. Samples a second are those after the first epoch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sidebyside import PEERS, in_turn, peer_python, report, spread

from jaxmaze.envs import environment
from jaxmaze.runs import trajectories

OURS = str(Path(__file__).parent / "ours" / "bc.py")
RECORD = (
    "-m",
    "jaxmaze.rollout",
    "--config=configs/lunar_lander.py",
    "--policy=heuristic",
    "--n_episodes=100",
    "--record",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    python = peer_python("imitation")
    with tempfile.TemporaryDirectory() as folder:
        run, rows = Path(folder) / "rollout", Path(folder) / "rows.npz"
        command = [sys.executable, *RECORD, f"--workdir={run}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        info = environment.describe(environment.EnvConfig("LunarLander-v3"))
        data = str(run / "trajectory_data")
        episodes = trajectories.read(data, info).episodes
        obs, action, _ = trajectories.rows(episodes, info.spaces.action)
        np.savez(rows, obs=np.asarray(obs), acts=np.asarray(action, np.int64))
        commands = {
            "imitation": [python, str(PEERS / "bc.py"), f"--data={rows}"],
            "jaxmaze": [sys.executable, OURS, f"--data={data}", f"--members={args.members}"],
        }
        results = in_turn(commands, args.repeats, JAX_ENABLE_COMPILATION_CACHE="false")
    table = []
    theirs = results["imitation"]
    for name, found in results.items():
        pairs = list(zip(found, theirs, strict=True))
        table.append(
            [
                name,
                spread([r["samples_per_second"] for r in found]),
                spread([a["samples_per_second"] / b["samples_per_second"] for a, b in pairs]),
                spread([r["call_seconds"] for r in found]),
                spread([b["call_seconds"] / a["call_seconds"] for a, b in pairs]),
                spread([r["mean_return"] for r in found]),
            ]
        )
    header = ["library", "samples/s", "times imitation", "whole call, s", "times faster", "return"]
    report("Cloning, median [min, max]", header, table, args.out, results=results)


if __name__ == "__main__":
    main()
