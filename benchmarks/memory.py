"""What memory is worth where velocities are hidden: clones of LunarLander's controller, over seeds.

    python benchmarks/memory.py --workdir=outputs/memory [--members=5] [--seed=9000]
        [--episodes=500] [--env_steps=0] [--memories=none,gru,delta_gru] [--set=FIELD=VALUE ...]

The teacher sees everything; clones see where the lander is, and not how fast it moves or turns. One
kind has a GRU behind its hidden layers, another has none, and all else is the same. Each action
lasts three frames: from one frame to the next the lander moves by a fiftieth of what its place
varies by, and few epochs do not find so small a difference (``delta_gru`` is given it). With
``--env_steps`` both are fine-tuned for so many steps. All play the same test episodes. Prints a
table, and writes it with machine and versions to ``memory.json`` in the folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import sidebyside  # noqa: E402
from jaxmaze import api, cli, config, policies  # noqa: E402
from jaxmaze.core import seeding  # noqa: E402
from jaxmaze.envs import environment, episodes  # noqa: E402
from jaxmaze.runs import console, intervals, outcomes, report, run_folder, trajectories  # noqa: E402
from jaxmaze.training import evaluation  # noqa: E402

SHOWN = [0, 1, 4, 6, 7]
"""Of LunarLander's eight numbers: place, angle, and which legs touch; the others are velocities."""
FRAMES = 3
"""Frames that an action lasts."""
WHOLE, HIDDEN = "WholeLander-v0", "HiddenLander-v0"
SETTINGS: dict[str, Any] = {
    "env.id": f"benchmarks.memory:{HIDDEN}",
    "env.kwargs": {},
    "network.activation": "relu",
    "bc.sequence_length": 32,
    "bc.num_epochs": 40,
    "bc.refit": False,
    "bc.eval_every": 0,
    "ppo.num_steps": 64,
    "evaluation.episodes": 100,
}


class Lander(gym.ObservationWrapper):
    """LunarLander whose actions last a few frames, and whose velocities may be hidden."""

    def __init__(self, hidden: bool, **kwargs: Any):
        super().__init__(gym.make("LunarLander-v3", **kwargs).unwrapped)
        self.shown = SHOWN if hidden else list(range(8))
        whole = self.env.observation_space
        self.observation_space = gym.spaces.Box(whole.low[self.shown], whole.high[self.shown])

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A few frames; their rewards together."""
        total, terminated = 0.0, False
        for _ in range(FRAMES):
            observation, reward, terminated, _, info = self.env.step(action)
            total += float(reward)
            if terminated:
                break
        return self.observation(observation), total, terminated, False, info

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The numbers that are shown."""
        return observation[self.shown]


for name, hidden in ((WHOLE, False), (HIDDEN, True)):
    if name not in gym.registry:
        entry = "benchmarks.memory:Lander"
        gym.register(name, entry, max_episode_steps=1000 // FRAMES, kwargs={"hidden": hidden})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--seed", type=int, default=9000)
    parser.add_argument("--episodes", type=int, default=500, help="of the teacher")
    parser.add_argument("--env_steps", type=int, default=0, help="of fine-tuning; 0: none")
    parser.add_argument("--memories", default="none,gru,delta_gru")
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE for all")
    args = parser.parse_args()
    cli.prepare()
    start = time.perf_counter()
    changes = SETTINGS | {"seed": args.seed, "members": args.members}
    changes |= sidebyside.settings(args.set)
    if args.env_steps:
        changes["ppo.total_env_steps"] = args.env_steps
    hidden = api.load_config(ROOT / "configs" / "lunar_lander.py", changes)
    seeds = evaluation.test_seeds(config.to_settings(hidden))
    teacher = np.array([e.episode_return for e in _taught(seeds)])
    record(hidden, args.workdir / "data", args.episodes)
    table = [_row("teacher, which sees everything", teacher[None], teacher)]
    for memory in args.memories.split(","):
        table += _learned(hidden, args, memory, teacher)
    console.table(
        f"LunarLander without velocities: {args.members} seeds from {args.seed}, {len(seeds)} test "
        f"episodes each, clones of {args.episodes} episodes",
        ("what", "return: IQM [95 %]", "worst seed", "gain on teacher [95 %]", "seconds"),
        [
            (
                r["name"],
                report.span(r),
                f"{r['worst']:.1f}",
                report.span(r["gain"]),
                f"{r.get('seconds', 0):.0f}",
            )
            for r in table
        ],
    )
    run_folder.write_json(
        args.workdir / "memory.json",
        {
            "table": table,
            "wall_seconds": time.perf_counter() - start,
            "versions": run_folder.versions(),
            "machine": {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
            },
            "arguments": json.loads(json.dumps(vars(args), default=str)),
        },
    )


def _taught(seeds: np.ndarray) -> list[episodes.Episode]:
    """The teacher's episodes in the environment that shows everything."""
    lander = environment.describe(environment.EnvConfig("LunarLander-v3"))
    whole = environment.describe(environment.EnvConfig(f"benchmarks.memory:{WHOLE}"))
    act = policies.resolve("heuristic", lander, 0)
    return episodes.play_episodes(whole, act, seeds, 16, True)


def record(hidden: Any, path: Path, count: int) -> None:
    """The teacher's episodes in the whole environment, with what is shown of them alone."""
    if path.exists():
        return
    settings = config.to_settings(hidden)
    info = environment.describe(environment.EnvConfig.of(settings.env))
    seeds = seeding.episode_seeds(settings.seed, seeding.ROLLOUT, count)
    seen = [dataclasses.replace(e, observations=e.observations[:, SHOWN]) for e in _taught(seeds)]
    trajectories.write(path, seen, info, {"policy": "heuristic, which sees everything"})


def _learned(hidden: Any, args: argparse.Namespace, memory: str, teacher: np.ndarray) -> list[dict]:
    """A clone with or without a memory, and what comes of it."""
    own = api.override(hidden, {"network.memory": memory})
    clone = api.clone(own, args.workdir / "data", args.workdir / memory / "bc")
    runs = {"cloned": clone}
    if args.env_steps:
        runs["fine-tuned"] = api.fine_tune(own, clone, args.workdir / memory / "ppo")
    return [
        _row(f"network.memory={memory}, {how}", outcomes.read_episodes(run.folder).returns, teacher)
        | {"seconds": run.summary["wall_seconds"]}
        for how, run in runs.items()
    ]


def _row(name: str, returns: np.ndarray, teacher: np.ndarray) -> dict[str, Any]:
    """A line of the table from returns ``[M, E]``."""
    return {
        "name": name,
        **report.block(intervals.estimate(returns)),
        "gain": report.block(intervals.estimate(returns - teacher)),
        "worst": float(returns.mean(1).min()),
        "members": returns.mean(1).tolist(),
    }


if __name__ == "__main__":
    sys.exit(sidebyside.exit_code(main))
