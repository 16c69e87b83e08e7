"""jaxmaze's cloning on recorded episodes, timed from arrays to a trained policy; one JSON line."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jax
import numpy as np
from absl import app, flags

import jaxmaze
from jaxmaze import cli
from jaxmaze.core import seeding
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import play_episodes
from jaxmaze.policies import LoadedPolicy, build_networks
from jaxmaze.runs import trajectories
from jaxmaze.training import bc_learner, evaluation

_DATA = flags.DEFINE_string("data", None, "Folder of recorded episodes.", required=True)
_CONFIG = flags.DEFINE_string("config", "configs/lunar_lander.py:bc", "The environment's config.")
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Passes over all rows.")
_HIDDEN = flags.DEFINE_list("hidden", ["32", "32"], "Units of each hidden layer.")
_MEMBERS = flags.DEFINE_integer("members", 1, "Seeds trained side by side.")


def main(_: list[str]) -> None:
    """Clone twice: the first call compiles, the second one shows the steady state."""
    cli.prepare()
    config = jaxmaze.load_config(
        _CONFIG.value,
        {
            "members": _MEMBERS.value,
            "bc.learning_rate": 1e-3,
            "network.hidden_sizes": tuple(int(n) for n in _HIDDEN.value),
        },
    )
    info = environment.describe(environment.EnvConfig.of(config.env))
    networks = build_networks(config, info.spaces.in_units())
    dataset = trajectories.read(_DATA.value, info)
    obs, action, _ = trajectories.rows(dataset.episodes, networks.spaces.action)
    steps, everything = bc_learner.num_minibatches(config, len(obs)), np.ones((1, len(obs)))
    weight = np.repeat(everything, _MEMBERS.value, 0).astype(np.float32)

    def fit(compiles: bool) -> tuple[float, float]:
        """Seconds of the whole call, and of the epochs after the first."""
        start = time.perf_counter()
        data, hyper = bc_learner.rows_on_device(obs, action), fitter.hyper(_EPOCHS.value)
        if compiles:
            fitter.prepare(data, weight, steps, False)
        state, epochs = fitter.init(data, weight), fitter.epochs(steps, False)
        one = fitter.each(1)
        for i in range(_EPOCHS.value):
            state, _, _ = epochs(state, data, weight, np.zeros_like(weight), hyper, one)
            if i == 0:
                jax.block_until_ready(state)
                first = time.perf_counter()
        fit.state = jax.device_get(state)  # type: ignore[attr-defined]
        return time.perf_counter() - start, time.perf_counter() - first

    fitter = bc_learner.Fitter(config, networks, seeding.STAGE_BC)
    whole, _unused = fit(compiles=True)
    again, rest = fit(compiles=False)
    policy = jax.tree.map(lambda x: x[0], fit.state.policy)  # type: ignore[attr-defined]
    episodes = play_episodes(
        info, LoadedPolicy(networks, policy), evaluation.test_seeds(config), 16
    )
    samples = len(obs) * _EPOCHS.value * _MEMBERS.value
    print(
        json.dumps(
            {
                "library": "jaxmaze",
                "platform": jax.default_backend(),
                "samples": samples,
                "call_seconds": whole,
                "seconds": again,
                "samples_per_second": samples * (_EPOCHS.value - 1) / _EPOCHS.value / rest,
                "mean_return": float(np.mean([e.episode_return for e in episodes])),
                "data": Path(_DATA.value).name,
            }
        )
    )


if __name__ == "__main__":
    app.run(main)
