"""An expert of Stable-Baselines3 with rl-zoo's settings, recorded by Minari's collector.

Run in a venv of its own by ``benchmarks/experts.py``. Writes ``model.zip`` and ``minari/`` to
``--out`` and prints its returns, and a random policy's, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

ENVS = {
    "CartPole-v1": (
        "PPO",
        8,
        100_000,
        False,
        dict(
            n_steps=32,
            batch_size=256,
            gae_lambda=0.8,
            gamma=0.98,
            n_epochs=20,
            ent_coef=0.0,
            learning_rate=lambda left: 1e-3 * left,
            clip_range=lambda left: 0.2 * left,
        ),
    ),
    "Acrobot-v1": (
        "PPO",
        16,
        300_000,
        True,
        dict(n_steps=256, gae_lambda=0.94, gamma=0.99, n_epochs=4, ent_coef=0.0),
    ),
    "Pendulum-v1": ("SAC", 1, 20_000, False, dict(learning_rate=1e-3)),
    "Hopper-v5": (
        "PPO",
        1,
        1_000_000,
        True,
        dict(
            batch_size=32,
            n_steps=512,
            gamma=0.999,
            learning_rate=9.80828e-05,
            ent_coef=0.00229519,
            clip_range=0.2,
            n_epochs=5,
            gae_lambda=0.99,
            max_grad_norm=0.7,
            vf_coef=0.835671,
            policy_kwargs=dict(
                log_std_init=-2,
                ortho_init=False,
                activation_fn=torch.nn.ReLU,
                net_arch=dict(pi=[256, 256], vf=[256, 256]),
            ),
        ),
    ),
}
"""Algorithm, environments, steps, whether observations and rewards are normalised, arguments: those
of rl-baselines3-zoo for gymnasium's versions; Acrobot is stopped early."""


def played(act, name: str, seeds: range, record=None) -> list[float]:
    env = gym.make(name) if record is None else record
    returns = []
    for seed in seeds:
        obs, done, total = env.reset(seed=seed)[0], False, 0.0
        while not done:
            obs, reward, terminated, truncated, _ = env.step(act(obs))
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
    return returns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", choices=ENVS, required=True)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    algorithm, count, steps, normalised, settings = ENVS[args.env]
    envs = make_vec_env(args.env, n_envs=count, seed=args.seed)
    if normalised:
        envs = VecNormalize(envs, gamma=settings.get("gamma", 0.99))
    model = getattr(sb3, algorithm)("MlpPolicy", envs, seed=args.seed, device="cpu", **settings)
    model.learn(steps)
    args.out.mkdir(parents=True, exist_ok=True)
    model.save(args.out / "model.zip")

    def act(obs: np.ndarray) -> np.ndarray:
        seen = envs.normalize_obs(obs) if normalised else obs
        return model.predict(seen, deterministic=True)[0]

    os.environ["MINARI_DATASETS_PATH"] = str(args.out / "minari")
    import minari

    collector = minari.DataCollector(gym.make(args.env))
    recorded = played(act, args.env, range(args.episodes), collector)
    collector.create_dataset(
        f"{args.env.split('-')[0].lower()}/expert-v0", algorithm_name=algorithm
    )
    space = gym.make(args.env).action_space
    space.seed(args.seed)
    tested = range(10**6, 10**6 + 100)
    print(
        json.dumps(
            {
                "env": args.env,
                "algorithm": algorithm,
                "steps": steps,
                "recorded": float(np.mean(recorded)),
                "expert": float(np.mean(played(act, args.env, tested))),
                "random": float(np.mean(played(lambda _: space.sample(), args.env, tested))),
                "seconds": time.perf_counter() - start,
            }
        )
    )


if __name__ == "__main__":
    main()
