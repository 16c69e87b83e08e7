"""PPO of Stable-Baselines3 or SBX on LunarLander-v3; prints one line of JSON. Run in its venv.

rl-zoo's settings for LunarLander: 16 environments x 1024 steps, batch 64, 4 epochs, (64, 64) tanh.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import time

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

SETTINGS = dict(
    n_steps=1024,
    batch_size=64,
    n_epochs=4,
    gamma=0.999,
    gae_lambda=0.98,
    ent_coef=0.01,
    learning_rate=3e-4,
    clip_range=0.2,
    vf_coef=0.5,
    max_grad_norm=0.5,
)
PACKAGES = {"sb3": "stable-baselines3", "sbx": "sbx-rl"}


class Clock(BaseCallback):
    """Seconds of collection, and when the second iteration began."""

    def __init__(self) -> None:
        super().__init__()
        self.collect, self.iterations, self.second = 0.0, 0, 0.0

    def _on_rollout_start(self) -> None:
        self._since = time.perf_counter()
        self.iterations += 1
        if self.iterations == 2:
            self.second = self._since

    def _on_rollout_end(self) -> None:
        self.collect += time.perf_counter() - self._since

    def _on_step(self) -> bool:
        return True


def make(library: str, seed: int, vec: str):
    """The library's PPO on 16 environments, in one process or each in one of its own."""
    kind = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}[vec]
    env = make_vec_env("LunarLander-v3", n_envs=16, seed=seed, vec_env_cls=kind)
    if library == "sb3":
        from stable_baselines3 import PPO

        kwargs = dict(net_arch=[64, 64], activation_fn=torch.nn.Tanh)
        return PPO("MlpPolicy", env, seed=seed, device="cpu", policy_kwargs=kwargs, **SETTINGS)
    import flax.linen as nn
    from sbx import PPO

    kwargs = dict(net_arch=[64, 64], activation_fn=nn.tanh)
    return PPO("MlpPolicy", env, seed=seed, policy_kwargs=kwargs, **SETTINGS)


def evaluate(model, episodes: int) -> float:
    """Mean return of deterministic episodes whose seeds are fixed."""
    env = gym.make("LunarLander-v3")
    returns = []
    for seed in np.random.SeedSequence(20_250).generate_state(episodes) >> 1:
        obs, _ = env.reset(seed=int(seed))
        total, done = 0.0, False
        while not done:
            action, _ = model.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(int(action))
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
    return float(np.mean(returns))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", choices=tuple(PACKAGES), required=True)
    parser.add_argument("--total_env_steps", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval_episodes", type=int, default=0)
    parser.add_argument("--vec", choices=("dummy", "subproc"), default="dummy")
    parser.add_argument("--threads", type=int, help="of torch; its own choice if unset")
    parser.add_argument("--cores", type=int, help="that the process may run on; all if unset")
    args = parser.parse_args()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    if args.threads:
        torch.set_num_threads(args.threads)
    begun = time.perf_counter()
    model, clock = make(args.library, args.seed, args.vec), Clock()
    start = time.perf_counter()
    model.learn(args.total_env_steps, callback=clock)
    end = time.perf_counter()
    seconds = end - start
    first = 16 * SETTINGS["n_steps"]
    line = {
        "library": args.library,
        "version": importlib.metadata.version(PACKAGES[args.library]),
        "env_steps": model.num_timesteps,
        "train_seconds": seconds,
        "collect_seconds": clock.collect,
        "update_seconds": seconds - clock.collect,
        "steps_per_second": (model.num_timesteps - first) / (end - clock.second),
        "steps_per_second_whole": model.num_timesteps / (end - begun),
    }
    if args.eval_episodes:
        line["mean_return"] = evaluate(model, args.eval_episodes)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
