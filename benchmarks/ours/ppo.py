"""jaxmaze's PPO as a command would run it, timed by its own stopwatch; one line of JSON."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import tempfile
import time
from pathlib import Path

ZOO = {
    "ppo.num_steps": 1024,
    "ppo.num_epochs": 4,
    "ppo.learning_rate": 3e-4,
    "ppo.value_learning_rate": 3e-4,
    "ppo.learning_rate_schedule": "constant",
    "ppo.gae_lambda": 0.98,
    "ppo.entropy_coef": 0.01,
    "ppo.average_decay": 0.0,
    "ppo.eval_every": 10**6,
    "ppo.playoff_episodes": 0,
}
"""rl-zoo's settings for LunarLander where they differ from the defaults, without evaluations."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--total_env_steps", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--backend", default="gymnasium")
    parser.add_argument("--overlap", action="store_true")
    parser.add_argument("--eval_episodes", type=int, default=1)
    parser.add_argument("--hidden", default="64,64")
    parser.add_argument("--cores", type=int, help="that the process may run on; all if unset")
    parser.add_argument("--cold", action="store_true", help="keep no compiled programs")
    args = parser.parse_args()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    if args.cold:
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    # Afterwards, because JAX looks at both when it starts.
    import jaxmaze
    from jaxmaze import cli

    cli.prepare()
    overrides = ZOO | {
        "ppo.total_env_steps": args.total_env_steps,
        "seed": args.seed,
        "members": args.members,
        "env.backend": args.backend,
        "ppo.overlap": args.overlap,
        "ppo.eval_episodes": 1,
        "evaluation.episodes": args.eval_episodes,
        "network.hidden_sizes": tuple(int(n) for n in args.hidden.split(",")),
    }
    config = jaxmaze.load_config("configs/lunar_lander.py:ppo", overrides)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        summary = jaxmaze.train(config, Path(folder) / "run").summary
    whole = time.perf_counter() - started
    timing = summary["timing"]
    loop = {part: timing[part] for part in ("collect", "update", "log")}
    judged = sum(
        timing[part]["first"] + timing[part]["rest"]
        for part in ("evaluate", "play-off", "test")
        if part in timing
    )
    seconds = sum(part["rest"] for part in loop.values())
    segment = config.ppo.num_envs * config.ppo.num_steps
    steps = loop["collect"]["count"] * args.members * segment
    print(
        json.dumps(
            {
                "library": f"jaxmaze, {args.backend}" + (", overlap" if args.overlap else ""),
                "version": importlib.metadata.version("jaxmaze"),
                "env_steps": summary["env_steps"],
                "train_seconds": seconds,
                "collect_seconds": loop["collect"]["rest"],
                "update_seconds": loop["update"]["rest"],
                "log_seconds": loop["log"]["rest"],
                "first_iteration_seconds": sum(part["first"] for part in loop.values()),
                "steps_per_second": steps / seconds,
                "steps_per_second_whole": summary["env_steps"] / (whole - judged),
                "wall_seconds": whole,
                "mean_return": summary["last"]["mean"],
                "returns": [m["last"]["mean"] for m in summary["members"]],
            }
        )
    )


if __name__ == "__main__":
    main()
