"""Which environments work for what: each is recorded, cloned, asked, fine-tuned, resumed, exported.

    python benchmarks/environments.py [--only=Taxi,own] [--jobs=1] [--out=FILE.json]

Every cell is "ok", or the one line that jaxmaze stops with; anything else (a traceback, a hang) is
a bug and ends this with exit code 1. Budgets are tiny: this shows what runs, not what is learned.
MuJoCo's need ``pip install 'gymnasium[mujoco]'``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLUMNS = ("record", "clone", "dagger", "fine-tune", "resume", "export")
SMALL = {
    "env.max_episode_steps": 24,
    "rollout.n_episodes": 6,
    "rollout.num_envs": 4,
    "members": 1,
    "network.hidden_sizes": (16,),
    "bc.num_epochs": 3,
    "bc.eval_every": 3,
    "bc.eval_episodes": 2,
    "bc.batch_size": 16,
    "dagger.rounds": 2,
    "dagger.n_episodes": 2,
    "dagger.eval_episodes": 2,
    "dagger.playoff_episodes": 2,
    "ppo.num_envs": 4,
    "ppo.num_steps": 16,
    "ppo.batch_size": 32,
    "ppo.num_epochs": 1,
    "ppo.total_env_steps": 4 * 16 * 8,
    "ppo.critic_burn_in": 1,
    "ppo.eval_every": 1,
    "ppo.eval_episodes": 2,
    "ppo.playoff_episodes": 3,
    "env.workers": 0,
    "evaluation.episodes": 3,
}
OWN = '''
import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Own(gym.Env):
    """Pays for what resembles the first numbers of the state; of any spaces."""

    def __init__(self, obs=None, act=None, mask=False, **kwargs):
        self.observation_space = OBS[obs or "vector"]
        self.action_space = ACT[act or "discrete"]
        self.mask = mask

    def _seen(self):
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        info = {}
        if self.mask:
            allowed = self.np_random.integers(0, 2, self.action_space.n).astype(np.int8)
            allowed[0] = 1
            info["action_mask"] = allowed
        return self.observation_space.sample(), info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._seen()

    def step(self, action):
        assert self.action_space.contains(action), (self.action_space, action)
        self.t += 1
        obs, info = self._seen()
        return obs, float(self.np_random.random()), self.t >= 20, False, info


OBS = {
    "vector": spaces.Box(-1, 1, (3,), np.float32),
    "float64": spaces.Box(-1, 1, (2, 3), np.float64),
    "int": spaces.Box(0, 9, (4,), np.int64),
    "unbounded": spaces.Box(-np.inf, np.inf, (3,), np.float32),
    "discrete": spaces.Discrete(5, start=-2),
    "multidiscrete": spaces.MultiDiscrete([3, 4]),
    "multibinary": spaces.MultiBinary(6),
    "image": spaces.Box(0, 255, (48, 48, 3), np.uint8),
    "dict": spaces.Dict(
        camera=spaces.Box(0, 255, (48, 48, 3), np.uint8),
        speed=spaces.Box(-1, 1, (2,), np.float32),
        gear=spaces.Discrete(4),
    ),
    "tuple": spaces.Tuple((spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3))),
    "nested": spaces.Dict(a=spaces.Dict(b=spaces.MultiBinary(2), c=spaces.Discrete(3))),
    "text": spaces.Text(5),
}
ACT = {
    "discrete": spaces.Discrete(3),
    "start": spaces.Discrete(3, start=1),
    "box": spaces.Box(-2, 2, (2,), np.float32),
    "matrix": spaces.Box(-1, 1, (2, 2), np.float64),
    "half": spaces.Box(np.array([0, -1], np.float32), np.array([np.inf, 1], np.float32)),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
    "multidiscrete": spaces.MultiDiscrete([3, 2]),
    "multibinary": spaces.MultiBinary(3),
    "dict": spaces.Dict(move=spaces.Discrete(3), push=spaces.Box(-1, 1, (2,), np.float32)),
    "tuple": spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(2))),
    "sequence": spaces.Sequence(spaces.Discrete(2)),
}


class Doubled(gym.Wrapper):
    def __init__(self, env, factor=2.0):
        super().__init__(env)
        self.factor = factor

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, self.factor * reward, terminated, truncated, info


def make(**kwargs):
    return Own(**kwargs)


gym.register("Own-v0", "own_env:Own")
'''


def environments() -> dict[str, dict[str, Any]]:
    """Configurations by name; ``teacher`` is no field but who is recorded."""
    listed: dict[str, dict[str, Any]] = {}
    for name in (
        "CartPole-v1",
        "Acrobot-v1",
        "MountainCar-v0",
        "MountainCarContinuous-v0",
        "Pendulum-v1",
        "LunarLander-v3",
        "BipedalWalker-v3",
    ):
        listed[name] = {"env.id": name, "teacher": "heuristic"}
    listed["LunarLander-v3 continuous"] = listed["LunarLander-v3"] | {"env.kwargs.continuous": True}
    for name in (
        "BipedalWalkerHardcore-v3",
        "FrozenLake-v1",
        "FrozenLake8x8-v1",
        "CliffWalking-v1",
        "Blackjack-v1",
        "Taxi-v4",
        "Hopper-v5",
        "HalfCheetah-v5",
        "Walker2d-v5",
        "Ant-v5",
        "Humanoid-v5",
        "Swimmer-v5",
        "Reacher-v5",
        "Pusher-v5",
        "InvertedPendulum-v5",
        "InvertedDoublePendulum-v5",
    ):
        listed[name] = {"env.id": name}
    listed["Blackjack-v1"]["rollout.n_episodes"] = 60  # of a step or two each
    listed["CarRacing-v3"] = {"env.id": "CarRacing-v3"}
    listed["CarRacing-v3 discrete"] = {"env.id": "CarRacing-v3", "env.kwargs.continuous": False}
    listed["CarRacing-v3 grey 48x48 x4"] = {
        "env.id": "CarRacing-v3",
        "env.grayscale": True,
        "env.resize": (48, 48),
        "env.frame_stack": 4,
        "env.frame_skip": 2,
    }
    listed["own module"] = {"env.id": "own_env:Own-v0"}
    listed["own factory"] = {"env.make": "own_env:make"}
    listed["own callable"] = {"env.make": "callable"}
    listed["own lambda"] = {"env.make": "lambda"}
    listed["own wrapper"] = {
        "env.make": "own_env:make",
        "env.wrappers": (
            ("own_env:Doubled", {"factor": 3.0}),
            "gymnasium.wrappers:TimeAwareObservation",
        ),
    }
    listed["own reset options"] = {"env.make": "own_env:make", "env.reset_options": {"hard": True}}
    listed["own masks"] = {"env.make": "own_env:make", "env.kwargs.mask": True}
    for kind in (
        "float64",
        "int",
        "unbounded",
        "discrete",
        "multidiscrete",
        "multibinary",
        "image",
        "dict",
        "tuple",
        "nested",
        "text",
    ):
        listed[f"observations {kind}"] = {"env.make": "own_env:make", "env.kwargs.obs": kind}
    for kind in (
        "start",
        "box",
        "matrix",
        "half",
        "unbounded",
        "multidiscrete",
        "multibinary",
        "dict",
        "tuple",
        "sequence",
    ):
        listed[f"actions {kind}"] = {"env.make": "own_env:make", "env.kwargs.act": kind}
    listed["gru"] = {"env.id": "CartPole-v1", "teacher": "heuristic", "network.memory": "gru"}
    listed["gru image"] = {
        "env.make": "own_env:make",
        "env.kwargs.obs": "image",
        "network.memory": "gru",
    }
    return listed


def work(fields: dict[str, Any], folder: Path) -> dict[str, str]:
    """What becomes of one environment, cell by cell."""
    import jaxmaze
    from jaxmaze import cli

    cli.prepare()
    sys.path.insert(0, str(Path.cwd()))
    teacher = fields.pop("teacher", "random")
    if fields.get("env.make") in ("callable", "lambda"):
        import own_env

        fields["env.make"] = (
            own_env.make if fields["env.make"] == "callable" else lambda **_: own_env.Own()
        )
    found: dict[str, str] = {}

    def cell(name: str, job: Callable[[], Any]) -> None:
        try:
            job()
            found[name] = "ok"
        except jaxmaze.UserError as error:
            found[name] = f"line: {error}"

    nested: dict[str, Any] = {}
    for name, value in (SMALL | fields).items():
        inner = nested
        *path, leaf = name.split(".")
        for part in path:
            inner = inner.setdefault(part, {})
        inner[leaf] = value
    nested["rollout"]["policy"] = teacher
    try:
        config = jaxmaze.make_config(nested)
    except jaxmaze.UserError as error:
        return dict.fromkeys(COLUMNS, f"line: {error}")
    data, clone, tuned = folder / "data", folder / "clone", folder / "tuned"
    cell("record", lambda: jaxmaze.record(config, data))
    cell("clone", lambda: jaxmaze.clone(config, data, clone))
    cell("dagger", lambda: jaxmaze.dagger(config, folder / "dagger"))
    cell("fine-tune", lambda: jaxmaze.fine_tune(config, clone, tuned))

    def resume() -> None:
        """Take the end away and go on: the same policy, to the bit."""
        import jax
        import numpy as np

        again = folder / "again"
        shutil.copytree(tuned, again)
        (again / "summary.json").unlink()
        steps = sorted((again / "checkpoints").iterdir(), key=lambda p: int(p.name))
        shutil.rmtree(steps[-1])
        if callable(fields.get("env.make")):
            jaxmaze.train(
                jaxmaze.override(config, {"stage": "ppo", "ppo.init_from": str(clone)}), again
            )
        else:
            jaxmaze.resume(again, trust=True)
        policies = [jaxmaze.load_policy(run).policy for run in (tuned, again)]
        jax.tree.map(np.testing.assert_array_equal, *policies)

    if found.get("fine-tune") == "ok":
        cell("resume", resume)
    if found.get("clone") == "ok":
        cell("export", lambda: jaxmaze.export(clone, folder / "exported"))
    return {name: found.get(name, "-") for name in COLUMNS}


def judged(name: str, timeout: float) -> dict[str, str]:
    """The row of an environment, in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "own_env.py").write_text(OWN)
        command = [sys.executable, str(Path(__file__).resolve()), f"--work={name}"]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=os.environ | {"SDL_VIDEODRIVER": "dummy"},
            )
        except subprocess.TimeoutExpired:
            return dict.fromkeys(COLUMNS, "BUG: hangs")
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            error = (done.stderr.strip().splitlines() or ["?"])[-1]
            return dict.fromkeys(COLUMNS, f"BUG: {error}")
        return json.loads(lines[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="beginnings of names, between commas")
    parser.add_argument("--timeout", type=float, default=400.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    every = environments()
    if args.work:
        print(json.dumps(work(every[args.work], Path.cwd())))
        return
    from rich.console import Console
    from rich.table import Table

    wanted = tuple(x for x in args.only.split(",") if x)
    rows: dict[str, dict[str, str]] = {}
    for name in every:
        if wanted and not name.startswith(wanted):
            continue
        start = time.perf_counter()
        rows[name] = judged(name, args.timeout)
        seconds = time.perf_counter() - start
        print(f"{name}  {seconds:.0f} s  {json.dumps(rows[name])}", flush=True)
        if args.out is not None:
            args.out.write_text(json.dumps(rows, indent=1) + "\n")
    table = Table("environment", *COLUMNS)
    for name, row in rows.items():
        table.add_row(name, *(row[column].partition(":")[0] for column in COLUMNS))
    Console(width=140).print(table)
    bugs = [name for name, row in rows.items() if any(x.startswith("BUG") for x in row.values())]
    cells = [x for row in rows.values() for x in row.values()]
    print(f"{len(rows)} environments: {cells.count('ok')} of {len(cells)} cells work, bugs: {bugs}")
    sys.exit(1 if bugs else 0)


if __name__ == "__main__":
    main()
