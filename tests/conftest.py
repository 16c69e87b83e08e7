"""Shared by all tests: a quiet process and small, quick configurations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "lunar_lander.py"

os.environ.setdefault("MPLBACKEND", "Agg")

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
    """Run ``python -m ...`` as a user would and keep what it prints."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, args)],
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


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
