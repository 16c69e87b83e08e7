"""imitation's clone of given steps, Stable-Baselines3's PPO from it, and from scratch; JSON.

Run in imitation's venv by ``benchmarks/results.py --peers``. PPO has the settings that
rl-baselines3-zoo has for the environment, from the clone as from scratch, and its network; the
policy at the end is judged, deterministically, on the given test episodes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import time

import gymnasium as gym
import numpy as np
import torch
from bc import transitions
from imitation.algorithms import bc
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

EPOCHS = 20
"""Of cloning, as in the other comparisons; batch 32 and Adam at 1e-3 are imitation's defaults."""
LANDER = dict(
    count=16, n_steps=1024, batch_size=64, gae_lambda=0.98, gamma=0.999, n_epochs=4, ent_coef=0.01
)
ZOO = {
    "CartPole": dict(
        count=8,
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
    ),
    "Pendulum": dict(
        count=4,
        n_steps=1024,
        gae_lambda=0.95,
        gamma=0.9,
        n_epochs=10,
        ent_coef=0.0,
        learning_rate=1e-3,
        clip_range=0.2,
        use_sde=True,
        sde_sample_freq=4,
    ),
    "LunarLander": LANDER,
    "LunarLanderContinuous": LANDER,
}
"""https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/hyperparams/ppo.yml; ``count``
environments."""


def model_of(args: argparse.Namespace, kwargs: dict) -> PPO:
    settings = dict(ZOO[args.settings])
    envs = make_vec_env(
        args.env, n_envs=settings.pop("count"), seed=args.seed, env_kwargs=kwargs or None
    )
    return PPO("MlpPolicy", envs, seed=args.seed, device="cpu", **settings)


def judged(model: PPO, args: argparse.Namespace, kwargs: dict, seeds: np.ndarray) -> dict:
    """Mean return of deterministic episodes with these seeds, 16 at once."""
    envs = [gym.make(args.env, **kwargs) for _ in range(min(16, len(seeds)))]
    queue, returns = [int(s) for s in seeds][::-1], []
    obs = np.stack([env.reset(seed=queue.pop())[0] for env in envs])
    running, active = [0.0] * len(envs), list(range(len(envs)))
    while active:
        actions, _ = model.predict(obs[active], deterministic=True)
        for k, action in zip(list(active), actions, strict=True):
            obs[k], reward, terminated, truncated, _ = envs[k].step(action)
            running[k] += float(reward)
            if terminated or truncated:
                returns.append(running[k])
                running[k] = 0.0
                if queue:
                    obs[k] = envs[k].reset(seed=queue.pop())[0]
                else:
                    active.remove(k)
    return {"mean": float(np.mean(returns)), "episodes": len(returns)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", required=True)
    parser.add_argument("--kwargs", type=json.loads, default={})
    parser.add_argument("--settings", choices=ZOO, required=True)
    parser.add_argument("--given", required=True, help="npz: obs, acts, test_seeds")
    parser.add_argument("--env_steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    given, kwargs = np.load(args.given), args.kwargs
    seeds = given["test_seeds"]
    found: dict = {
        "seed": args.seed,
        "env_steps": args.env_steps,
        "about": {p: importlib.metadata.version(p) for p in ("imitation", "stable-baselines3")},
    }

    def measured(name: str, begun: float, model: PPO) -> None:
        seconds = time.perf_counter() - begun
        found[name] = judged(model, args, kwargs, seeds) | {"seconds": seconds}

    begun = time.perf_counter()
    model = model_of(args, kwargs)
    model.learn(args.env_steps)
    measured("from_scratch", begun, model)
    begun = time.perf_counter()
    torch.manual_seed(args.seed)
    model = model_of(args, kwargs)
    trainer = bc.BC(
        observation_space=model.observation_space,
        action_space=model.action_space,
        rng=np.random.default_rng(args.seed),
        policy=model.policy,
        demonstrations=transitions(given),
        device="cpu",
    )
    trainer.train(n_epochs=EPOCHS, progress_bar=False, log_interval=10**9)
    measured("clone", begun, model)
    begun = time.perf_counter()
    model.learn(args.env_steps)
    measured("fine_tuned", begun, model)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
