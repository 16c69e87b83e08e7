"""Few episodes, and bad teachers: what fine-tuning makes of their clones, on LunarLander.

    python benchmarks/weak_teachers.py --workdir=outputs/weak [--only=few,bad] [--seed=80000]
        [--draws=10] [--draw_members=5] [--members=10] [--set=FIELD=VALUE ...]

``few``: the controller is recorded for 3 episodes, in several draws; each draw is cloned with some
seeds and each clone is fine-tuned. ``bad``: teachers that act at random in a share of their steps,
or fail in half of their episodes; their labels are what they do. PPO from scratch trains with the
same seeds for the same steps. All settings but the budget are the library's defaults, and all play
the same test episodes. What is finished is skipped, and what was interrupted goes on. Prints
tables, and writes ``weak.json`` with machine and versions.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
for _path in (str(ROOT), str(ROOT / "benchmarks")):
    if _path not in sys.path:
        sys.path.insert(0, _path)

import sidebyside  # noqa: E402

from jaxmaze import api, cli  # noqa: E402
from jaxmaze.config import to_settings  # noqa: E402
from jaxmaze.runs import console, intervals, outcomes, report, run_folder  # noqa: E402
from jaxmaze.stages import compare, ppo, rollout  # noqa: E402
from jaxmaze.teachers import heuristic  # noqa: E402
from jaxmaze.training import evaluation  # noqa: E402

HERE = "benchmarks.weak_teachers"
STEPS = 300_000
EPISODES = 3
"""Of a draw."""
RECORDED = 100
"""Episodes of a bad teacher."""


class Noisy:
    """The controller, but a share of its actions are drawn at random."""

    share = 0.3

    def reset(self, seed: int) -> None:
        """Draw other actions in each episode."""
        self.draws = np.random.default_rng(seed)

    def act(self, obs: np.ndarray) -> int:
        """An action from what LunarLander shows ``[8]``."""
        if self.draws.random() < self.share:
            return int(self.draws.integers(4))
        return int(heuristic.lunar_lander(obs[None], False)[0])


class VeryNoisy(Noisy):
    """More of them."""

    share = 0.6


class Fails:
    """The controller, but in half of the episodes it does nothing at all."""

    def reset(self, seed: int) -> None:
        """Draw whether it fails."""
        self.fails = bool(np.random.default_rng(seed).random() < 0.5)

    def act(self, obs: np.ndarray) -> int:
        """An action from what LunarLander shows ``[8]``."""
        return 0 if self.fails else int(heuristic.lunar_lander(obs[None], False)[0])


BAD = {
    "random in 30 % of steps": f"{HERE}:Noisy",
    "random in 60 % of steps": f"{HERE}:VeryNoisy",
    "fails half of the episodes": f"{HERE}:Fails",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--only", default="few,bad")
    parser.add_argument("--seed", type=int, default=80_000)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--draw_members", type=int, default=5)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE for all")
    args = parser.parse_args()
    cli.prepare()
    parts = {"few": few, "bad": bad}
    names = args.only.split(",")
    unknown = [name for name in names if name not in parts]
    if unknown:
        print(f"error: there is no part {unknown[0]!r}; there are {', '.join(parts)}")
        return 2
    for name in names:
        found = parts[name](args, args.workdir / name)
        run_folder.write_json(
            args.workdir / f"{name}.json",
            found
            | {
                "machine": sidebyside.machine(),
                "versions": run_folder.versions(),
                "arguments": json.loads(json.dumps(vars(args), default=str)),
            },
        )
    return 0


def configured(args: argparse.Namespace, members: int) -> Any:
    """The defaults on LunarLander, with ``--set``, for so many seeds."""
    config = api.make_config({"env": {"id": "LunarLander-v3"}})
    return api.override(
        config,
        {"seed": args.seed, "members": members}
        | {"ppo.total_env_steps": STEPS, "ppo.eval_every": 12}
        | sidebyside.settings(args.set),
    )


def cloned(config: Any, folder: Path, policy: str, episodes: int, draw: int) -> Path:
    """Record a teacher and clone it; the clone's folder."""
    recorded = api.override(config, {"seed": draw, "rollout.policy": policy})
    api.record(recorded, folder / "teacher", n_episodes=episodes)
    return api.clone(config, folder / "teacher", folder / "clone").folder


def tuned(config: Any, clones: dict[str, Path | None], folder: Path) -> dict[str, Path]:
    """Fine-tune clones (from scratch for None) as members of one program; their folders."""
    arms = {}
    for name, clone in clones.items():
        origin = None if clone is None else str(clone.resolve())
        own = api.override(config, {"stage": "ppo", "ppo.init_from": origin})
        arms[name] = (to_settings(own), folder / name.replace(" ", "_").replace("_%", ""))
    ppo.run_arms(arms)
    return {name: at for name, (_, at) in arms.items()}


