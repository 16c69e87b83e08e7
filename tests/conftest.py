"""Shared by all tests: a quiet process and small, quick configurations."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "lunar_lander.py"

os.environ.setdefault("MPLBACKEND", "Agg")
HERE = os.environ | {
    "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
}
"""Environment variables of a command that may be started in another folder."""

from jaxmaze import api, cli  # noqa: E402

cli.prepare()

SMALL = {
    "members": 2,
    "rollout.n_episodes": 6,
    "env.max_episode_steps": 200,
    "env.workers": 0,
    "network.hidden_sizes": (16, 16),
    "bc.num_epochs": 3,
    "bc.eval_every": 3,
    "bc.eval_episodes": 2,
    "dagger.rounds": 2,
    "dagger.n_episodes": 2,
    "dagger.eval_episodes": 2,
    "dagger.playoff_episodes": 2,
    "ppo.gamma": 0.999,
    "ppo.num_envs": 4,
    "ppo.num_steps": 32,
    "ppo.batch_size": 32,
    "ppo.num_epochs": 2,
    "ppo.total_env_steps": 768,
    "ppo.critic_burn_in": 2,
    "ppo.eval_every": 3,
    "ppo.eval_episodes": 2,
    "ppo.playoff_episodes": 3,
    "evaluation.episodes": 3,
}
"""Overrides that make every stage a matter of seconds."""


def flags(overrides: dict) -> list[str]:
    """Overrides as a command line has them."""
    return [f"--config.{name}={value}" for name, value in overrides.items()]


def command(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m ...`` as a user would, this very jaxmaze, and keep what it prints."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, args)],
        cwd=cwd or ROOT,
        env=HERE,
        capture_output=True,
        text=True,
        timeout=300,
    )


def lines(folder: Path) -> list[str]:
    """A run's metrics.jsonl, line by line."""
    path = folder / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def killed(
    arguments: list[str], folder: Path, count: int = 1, text: str = "", cwd: Path = ROOT
) -> None:
    """Let a command die of SIGKILL, workers and all, after ``count`` lines of its metrics.

    After the first with ``text``, if there is any; at that very moment, whatever the machine does.
    """
    died = subprocess.run(
        [sys.executable, "-m", "tests.dies", str(count), text, *arguments, f"--workdir={folder}"],
        cwd=cwd,
        env=HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        timeout=120,
    )
    assert died.returncode == -signal.SIGKILL and not (folder / "summary.json").exists()
    logged = lines(folder)
    assert len(logged) >= count and any(text in line for line in logged)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """All points of all tags, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {t: [(e.step, e.value) for e in events.Scalars(t)] for t in events.Tags()["scalars"]}


def goes_on_as(folder: Path, whole: Path, *more: str, cwd: Path = ROOT) -> dict:
    """Resume a killed run and check that it ends as an uninterrupted one; returns its summary."""
    done = command("jaxmaze.train", f"--resume={folder}", *more, cwd=cwd)
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
    return ours


@pytest.fixture(scope="session")
def small():
    """LunarLander with small budgets."""
    return api.load_config(CONFIG, SMALL)


@pytest.fixture(scope="session")
def recorded(small, tmp_path_factory):
    """A few recorded teacher episodes."""
    return api.record(small, tmp_path_factory.mktemp("recorded") / "run")


@pytest.fixture(scope="session")
def cloned(small, recorded, tmp_path_factory):
    """A bc run on them."""
    return api.clone(small, recorded, tmp_path_factory.mktemp("cloned") / "run")
