"""PPO killed with SIGKILL goes on with the same result to the bit, and its logs are whole."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jaxmaze import api
from tests.conftest import CONFIG, ROOT, command, flags

OVERRIDES = {
    "members": 2,
    "env.max_episode_steps": 40,
    "network.hidden_sizes": (16, 16),
    "ppo.audit": "report",
    "ppo.critic_fit_epochs": 1,
    "ppo.num_envs": 4,
    "ppo.num_steps": 32,
    "ppo.batch_size": 32,
    "ppo.total_env_steps": 128 * 24,
    "ppo.critic_burn_in": 2,
    "ppo.eval_every": 3,
    "ppo.eval_episodes": 4,
    "ppo.playoff_episodes": 4,
    "evaluation.episodes": 3,
}


def scalars(folder):
    """All points of all tags, as TensorBoard reads them."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {t: [(e.step, e.value) for e in events.Scalars(t)] for t in events.Tags()["scalars"]}


def lines(folder):
    path = folder / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def arguments(cloned):
    return [
        "jaxmaze.train", f"--config={CONFIG}:ppo", f"--config.ppo.init_from={cloned.folder}",
        *flags(OVERRIDES),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = command(*arguments, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("at", [1, 25])
def test_killed_at_any_moment_it_goes_on_to_the_bit(arguments, whole, tmp_path, at):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments, f"--workdir={folder}"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(lines(folder)) < at and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)  # the workers too, as a machine that goes down would
    process.wait()
    assert len(lines(folder)) >= at and not (folder / "summary.json").exists()
    done = command("jaxmaze.train", f"--resume={folder}")
    assert done.returncode == 0, done.stderr
    assert lines(folder) == lines(whole)
    logged = scalars(folder)
    assert logged == scalars(whole)
    assert all(len({step for step, _ in points}) == len(points) for points in logged.values())
    for member in range(2):
        a, b = (api.load_policy(run, member).policy for run in (folder, whole))
        jax.tree.map(np.testing.assert_array_equal, a, b)
    ours, theirs = (json.loads((run / "summary.json").read_text()) for run in (folder, whole))
    assert ours["members"] == theirs["members"]
