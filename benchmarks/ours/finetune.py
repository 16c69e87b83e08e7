"""A teacher's episodes recorded, cloned and fine-tuned in one process; one line of JSON.

``--from_scratch`` trains without a teacher. All times are since the process began, imports and
compilation included.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import jaxmaze  # noqa: E402
from jaxmaze import cli  # noqa: E402

ALIKE = {
    "ppo.num_steps": 256,
    "ppo.num_epochs": 4,
    "ppo.gae_lambda": 0.98,
    "ppo.learning_rate": 5e-4,
}
"""As the peer has them."""
TUNING = ALIKE | {
    "ppo.total_env_steps": 131_072,
    "ppo.eval_every": 32,
    "ppo.playoff_episodes": 0,
    "ppo.eval_episodes": 8,
    "bc.eval_every": 0,
    "evaluation.episodes": 100,
}
"""One evaluation before and one after: nothing is chosen on the way, the last policy counts."""
SCRATCH = ALIKE | {
    "ppo.total_env_steps": 393_216,
    "ppo.eval_every": 96,
    "ppo.playoff_episodes": 0,
    "ppo.eval_episodes": 1,
    "ppo.learning_rate": 1e-3,
    "evaluation.episodes": 100,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--from_scratch", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--total_env_steps", type=int)
    args = parser.parse_args()
    cli.prepare()
    settings = SCRATCH if args.from_scratch else TUNING
    overrides = settings | {"seed": args.seed, "members": args.members}
    if args.total_env_steps:
        overrides["ppo.total_env_steps"] = args.total_env_steps
    config = jaxmaze.load_config("configs/lunar_lander.py", overrides)
    line: dict = {"library": "jaxmaze"}
    with tempfile.TemporaryDirectory() as name:
        folder, clone = Path(name), None
        if not args.from_scratch:
            teacher = jaxmaze.record(config, folder / "teacher")
            line["recorded_at"] = time.perf_counter() - START
            clone = jaxmaze.clone(config, teacher, folder / "clone")
            line["cloned_at"] = time.perf_counter() - START
            line["clone_mean"] = clone.summary["evaluation"]["mean"]
        begun = time.perf_counter()
        tuned = jaxmaze.fine_tune(config, clone, folder / "tuned").summary
    line |= {
        "env_steps": tuned["env_steps"],
        "mean_return": tuned["last"]["mean"],
        "returns": [m["last"]["mean"] for m in tuned["members"]],
        "tune_seconds": time.perf_counter() - begun,
        "wall_seconds": time.perf_counter() - START,
        "timing": tuned["timing"],
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
