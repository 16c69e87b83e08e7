"""imitation's BC, then Stable-Baselines3's PPO from its clone, until a return; one line of JSON.

Run in imitation's venv. ``--from_scratch`` leaves the cloning out. All times are since the process
began. The policy is tried on 20 episodes every 16,384 steps, and once these pass the target on 100
others; those decide. ``--env_steps`` trains for so many steps instead, with jaxmaze's schedule: the
learning rate falls linearly to 0, and the policy at the end is the one that counts.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import argparse  # noqa: E402
import importlib.metadata  # noqa: E402
import json  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from bc import cloner, mean_return, transitions  # noqa: E402
from gymnasium.envs.box2d.lunar_lander import heuristic  # noqa: E402
from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402

HIDDEN = [64, 64]
TUNING = dict(n_steps=256, learning_rate=5e-4, ent_coef=0.005)
SCRATCH = dict(n_steps=1024, learning_rate=3e-4, ent_coef=0.01)
COMMON = dict(batch_size=64, n_epochs=4, gamma=0.999, gae_lambda=0.98)


def record(episodes: int, seed: int) -> dict[str, np.ndarray]:
    """Steps of gymnasium's own heuristic."""
    env = gym.make("LunarLander-v3")
    obs, acts = [], []
    for episode in np.random.SeedSequence(seed).generate_state(episodes) >> 1:
        o, _ = env.reset(seed=int(episode))
        done = False
        while not done:
            a = heuristic(env.unwrapped, o)
            obs.append(o)
            acts.append(a)
            o, _, terminated, truncated, _ = env.step(a)
            done = terminated or truncated
    return {"obs": np.array(obs, np.float32), "acts": np.array(acts)}


class UntilReached(BaseCallback):
    """Stops when the policy has the target on the deciding episodes."""

    def __init__(self, target: float, every: int):
        super().__init__()
        self.target, self.every, self.tried, self.mean = target, every, 0, float("nan")
        seeds = np.random.SeedSequence(20_250).generate_state(120) >> 1
        self.look, self.decide = seeds[:20], seeds[20:]

    def _on_step(self) -> bool:
        return True

    def reached(self) -> bool:
        """Whether the target is passed on the deciding episodes too."""
        if mean_return(self.model.policy, self.look) < self.target:
            return False
        self.mean = mean_return(self.model.policy, self.decide)
        return self.mean >= self.target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", type=float, default=270.0)
    parser.add_argument("--from_scratch", action="store_true")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--env_steps", type=int)
    parser.add_argument("--max_env_steps", type=int, default=1_000_000)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    env = make_vec_env("LunarLander-v3", n_envs=16, seed=args.seed)
    settings = COMMON | (SCRATCH if args.from_scratch else TUNING)
    if args.env_steps:
        highest = settings["learning_rate"]
        # vf_coef: of the whole squared error, of which jaxmaze takes half.
        settings |= dict(learning_rate=lambda left: highest * left, vf_coef=0.25)
    model = PPO(
        "MlpPolicy",
        env,
        seed=args.seed,
        device="cpu",
        **settings,
        policy_kwargs=dict(net_arch=HIDDEN, activation_fn=torch.nn.Tanh),
    )
    line = {
        "library": "Stable-Baselines3" if args.from_scratch else "imitation + SB3",
        "version": importlib.metadata.version("stable-baselines3"),
    }
    check = UntilReached(args.target, 16_384)
    check.model = model
    reached = False
    if not args.from_scratch:
        data = record(args.episodes, args.seed)
        line["recorded_at"] = time.perf_counter() - START
        trainer = cloner(transitions(data), gym.make("LunarLander-v3"), args.seed, HIDDEN)
        trainer.train(n_epochs=20, progress_bar=False, log_interval=10**9)
        model.policy.load_state_dict(trainer.policy.state_dict())
        line["cloned_at"] = time.perf_counter() - START
        line["clone_mean"] = mean_return(model.policy, check.decide)
        reached = args.env_steps is None and check.reached()
    begun = time.perf_counter()
    if args.env_steps:
        model.learn(args.env_steps)
        check.mean = mean_return(model.policy, check.decide)
        reached = check.mean >= args.target
        args.max_env_steps = 0
    while not reached and model.num_timesteps < args.max_env_steps:
        model.learn(check.every, reset_num_timesteps=False)
        reached = check.reached()
    line |= {
        "reached": reached,
        "env_steps": model.num_timesteps,
        "mean_return": check.mean,
        "tune_seconds": time.perf_counter() - begun,
        "wall_seconds": time.perf_counter() - START,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
