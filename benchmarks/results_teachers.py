"""Teachers of medium skill: policies that jaxmaze trained itself, stopped at a stated return.

PPO from scratch with the library's defaults, but at a constant learning rate: a shorter run is then
the beginning of a longer one. Seeds train one after another, until one has the return at an
evaluation; that one is trained again up to there. The policy and 100 episodes of it are kept in the
user's cache for all benchmarks.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.results_envs import ROWS, Medium, Row
from jaxmaze import api
from jaxmaze.config import to_settings
from jaxmaze.config.sections.ppo import LONGEST_SEGMENT
from jaxmaze.core.types import Rollout
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.runs import console, metrics, run_folder, trajectories
from jaxmaze.stages import ppo

CACHE = Path(platformdirs.user_cache_dir("jaxmaze")) / "benchmarks" / "teachers"
SEED = 0
"""Of the teachers' training, and of their recorded episodes."""
EPISODES = 100
"""That are recorded of each teacher."""
ROOT = Path(__file__).resolve().parent.parent


def config_of(row: Row, **fields: Any) -> Any:
    """The library's defaults in a row's environment, with changed ``fields`` by dotted name."""
    own = {f"env.{k}": v for k, v in row.env.items()}
    own |= {f"network.{k}": v for k, v in row.network.items()}
    return api.override(api.make_config({}), own | fields)


def commit() -> str:
    """The commit of this checkout, with a plus if files differ from it."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return said.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def medium(row: Row) -> tuple[Path, Path]:
    """The folders of a medium teacher's run and of its recorded episodes, made if need be.

    Raises:
      UserError: if PPO does not get to the stated return.
    """
    assert isinstance(row.teacher, Medium)
    folder = CACHE / row.name
    run, recorded = folder / "run", folder / "recorded"
    if (folder / "teacher.json").exists():
        return run, recorded
    if not run_folder.finished(run):
        seed, steps = _search(row, row.teacher, folder / "search")
        api.fine_tune(_settings(row, row.teacher, steps, seed), None, run)
    config = config_of(row, **{"rollout.policy": str(run), "seed": SEED})
    if not run_folder.finished(recorded):
        shutil.rmtree(recorded, ignore_errors=True)
        api.record(config, recorded, n_episodes=EPISODES)
    info = environment.describe(environment.EnvConfig.of(to_settings(config).env))
    summary = run_folder.summary(run)
    if summary["evaluation"]["mean"] < row.teacher.level / 2:
        raise UserError(f"{row.name}: the teacher trained again is not what was found; see {run}")
    about = {
        "environment": row.env,
        "level": row.teacher.level,
        "seed": summary["members"][0]["seed"],
        "env_steps": summary["env_steps"],
        "returns": summary["evaluation"],
        "recorded": run_folder.summary(recorded)["evaluation"],
        "sha256": trajectories.read(recorded, info).sha256,
        "commit": commit(),
        "versions": run_folder.versions(),
    }
    run_folder.write_json(folder / "teacher.json", about)
    shutil.rmtree(folder / "search", ignore_errors=True)
    return run, recorded


def _settings(row: Row, teacher: Medium, steps: int, seed: int) -> Any:
    """PPO's settings; the last policy is taken, without a play-off."""
    return config_of(
        row,
        **{
            "stage": "ppo",
            "seed": seed,
            "members": 1,  # alone in both runs: other shapes would round otherwise
            "ppo.total_env_steps": steps,
            "ppo.num_steps": LONGEST_SEGMENT,  # the same in the search, whose budget is larger
            "ppo.learning_rate_schedule": "constant",
            "ppo.eval_every": teacher.every,
            "ppo.eval_episodes": 10,
            "ppo.playoff_episodes": 0,
        },
    )


class _FoundError(Exception):
    """Ends the search."""


def _search(row: Row, teacher: Medium, folder: Path) -> tuple[int, int]:
    """The first seed that has the return, and after how many steps."""
    for seed in range(SEED, SEED + teacher.seeds):
        own = folder / str(seed)

        def until_found(segment: Rollout, own: Path = own) -> Rollout:
            if _first(own, teacher.level) is not None:
                raise _FoundError
            return segment

        with contextlib.suppress(_FoundError):
            ppo.run(
                to_settings(_settings(row, teacher, teacher.longest, seed)), own, change=until_found
            )
        found = _first(own, teacher.level)
        if found is not None:
            steps, mean = found
            console.say(f"{row.name}: seed {seed} had {mean:.0f} after {steps:,} steps")
            return seed, steps
    raise UserError(
        f"{row.name}: no seed had {teacher.level:.0f} in {teacher.longest:,} steps; ask less"
    )


def _first(folder: Path, level: float) -> tuple[int, float] | None:
    """Steps and mean return at the first evaluation with a return, if there is one.

    The one before any training does not count.
    """
    for line in metrics.read(folder):
        if line["split"] == "eval" and "returns" in line and line["step"] > 0:
            mean = sum(line["returns"][0]) / len(line["returns"][0])
            if mean >= level:
                return int(line["step"]), mean
    return None


def make_all(names: list[str]) -> None:
    """Train and record the medium teachers of these rows."""
    for name in names:
        if isinstance(ROWS[name].teacher, Medium):
            run, _ = medium(ROWS[name])
            about = json.loads((run.parent / "teacher.json").read_text())
            console.say(f"{name}: teacher {about['returns']['mean']:.1f} in {run.parent}")