def few(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Draws of 3 episodes: the clones of each, fine-tuned."""
    config = configured(args, args.draw_members)
    clones: dict[str, Path | None] = {}
    for i in range(args.draws):
        own = folder / f"draw_{i}"
        clones[f"draw {i}"] = cloned(config, own, "heuristic", EPISODES, args.seed + 1000 + i)
    folders = tuned(config, clones | {"scratch": None}, folder / "ppo")
    rows, ends, starts = [], [], []
    for name, clone in clones.items():
        end, start = (outcomes.read_episodes(x).returns for x in (folders[name], clone))
        ends.append(end)
        starts.append(start)
        taught = _recorded(folder / name.replace(" ", "_"))
        rows.append((name, taught, start.mean(), end.mean(), end.mean(1).min()))
    scratch = outcomes.read_episodes(folders["scratch"]).returns
    console.table(
        f"{EPISODES} episodes, {args.draws} draws x {args.draw_members} seeds, {STEPS:,} steps",
        ("draw", "recorded", "clones", "fine-tuned", "worst seed"),
        [(row[0], *(f"{x:.1f}" for x in row[1:])) for row in rows],
    )
    every = np.concatenate(ends)
    # Draws are what varies beside episodes, so the interval is over them.
    by_draw = intervals.estimate(np.stack([x.mean(0) for x in ends]))
    found = {
        "draws": [
            dict(zip(("draw", "recorded", "clones", "tuned", "worst"), row, strict=True))
            for row in rows
        ],
        "clones": report.block(intervals.estimate(np.stack([x.mean(0) for x in starts]))),
        "tuned": report.block(by_draw),
        "tuned_iqm_of_seeds": float(intervals.iqm(every.mean(1))),
        "worst_draw": float(min(x.mean() for x in ends)),
        "worst_seed": float(every.mean(1).min()),
        "scratch": report.block(intervals.estimate(scratch)),
        # Over seeds: the mean of the draws, less PPO from scratch with the same seed.
        "less_scratch": report.block(intervals.estimate(np.mean(ends, 0) - scratch)),
    }
    console.say(
        f"fine-tuned: IQM over draws {report.span(found['tuned'])}, over all seeds "
        f"{found['tuned_iqm_of_seeds']:.1f}; worst draw {found['worst_draw']:.1f}, worst seed "
        f"{found['worst_seed']:.1f}; clones {report.span(found['clones'])}; from scratch "
        f"{report.span(found['scratch'])}, less that {report.span(found['less_scratch'])}"
    )
    return found


def _recorded(folder: Path) -> float:
    """Mean return of the recorded episodes."""
    return float(run_folder.summary(folder / "teacher")["evaluation"]["mean"])


def bad(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Bad teachers: their clones, fine-tuned, and from scratch."""
    config = configured(args, args.members)
    clones: dict[str, Path | None] = {}
    levels = {}
    for i, (name, policy) in enumerate(BAD.items()):
        clones[name] = cloned(config, folder / str(i), policy, RECORDED, args.seed + 2000 + i)
        judged = api.override(config, {"rollout.policy": policy})
        seeds = evaluation.test_seeds(judged)
        levels[name] = rollout.run(judged, folder / f"{i}/judged", seeds=seeds)["evaluation"]
    folders = tuned(config, clones | {"scratch": None}, folder / "ppo")
    scratch = outcomes.read_episodes(folders["scratch"]).returns
    found: dict[str, Any] = {"scratch": report.block(intervals.estimate(scratch)), "teachers": {}}
    for name, clone in clones.items():
        end, start = (outcomes.read_episodes(x).returns for x in (folders[name], clone))
        dips = report.dips(compare.load(folders[name]).curve)
        found["teachers"][name] = {
            "teacher": levels[name]["mean"],
            "clone": report.block(intervals.estimate(start)),
            "tuned": report.block(intervals.estimate(end)),
            "worst": float(end.mean(1).min()),
            "less_scratch": report.block(intervals.estimate(end - scratch)),
            "dips": None if dips is None else dips.tolist(),
        }
    console.table(
        f"{args.members} seeds, {STEPS:,} steps; from scratch {report.span(found['scratch'])}",
        ("teacher", "its return", "clone", "fine-tuned", "worst seed", "less from scratch"),
        [
            (
                name,
                f"{x['teacher']:.1f}",
                *(report.span(x[k]) for k in ("clone", "tuned")),
                f"{x['worst']:.1f}",
                report.span(x["less_scratch"]),
            )
            for name, x in found["teachers"].items()
        ],
    )
    return found


if __name__ == "__main__":
    sys.exit(sidebyside.exit_code(main))
