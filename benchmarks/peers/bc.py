"""imitation's BC on recorded steps; prints one line of JSON. Run in its venv."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import time

import gymnasium as gym
import numpy as np
import torch
from imitation.algorithms import bc
from imitation.data.types import Transitions
from stable_baselines3.common.policies import ActorCriticPolicy

HIDDEN = [32, 32]


def transitions(data) -> Transitions:
    """Rows as imitation takes them; it learns from observations and actions alone."""
    obs, acts = data["obs"], data["acts"]
    dones = np.zeros(len(obs), bool)
    return Transitions(
        obs=obs, acts=acts, infos=np.array([{}] * len(obs)), next_obs=obs, dones=dones
    )


def cloner(data: Transitions, env: gym.Env, seed: int, hidden: list[int]) -> bc.BC:
    """imitation's BC with batch 128 and Adam at 1e-3, its own default."""
    policy = ActorCriticPolicy(
        env.observation_space,
        env.action_space,
        lr_schedule=lambda _: 1e-3,
        net_arch=hidden,
        activation_fn=torch.nn.Tanh,
    )
    return bc.BC(
        observation_space=env.observation_space,
        action_space=env.action_space,
        rng=np.random.default_rng(seed),
        policy=policy,
        demonstrations=data,
        batch_size=128,
        optimizer_kwargs={"lr": 1e-3},
        device="cpu",
    )


def mean_return(policy, seeds, env_id: str = "LunarLander-v3") -> float:
    """Mean return of deterministic episodes with these seeds, 16 at once."""
    envs = [gym.make(env_id) for _ in range(min(16, len(seeds)))]
    queue, totals = [int(s) for s in seeds][::-1], []
    obs = np.stack([env.reset(seed=queue.pop())[0] for env in envs])
    running = [0.0] * len(envs)
    active = list(range(len(envs)))
    while active:
        actions, _ = policy.predict(obs[active], deterministic=True)
        for k, action in zip(list(active), actions, strict=True):
            obs[k], reward, terminated, truncated, _ = envs[k].step(int(action))
            running[k] += float(reward)
            if terminated or truncated:
                totals.append(running[k])
                running[k] = 0.0
                if queue:
                    obs[k] = envs[k].reset(seed=queue.pop())[0]
                else:
                    active.remove(k)
    return float(np.mean(totals))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data, env = np.load(args.data), gym.make("LunarLander-v3")
    torch.manual_seed(args.seed)
    start = time.perf_counter()
    trainer = cloner(transitions(data), env, args.seed, HIDDEN)
    begun = time.perf_counter()
    trainer.train(n_epochs=args.epochs, progress_bar=False, log_interval=10**9)
    end = time.perf_counter()
    samples = len(data["obs"]) * args.epochs
    seeds = np.random.SeedSequence(20_250).generate_state(100) >> 1
    print(
        json.dumps(
            {
                "library": "imitation",
                "version": importlib.metadata.version("imitation"),
                "samples": samples,
                "call_seconds": end - start,
                "seconds": end - begun,
                "samples_per_second": samples / (end - begun),
                "mean_return": mean_return(trainer.policy, seeds),
            }
        )
    )


if __name__ == "__main__":
    main()
