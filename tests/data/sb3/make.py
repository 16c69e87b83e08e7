"""Makes the Stable-Baselines3 zips in this folder, and what they do at recorded states.

In an environment of its own, which jaxmaze's tests do not need::

    pip install stable-baselines3 sb3-contrib
    python tests/data/sb3/make.py

Each policy is trained for a moment, so that no weight is left at its start. ``recorded.npz`` holds
``NAME.obs`` ``[N, D]`` and ``NAME.actions``, what ``model.predict(obs, deterministic=True)`` gave.
"""

import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import sb3_contrib as contrib
import stable_baselines3 as sb3
import torch

HERE = Path(__file__).parent
NET = {"net_arch": [8, 8]}
OFF = {"learning_starts": 50, "buffer_size": 500, "batch_size": 16, "policy_kwargs": NET}
ON = {"n_steps": 64, "policy_kwargs": NET}
NOT_SAVED = [
    "ep_info_buffer",
    "ep_success_buffer",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
    "lr_schedule",
    "clip_range",
    "exploration_schedule",
]


class Masked(gym.Wrapper):
    """Every action is allowed, always."""

    def action_masks(self):
        return np.ones(2, bool)


def models():
    """Each policy by its name."""
    mlp, cart, swing = "MlpPolicy", "CartPole-v1", "Pendulum-v1"

    def off():  # the libraries change what they are given
        return OFF | {"policy_kwargs": dict(NET)}

    relu = NET | {"activation_fn": torch.nn.ReLU}
    elu = {"net_arch": {"pi": [8], "vf": [4]}, "activation_fn": torch.nn.ELU}
    squash = NET | {"squash_output": True}
    yield "ppo_cartpole", sb3.PPO(mlp, cart, seed=0, **ON | {"policy_kwargs": dict(NET)})
    yield "a2c_relu_cartpole", sb3.A2C(mlp, cart, seed=0, n_steps=16, policy_kwargs=relu)
    yield "dqn_cartpole", sb3.DQN(mlp, cart, seed=0, **off())
    yield (
        "qrdqn_cartpole",
        contrib.QRDQN(mlp, cart, seed=0, **OFF | {"policy_kwargs": NET | {"n_quantiles": 5}}),
    )
    yield "trpo_elu_cartpole", contrib.TRPO(mlp, cart, seed=0, **ON | {"policy_kwargs": elu})
    yield (
        "maskable_cartpole",
        contrib.MaskablePPO(
            mlp, Masked(gym.make(cart)), seed=0, **ON | {"policy_kwargs": dict(NET)}
        ),
    )
    yield "ppo_pendulum", sb3.PPO(mlp, swing, seed=0, **ON | {"policy_kwargs": dict(NET)})
    yield (
        "ppo_squash_pendulum",
        sb3.PPO(mlp, swing, seed=0, use_sde=True, **ON | {"policy_kwargs": squash}),
    )
    yield "sac_pendulum", sb3.SAC(mlp, swing, seed=0, **off())
    yield "td3_pendulum", sb3.TD3(mlp, swing, seed=0, **off())
    yield "ddpg_pendulum", sb3.DDPG(mlp, swing, seed=0, **off())
    yield "tqc_pendulum", contrib.TQC(mlp, swing, seed=0, **off())
    # Not standard: it remembers.
    lstm = NET | {"lstm_hidden_size": 4}
    yield (
        "recurrent_cartpole",
        contrib.RecurrentPPO("MlpLstmPolicy", cart, seed=0, n_steps=64, policy_kwargs=lstm),
    )


def states(env, count):
    """``[count, D]`` observations that random actions lead to."""
    env.action_space.seed(0)
    found, over = [], True
    for i in range(count):
        if over:
            obs, over = env.reset(seed=i)[0], False
        else:
            obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
        found.append(obs)
    return np.array(found, np.float32)


def balance(model, obs):
    """Shift action values so that either action is the best one as often."""
    network = getattr(model, "q_net", None) or model.quantile_net
    last = list(network.modules())[-1]
    with torch.no_grad():
        values = list(network.children())[-1](torch.as_tensor(obs)).reshape(len(obs), -1, 2).mean(1)
        shift = torch.quantile(values[:, 0] - values[:, 1], 0.5)  # between two, so no tie
        last.bias.reshape(-1, 2)[:, 1] += shift


def squeeze(path):
    """The same files in the zip, compressed."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def main():
    """Write everything anew."""
    recorded = {}
    for name, model in models():
        model.learn(256)
        if name == "ppo_pendulum":  # so that its actions are clipped
            with torch.no_grad():
                model.policy.action_net.weight *= 300
        obs = states(gym.make("CartPole-v1" if "cartpole" in name else "Pendulum-v1"), 200)
        if "dqn" in name:
            balance(model, obs)
        model.save(HERE / f"{name}.zip", exclude=NOT_SAVED)
        squeeze(HERE / f"{name}.zip")
        recorded[f"{name}.obs"] = obs
        recorded[f"{name}.actions"] = model.predict(obs, deterministic=True)[0]
    np.savez_compressed(HERE / "recorded.npz", **recorded)


if __name__ == "__main__":
    main()
