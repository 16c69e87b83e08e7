"""Steps a second of the environment alone on all cores: no policy, random actions drawn before.

One process a core, as jaxmaze's workers, each with its share of the environments; one JSON line.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time

import gymnasium as gym
import numpy as np

from jaxmaze.envs import workers


def stepped(envs: int, steps: int, seed: int, barrier, results) -> None:
    """Step ``envs`` environments ``steps`` times each."""
    made = [gym.make("LunarLander-v3", disable_env_checker=True) for _ in range(envs)]
    actions = np.random.default_rng(seed).integers(0, 4, (steps, envs)).tolist()
    for k, env in enumerate(made):
        env.reset(seed=1000 * seed + k)
    barrier.wait()
    start = time.perf_counter()
    for t in range(steps):
        for k, env in enumerate(made):
            _, _, terminated, truncated, _ = env.step(actions[t][k])
            if terminated or truncated:
                env.reset(seed=t)
    results.put((start, time.perf_counter()))


def envpool_rate(envs: int, steps: int) -> float:
    """envpool's steps a second with random actions."""
    import envpool

    env = envpool.make("LunarLander-v3", env_type="gymnasium", num_envs=envs, seed=1)
    actions = np.random.default_rng(0).integers(0, 4, (steps, envs)).astype(np.int32)
    env.reset()
    start = time.perf_counter()
    for t in range(steps):
        env.step(actions[t])
    return steps * envs / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8192)
    parser.add_argument("--backend", default="gymnasium")
    args = parser.parse_args()
    if args.backend == "envpool":
        rate = envpool_rate(args.envs, args.steps)
    else:
        count = max(1, workers.default_workers())
        context = multiprocessing.get_context("spawn")
        barrier, results = context.Barrier(count), context.SimpleQueue()
        each = args.envs // count
        jobs = [
            context.Process(target=stepped, args=(each, args.steps, i, barrier, results))
            for i in range(count)
        ]
        for job in jobs:
            job.start()
        times = [results.get() for _ in jobs]
        for job in jobs:
            job.join()
        seconds = max(end for _, end in times) - min(start for start, _ in times)
        rate = count * each * args.steps / seconds
    print(json.dumps({"library": f"{args.backend} alone", "steps_per_second": rate}))


if __name__ == "__main__":
    main()
