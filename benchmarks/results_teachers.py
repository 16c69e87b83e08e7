"""Teachers of medium skill: policies that jaxmaze trained itself, stopped at a stated return.

PPO from scratch with one seed and the library's defaults, but at a constant learning rate: a
shorter run is then the beginning of a longer one, to the bit. A run tells at which evaluation the
return was reached first, and is made once more up to there. The policy, and 100 episodes of it,
are kept in the user's cache for all benchmarks.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.results_envs import ROWS, Medium, Row
from jaxmaze import api
from jaxmaze.config import to_settings
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.runs import console, run_folder, trajectories

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
        steps = _reached(row, row.teacher, folder)
        shutil.rmtree(run, ignore_errors=True)
        api.fine_tune(_settings(row, row.teacher, steps), None, run)
    config = config_of(row, **{"rollout.policy": str(run), "seed": SEED})
    if not run_folder.finished(recorded):
        shutil.rmtree(recorded, ignore_errors=True)
        api.record(config, recorded, n_episodes=EPISODES)
    info = environment.describe(environment.EnvConfig.of(to_settings(config).env))
    summary = run_folder.summary(run)
    about = {
        "environment": row.env,
        "level": row.teacher.level,
        "env_steps": summary["env_steps"],
        "returns": summary["evaluation"],
        "recorded": run_folder.summary(recorded)["evaluation"],
        "sha256": trajectories.read(recorded, info).sha256,
        "commit": commit(),
        "versions": run_folder.versions(),
    }
    run_folder.write_json(folder / "teacher.json", about)
    for old in folder.glob("search-*"):
        shutil.rmtree(old)
    return run, recorded


def _settings(row: Row, teacher: Medium, steps: int) -> Any:
    """PPO's settings; the last policy is taken, without a play-off."""
    return config_of(
        row,
        **{
            "seed": SEED,
            "stage": "ppo",
            "ppo.total_env_steps": steps,
            "ppo.learning_rate_schedule": "constant",
            "ppo.eval_every": teacher.every,
            "ppo.eval_episodes": 10,
            "ppo.playoff_episodes": 0,
        },
    )


def _reached(row: Row, teacher: Medium, folder: Path) -> int:
    """Environment steps at the first evaluation that has the return."""
    best = float("-inf")
    for steps in teacher.budgets:
        tried = api.fine_tune(
            _settings(row, teacher, steps), None, folder / f"search-{steps}"
        ).metrics()
        curve = [
            (x["step"], sum(x["returns"][0]) / len(x["returns"][0]))
            for x in tried
            if x["split"] == "eval" and "returns" in x
        ]
        for step, mean in curve:
            if mean >= teacher.level:
                console.say(f"{row.name}: {mean:.0f} after {step:,} steps")
                return int(step)
        best = max(best, *(mean for _, mean in curve))
    raise UserError(
        f"{row.name}: PPO from scratch had {best:.0f} in {teacher.budgets[-1]:,} steps; ask for "
        f"less than {teacher.level:.0f}"
    )


def make_all(names: list[str]) -> None:
    """Train and record the medium teachers of these rows."""
    for name in names:
        if isinstance(ROWS[name].teacher, Medium):
            run, _ = medium(ROWS[name])
            about = json.loads((run.parent / "teacher.json").read_text())
            console.say(f"{name}: teacher {about['returns']['mean']:.1f} in {run.parent}")
