"""Other libraries on the same data: imitation's clone, fine-tuned by Stable-Baselines3, and SB3
from scratch, with the settings of rl-baselines3-zoo and our steps; one process a seed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from sidebyside import PEERS, last_json, peer_python

from benchmarks.results_envs import Row
from jaxmaze.config import Settings
from jaxmaze.envs import environment
from jaxmaze.runs import console, run_folder, trajectories
from jaxmaze.training import evaluation


def run(row: Row, settings: Settings, data: Path, folder: Path, seeds: int) -> None:
    """Run the peers for seeds that have no result yet; a JSON file each.

    Args:
      row: the environment.
      settings: ours; the peers get our steps, and are judged on our test episodes.
      data: the folder of the teacher's recorded episodes.
      folder: where the results go.
      seeds: how many.
    """
    missing = [s for s in range(seeds) if not (folder / f"seed_{s}.json").exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    info = environment.describe(environment.EnvConfig.of(settings.env))
    episodes = trajectories.read(data, info).episodes
    with tempfile.TemporaryDirectory() as temporary:
        given = Path(temporary) / "given.npz"
        np.savez(
            given,
            obs=np.concatenate([e.observations[:-1] for e in episodes]),
            acts=np.concatenate([e.actions for e in episodes]),
            test_seeds=evaluation.test_seeds(settings),
        )
        for seed in missing:
            console.say(f"[{row.name}] peers, seed {seed}")
            command = [
                peer_python("imitation"),
                str(PEERS / "results.py"),
                f"--env={row.env['id']}",
                f"--kwargs={json.dumps(dict(row.env.get('kwargs', {})))}",
                f"--settings={row.name}",
                f"--given={given}",
                f"--env_steps={settings.ppo.total_env_steps}",
                f"--seed={seed}",
            ]
            run_folder.write_json(folder / f"seed_{seed}.json", last_json(command))
