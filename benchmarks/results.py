"""The results page: many environments, one set of defaults, ten seeds, 300 paired test episodes.

    python benchmarks/results.py --workdir=outputs/results [--only=CartPole,LunarLander]
        [--members=10] [--seed=70000] [--set=FIELD=VALUE ...] [--peers] [--no_dagger]
    python benchmarks/results.py --workdir=outputs/results --page    # docs/results of what is done
    python benchmarks/results.py --workdir=outputs/results --list    # rows, and how far each is
    python benchmarks/results.py --teachers                          # the medium teachers alone

Each environment is a row (``results_envs.py``) with a folder of its own: the teacher is recorded
and judged, cloned, asked in DAgger, and PPO trains from the clone and from scratch, all members of
both as one program. A stage that is finished is skipped, an interrupted one goes on when the same
command is given again. A row that fails is told in one line and does not stop the others; the exit
code is then 1. The page is written anew after each row.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
for _path in (str(ROOT), str(ROOT / "benchmarks")):
    if _path not in sys.path:
        sys.path.insert(0, _path)

import sidebyside  # noqa: E402

from benchmarks import results_page, results_peers, results_teachers  # noqa: E402
from benchmarks.results_envs import ROWS, Medium, Row  # noqa: E402
from benchmarks.results_figures import figures  # noqa: E402
from jaxmaze import api, cli  # noqa: E402
from jaxmaze.config import to_settings  # noqa: E402
from jaxmaze.config.sections.ppo import segment_steps  # noqa: E402
from jaxmaze.errors import UserError  # noqa: E402
from jaxmaze.runs import console, run_folder  # noqa: E402
from jaxmaze.stages import ppo, rollout  # noqa: E402
from jaxmaze.training import evaluation  # noqa: E402

SEED = 70_000
"""Of the first member; no choice of a default has seen these seeds."""
EVALUATIONS = 12
"""On the way, at least: where the budget is small, the default's eight iterations between them
would leave a dip unseen."""
RANDOM_EPISODES = 100
STAGES = ("teacher", "judged", "random", "bc", "dagger", "ppo/pretrained", "ppo/from_scratch")
ROW = "row.json"


def main() -> int:
    args = _arguments()
    names = list(ROWS) if args.only is None else args.only.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"error: there is no row {unknown[0]!r}; there are {', '.join(ROWS)}")
        return 2
    if args.teachers:
        cli.prepare()
        results_teachers.make_all(names)
        return 0
    if args.workdir is None:
        print("error: --workdir is not given; say where the runs go, such as outputs/results")
        return 2
    sidebyside.settings(args.set)  # before hours are spent on rows
    workdir = args.workdir.resolve()
    if args.list:
        for name in names:
            print(f"{name:24}{_state(ROWS[name], workdir / name)}")
        return 0
    if not args.page:
        failed = _run_all(names, args, workdir)
    else:
        failed = []
        for name in names:
            _figures_anew(ROWS[name], workdir / name)
    for name, line in failed:
        print(f"{name} failed: {line}")
    results_page.write(workdir, args.docs)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--only", help="rows, comma-separated; all by default")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE for all rows")
    parser.add_argument("--no_dagger", action="store_true", help="leave DAgger out")
    parser.add_argument("--peers", action="store_true", help="imitation and SB3 too")
    parser.add_argument("--peer_seeds", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--list", action="store_true", help="only tell how far each row is")
    parser.add_argument("--teachers", action="store_true", help="only make the medium teachers")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "results")
    return parser.parse_args()


def _run_all(names: list[str], args: argparse.Namespace, workdir: Path) -> list[tuple[str, str]]:
    """Run rows, each in a process of its own if there are several; gives those that failed."""
    if len(names) == 1:
        cli.prepare()
        try:
            run_row(ROWS[names[0]], args, workdir / names[0])
        except UserError as error:
            return [(names[0], str(error))]
        return []
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        own = [x for x in sys.argv[1:] if not x.startswith("--only")]
        command = [sys.executable, sys.argv[0], *own, f"--only={name}"]
        done = subprocess.run(command, check=False)
        if done.returncode in (130, -2):
            raise KeyboardInterrupt
        if done.returncode:
            failed.append((name, f"exit code {done.returncode}, see above"))
    return failed


def configured(row: Row, args: argparse.Namespace, teacher: str) -> Any:
    """The library's defaults, with the row's environment, teacher and budget, and ``--set``."""
    config = results_teachers.config_of(
        row,
        **{
            "seed": args.seed,
            "members": args.members,
            "rollout.policy": teacher,
            "ppo.total_env_steps": row.budget,
        },
    )
    given = sidebyside.settings(args.set)
    config = api.override(config, given)
    section = to_settings(config).ppo
    iterations = section.total_env_steps // (section.num_envs * segment_steps(section))
    if "ppo.eval_every" in given:
        return config
    return api.override(
        config, {"ppo.eval_every": max(1, min(section.eval_every, iterations // EVALUATIONS))}
    )


def run_row(row: Row, args: argparse.Namespace, folder: Path) -> None:
    """All stages of a row; those that are finished are skipped.

    Raises:
      UserError: for a folder with other settings, or a teacher that cannot be made.
    """
    begun = time.perf_counter()
    if isinstance(row.teacher, Medium):
        teacher, data = results_teachers.medium(row)
        config = configured(row, args, str(teacher))
    else:
        data = folder / "teacher"
        config = configured(row, args, row.teacher)
        _say(row, f"record {config.rollout.n_episodes} episodes of the teacher")
        api.record(api.override(config, {"seed": results_teachers.SEED}), data)
    settings = to_settings(config)
    _say(row, "judge the teacher and a random policy")
    on_curve = evaluation.selection_seeds(settings, settings.ppo.eval_episodes)
    test = evaluation.test_seeds(settings)
    rollout.run(settings, folder / "judged", seeds=np.concatenate([test, on_curve]))
    blind = settings.replace("rollout", policy="random")
    rollout.run(blind, folder / "random", seeds=test[:RANDOM_EPISODES])
    _say(row, f"clone it, {args.members} members")
    clone = api.clone(config, data, folder / "bc")
    if row.dagger and not args.no_dagger:
        _say(row, f"DAgger, {args.members} members")
        api.dagger(config, folder / "dagger")
    _say(row, "PPO, from the clone and from scratch")
    tuned = api.override(config, {"stage": "ppo"})
    origin = {"ppo.init_from": str(clone.folder.resolve())}
    arms = {"pretrained": api.override(tuned, origin), "from_scratch": tuned}
    ppo.run_arms({arm: (to_settings(c), folder / "ppo" / arm) for arm, c in arms.items()})
    if args.peers and row.peer:
        _say(row, f"imitation and Stable-Baselines3, {args.peer_seeds} seeds")
        results_peers.run(row, settings, data, folder / "peers", args.peer_seeds)
    about = {
        "command": shlex.join(["python", "benchmarks/results.py", *_told(args)]),
        "commit": results_teachers.commit(),
        "machine": sidebyside.machine(),
        "versions": run_folder.versions(),
        "data": str(data),
        "seconds_of_this_start": time.perf_counter() - begun,
    }
    if (folder / ROW).exists():  # what was made before was made by that
        about = run_folder.read_json(folder / ROW)["about"]
    run_folder.write_json(folder / ROW, {"about": about})
    _figures_anew(row, folder)


def _told(args: argparse.Namespace) -> list[str]:
    """What of the command decides the results."""
    own = [f"--members={args.members}", f"--seed={args.seed}"]
    return [*own, *(f"--set={item}" for item in args.set)]


def _figures_anew(row: Row, folder: Path) -> None:
    """Compute a finished row's figures from its runs."""
    if (folder / ROW).exists() and (folder / "ppo").is_dir():
        about = run_folder.read_json(folder / ROW)["about"]
        run_folder.write_json(folder / ROW, {"about": about, **figures(row, folder, about["data"])})


def _say(row: Row, text: str) -> None:
    console.say(f"[{row.name}] {text}")


def _state(row: Row, folder: Path) -> str:
    """How far a row is."""
    if (folder / ROW).exists():
        peers = len(list((folder / "peers").glob("*.json")))
        return "finished" + (f", {peers} runs of peers" if peers else "")
    done = [stage for stage in STAGES if run_folder.finished(folder / stage)]
    begun = [stage for stage in STAGES if (folder / stage).exists() and stage not in done]
    if not done and not begun:
        return "not begun"
    return f"finished: {', '.join(done) or 'nothing'}; begun: {', '.join(begun) or 'nothing'}"


if __name__ == "__main__":
    try:
        sys.exit(sidebyside.exit_code(main))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on")
        sys.exit(130)
