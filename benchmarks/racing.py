"""A clone of CarRacing's driver from images: 50 recorded episodes, over seeds.

    python benchmarks/racing.py --workdir=outputs/racing [--members=3] [--seed=9000]
        [--episodes=50] [--tested=50] [--epochs=12]

The driver looks at the environment's track: it aims at a point of the road ahead, and brakes before
bends. The clone sees the last two grey images of 84 x 84 pixels, and learns from them with a Nature
CNN. Each action lasts four frames. Driver and clone drive the same test tracks. Prints a table, and
writes it with machine and versions to ``racing.json`` in the folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SETTINGS: dict[str, Any] = {
    "env": {
        "id": "CarRacing-v3",
        "frame_skip": 4,
        "frame_stack": 2,
        "grayscale": True,
        "resize": (84, 84),
    },
    "rollout": {"num_envs": 4},
    "bc": {
        "eval_every": 0,
        "learning_rate": 1e-3,
        "learning_rate_schedule": "constant",
        "weight_decay": 0.0,
        "best_by": "validation_loss",
        "patience": 0,
        "refit": False,
    },
}
AHEAD, TOP_SPEED, GRIP, GAIN = 3, 60.0, 80.0, 1.5
"""Tiles of the track to the point that is aimed at, besides one for each 12 units of speed; the
highest speed; the sideways acceleration that a bend may ask for; and the steering's gain."""


class Driver:
    """Steers at a point of the road ahead, as fast as the bends that come next allow."""

    def reset(self, seed: int) -> None:
        """Forget the last track."""
        del seed
        self.road: np.ndarray | None = None

    def act(self, obs: np.ndarray, env: Any = None) -> np.ndarray:
        """``[steering, gas, brake]`` for the car of the unwrapped environment."""
        del obs
        if self.road is None:
            self.road = np.array([(x, y) for _, _, x, y in env.track])
        hull = env.car.hull
        place, speed = np.array(hull.position), float(np.linalg.norm(hull.linearVelocity))
        near = int(np.argmin(((self.road - place) ** 2).sum(1)))
        count = len(self.road)
        aim = self.road[(near + AHEAD + int(speed / 12)) % count] - place
        # The hull's own forward direction is 90 degrees from its angle.
        wanted = np.arctan2(aim[1], aim[0]) - np.pi / 2
        error = (wanted - hull.angle + np.pi) % (2 * np.pi) - np.pi
        limit = min(TOP_SPEED, self._allowed(near, speed))
        steer = np.clip(-GAIN * error, -1, 1)
        gas = 0.0 if speed > limit else 1.0 - 0.7 * abs(steer)
        brake = np.clip((speed - limit) / 30, 0, 0.6) if speed > 1.1 * limit else 0.0
        return np.array([steer, gas, brake], np.float32)

    def _allowed(self, near: int, speed: float) -> float:
        """The speed that the bends of the next tiles allow here, braking in time."""
        assert self.road is not None
        index = (near + np.arange(16)) % len(self.road)
        way = np.diff(self.road[index], axis=0)
        length = np.linalg.norm(way, axis=1)
        heading = np.unwrap(np.arctan2(way[:, 1], way[:, 0]))
        # Over four tiles: single ones zigzag.
        bend = np.abs(heading[4:] - heading[:-4]) / length[:-4].sum() * len(length[:-4]) / 4
        there = np.sqrt(GRIP / np.maximum(bend, 1e-3))
        distance = np.concatenate([[0], np.cumsum(length)])[: len(there)]
        return float(np.sqrt(there**2 + 2 * 30.0 * distance).min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--seed", type=int, default=9000)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--tested", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    from jaxmaze import api, cli
    from jaxmaze.runs import console, intervals, outcomes, report, run_folder

    cli.prepare()
    start = time.perf_counter()
    config = api.override(
        api.make_config(SETTINGS),
        {
            "seed": args.seed,
            "members": args.members,
            "bc.num_epochs": args.epochs,
            "evaluation.episodes": args.tested,
        },
    )
    data = api.record(config, args.workdir / "data", policy=Driver, n_episodes=args.episodes)
    clone = api.clone(config, data, args.workdir / "clone")
    returns = outcomes.read_episodes(clone.folder).returns
    tested = api.evaluate(config, Driver, n_episodes=args.tested)
    driver = np.array(tested["returns"])
    shown = {
        "driver": report.block(intervals.estimate(driver[None])),
        "clone": report.block(intervals.estimate(returns)),
        "share": report.block(intervals.estimate(returns / driver.mean())),
    }
    console.table(
        f"CarRacing: {args.members} seeds from {args.seed}, {args.tested} test tracks, clones of "
        f"{args.episodes} episodes",
        ("what", "IQM [95 %]"),
        [(name, report.span(block)) for name, block in shown.items()],
    )
    run_folder.write_json(
        args.workdir / "racing.json",
        {
            "table": shown,
            "members": returns.mean(1).tolist(),
            "wall_seconds": time.perf_counter() - start,
            "versions": run_folder.versions(),
            "machine": {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
            },
            "arguments": {name: str(value) for name, value in vars(args).items()},
        },
    )


if __name__ == "__main__":
    main()
