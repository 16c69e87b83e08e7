"""Time and memory of recording, reading and cloning a data set, over its size.

    python benchmarks/data.py [--sizes=10000,100000,1000000,10000000] [--repeats=3]
        [--members=1] [--out=FILE.json]

Every phase runs in a process of its own, so that the peak of its memory is its own: ``record``
plays and writes episodes (the stage ``rollout``), ``load`` reads and checks them
(``trajectories.read``), ``epoch`` reads them and trains a clone for one epoch with validation as
the stage ``bc`` does. Memory is the process's peak less what it held after doing the same with 1250
steps, that is with all modules and the compiler loaded. Seconds are those of the phase alone:
without imports, and for ``epoch`` without reading and compiling.

The factor is that memory over the raw arrays, which any data set of ``T`` steps has to hold:
observations float32 ``[T + 1, 8]`` an episode, actions int64, rewards float64 and two end flags,
about 50 bytes a step. It says nothing where the arrays are smaller than a process's small change
(10^4 steps are half a MiB).

The environment has LunarLander's spaces and episodes of 250 steps of noise: what is measured is
the recording, not Box2D.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

EPISODE = 250
WARM_UP = 5 * EPISODE
"""Steps of the small data set that every phase handles before memory counts."""
ENV_ID = "Noise-v0"
PHASES = ("record", "load", "epoch")
MIB = 2.0**20


class Noise(gym.Env):
    """LunarLander's spaces without its physics; never ends by itself."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (8,), np.float32)
    action_space = gym.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        rng = np.random.default_rng(seed)
        self._obs = rng.normal(size=(EPISODE + 1, 8)).astype(np.float32)
        self._t = 0
        return self._obs[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._t += 1
        return self._obs[self._t], 0.5 * self._t, False, False, {}


def by_sign(obs: np.ndarray) -> np.ndarray:
    """The teacher: a function of two observations that a clone can learn."""
    return (obs[:, 0] > 0).astype(np.int64) + 2 * (obs[:, 1] > 0)


def raw_bytes(steps: int) -> int:
    """What the arrays of so many steps take."""
    return (steps + steps // EPISODE) * 8 * 4 + steps * (8 + 8 + 2)


def resident() -> int:
    """Bytes of this process in memory now (its peak so far where the system does not tell)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The most bytes that this process has had in memory."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def config_of(members: int, **changes: Any) -> Any:
    """The configuration of every phase."""
    from jaxmaze import api

    return api.make_config({"env.id": ENV_ID, "members": members, "env.workers": 0} | changes)


def record(steps: int, folder: Path) -> None:
    """Record ``steps`` steps into ``folder``, as ``jaxmaze.rollout --record`` does."""
    from jaxmaze.stages import rollout

    config = config_of(1, **{"rollout.n_episodes": steps // EPISODE})
    rollout.run(config, folder, policy=by_sign, record=True)


def load(folder: Path) -> None:
    """Read a recorded data set."""
    from jaxmaze.envs import environment
    from jaxmaze.runs import trajectories

    trajectories.read(folder, environment.describe(environment.EnvConfig(ENV_ID)))


def epoch(folder: Path, members: int) -> float:
    """Train for one epoch on a recorded data set; returns the seconds of that epoch."""
    import jax

    from jaxmaze.core import seeding
    from jaxmaze.envs import environment
    from jaxmaze.policies import build_networks
    from jaxmaze.runs import trajectories
    from jaxmaze.training import bc_data, bc_learner

    config = config_of(members)
    info = environment.describe(environment.EnvConfig(ENV_ID))
    dataset = trajectories.read(folder, info)
    networks = build_networks(config, info.spaces)
    problem = bc_data.prepare(config, dataset, networks)
    del dataset  # as the stage does
    fitter = bc_learner.Fitter(config, networks, seeding.STAGE_BC)
    state = fitter.init(problem.data, problem.train)
    run, arguments = (
        fitter.epochs(problem.steps, True),
        (problem.data, problem.train, problem.validation),
    )
    one = fitter.each(1)
    jax.device_get(run(state, *arguments, fitter.hyper(0), one))  # compiles, and trains nothing
    start = time.perf_counter()
    jax.device_get(run(state, *arguments, fitter.hyper(1), one))
    return time.perf_counter() - start


def phase(name: str, steps: int, folder: Path, members: int) -> dict[str, float]:
    """Run one phase in this process: its ``seconds`` and ``bytes`` of memory."""
    from jaxmaze import cli

    cli.prepare()
    gym.register(ENV_ID, f"{Path(__file__).stem}:Noise", max_episode_steps=EPISODE)
    warm_up = folder.parent / "warm-up"
    run: dict[str, Callable[[], Any]] = {
        "record": lambda: record(steps, folder),
        "load": lambda: load(folder),
        "epoch": lambda: epoch(folder, members),
    }
    if name == "record" or not warm_up.exists():
        shutil.rmtree(warm_up, ignore_errors=True)
        record(WARM_UP, warm_up)
    if name == "load":
        load(warm_up)
    if name == "epoch":
        epoch(warm_up, members)
    gc.collect()
    before, start = resident(), time.perf_counter()
    seconds = run[name]()
    whole = time.perf_counter() - start
    return {"seconds": whole if seconds is None else seconds, "bytes": peak() - before}


def in_a_process(name: str, steps: int, folder: Path, members: int) -> dict[str, float]:
    """Run one phase in a process of its own."""
    command = [
        sys.executable,
        __file__,
        f"--phase={name}",
        f"--sizes={steps}",
        f"--members={members}",
        f"--folder={folder}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(sizes: Sequence[int], repeats: int, members: int) -> list[dict[str, Any]]:
    """A row of the table for each size and phase."""
    table = []
    for steps in sizes:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in PHASES}
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                for name in PHASES:
                    found[name].append(in_a_process(name, steps, Path(folder) / "run", members))
                    print(f"{steps} steps, {name}: {found[name][-1]}", file=sys.stderr)
        for name in PHASES:
            seconds = [one["seconds"] for one in found[name]]
            most = max(one["bytes"] for one in found[name])
            table.append(
                {
                    "steps": steps,
                    "phase": name,
                    "seconds": seconds,
                    "bytes": most,
                    "raw_bytes": raw_bytes(steps),
                    "factor": most / raw_bytes(steps),
                }
            )
    return table


def show(table: Sequence[dict[str, Any]], members: int) -> None:
    """Print the table."""
    from jaxmaze.runs import console

    console.table(
        f"data of {EPISODE}-step episodes, {members} member(s) in epoch",
        ("steps", "phase", "seconds: median (min-max)", "peak MiB", "raw MiB", "factor"),
        [
            (
                f"{r['steps']:,}",
                r["phase"],
                f"{np.median(r['seconds']):.2f} ({min(r['seconds']):.2f}-{max(r['seconds']):.2f})",
                f"{r['bytes'] / MIB:.1f}",
                f"{r['raw_bytes'] / MIB:.1f}",
                f"{r['factor']:.2f}",
            )
            for r in table
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,100000,1000000,10000000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.phase:
        print(json.dumps(phase(args.phase, sizes[0], args.folder, args.members)))
        return
    # This process stays small: on Linux a child's peak starts at its parent's.
    table = measure(sizes, args.repeats, args.members)
    show(table, args.members)
    if args.out is None:
        return
    from jaxmaze.runs import run_folder

    args.out.parent.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(
        args.out,
        {
            "table": table,
            "members": args.members,
            "command": " ".join(["python", *sys.argv]),
            "versions": run_folder.versions(),
            "machine": {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
                "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
                "system": platform.platform(),
            },
        },
    )


if __name__ == "__main__":
    main()
