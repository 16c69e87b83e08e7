"""Whether two commits compute the same, to the bit: for changes that must change nothing.

    python tests/same_bits.py OLD [--new=COMMIT] [--only=guide,dagger]

Both run the same short jobs through the public API, one after the other on this machine (XLA's bits
differ between machines): parameters and statistics of every member, metrics, episodes, audits and
summaries are compared, times left out. ``--new`` is the working tree if it is not given.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SMALL = {
    "members": 2,
    "rollout.n_episodes": 6,
    "env.max_episode_steps": 200,
    "network.hidden_sizes": (16, 16),
    "bc.num_epochs": 4,
    "bc.eval_every": 2,
    "bc.eval_episodes": 2,
    "dagger.rounds": 3,
    "dagger.n_episodes": 2,
    "dagger.eval_episodes": 2,
    "dagger.playoff_episodes": 4,
    "ppo.num_envs": 8,
    "ppo.num_steps": 64,
    "ppo.batch_size": 32,
    "ppo.num_epochs": 2,
    "ppo.total_env_steps": 8 * 64 * 12,
    "ppo.critic_burn_in": 2,
    "ppo.critic_fit_epochs": 2,
    "ppo.eval_every": 3,
    "ppo.eval_episodes": 2,
    "ppo.playoff_episodes": 4,
    "evaluation.episodes": 5,
}
LANDER, CONTINUOUS = "configs/lunar_lander.py", "configs/lunar_lander_continuous.py"


def jobs(jaxmaze: Any, folder: Path) -> dict[str, Callable[[], Any]]:
    """The jobs by name; each writes into a folder of its own, and some start from others'."""

    def train(recipe: str, into: str, **fields: Any) -> Callable[[], Any]:
        changed = SMALL | {name.replace("__", "."): value for name, value in fields.items()}
        return lambda: jaxmaze.train(jaxmaze.load_config(recipe, changed), folder / into)

    def started(base: str, into: str, **fields: Any) -> Callable[[], Any]:
        return train(base, into, ppo__init_from=str(folder / "continuous" / "bc"), **fields)

    held = {"ppo__anchor_coef": 0.1, "ppo__anchor_target_kl": 0.02, "ppo__cloning_coef": 0.1}
    return {
        "workflow": train(LANDER, "workflow"),
        "guide": train(f"{LANDER}:guide", "guide", ppo__batch_size=64),
        "dagger": train(f"{LANDER}:dagger", "dagger"),
        "after_dagger": train(
            f"{LANDER}:ppo", "after_dagger", ppo__init_from=str(folder / "dagger"), **held
        ),
        "continuous": train(CONTINUOUS, "continuous", bc__best_by="return", bc__patience=1),
        "anchored": started(f"{CONTINUOUS}:ppo", "anchored", ppo__exploration="calibrated", **held),
        "sampled": started(
            f"{CONTINUOUS}:ppo",
            "sampled",
            evaluation__deterministic=False,
            ppo__overlap=True,
            ppo__target_kl=0.01,
            ppo__learning_rate_schedule="constant",
        ),
        "sweep": train(f"{LANDER}:ppo", "sweep", sweep__learning_rate=(1e-3, 1e-4)),
        "clones": train(
            f"{LANDER}:bc",
            "clones",
            bc__data=str(folder / "workflow" / "rollout"),
            sweep__entropy_coef=(0.0, 0.01),
        ),
        "workers_0": train(f"{LANDER}:ppo", "workers_0", env__workers=0, members=1),
        "workers_1": train(f"{LANDER}:ppo", "workers_1", env__workers=1, members=1),
        "workers_2": train(f"{LANDER}:ppo", "workers_2", env__workers=2, members=1),
    }


TIMES = ("wall_seconds", "timing", "wall_time", "time", "seconds", "steps_per_second")
"""Fields that differ between two runs of the same code."""
PLACES = (
    "origin",
    "sha256",
    "workdir",
    "data",
    "init_from",
    "teacher",
    "run",
    "folder",
    "path",
    "digest",
)
"""Fields that name folders or formats."""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        skipped = (*TIMES, *PLACES)
        return {k: _plain(v) for k, v in value.items() if not any(s in k for s in skipped)}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def digests(jaxmaze: Any, folder: Path) -> Iterator[tuple[str, str]]:
    """Names of what was computed below ``folder``, with digests."""
    import jax
    import numpy as np

    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name in ("metrics.jsonl", "episodes.jsonl"):
            lines = [_plain(json.loads(line)) for line in path.read_text().splitlines()]
            yield name, _sha(json.dumps(lines, sort_keys=True).encode())
        elif path.name == "summary.json":
            text = json.dumps(_plain(json.loads(path.read_text())), sort_keys=True)
            yield name, _sha(text.encode())
        elif path.name == "audit.npz":
            with np.load(path) as arrays:
                for key in sorted(set(arrays) - {"digest"}):
                    yield f"{name}:{key}", _sha(arrays[key].tobytes())
        elif path.name == "checkpoints" and path.is_dir():
            for member in range(
                len(json.loads((path.parent / "summary.json").read_text())["members"])
            ):
                policy = jaxmaze.load_policy(path.parent, member).policy
                # Whatever the parameters are called, and in whichever order.
                leaves = sorted(_sha(np.asarray(x).tobytes()) for x in jax.tree.leaves(policy))
                yield f"{name}:{member}", _sha("".join(leaves).encode())


def work(only: list[str]) -> None:
    """Run the jobs with the jaxmaze that is found; print digests by name."""
    import jaxmaze
    from jaxmaze import cli

    cli.prepare()
    found: dict[str, str] = {"jaxmaze": str(Path(jaxmaze.__file__).parent.parent)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, job in jobs(jaxmaze, folder).items():
            if only and name not in only:
                continue
            print(name, file=sys.stderr, flush=True)
            job()
        found |= dict(digests(jaxmaze, folder))
    print(json.dumps(found))


def compute(tree: Path, only: str) -> dict[str, str]:
    """What the jaxmaze in a tree computes."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--work", f"--only={only}"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"the jobs failed in {tree}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if Path(found.pop("jaxmaze")).resolve() != tree.resolve():
        raise SystemExit(f"another jaxmaze than the one in {tree} was found")
    return found


def computed_at(commit: str | None, only: str) -> dict[str, str]:
    """What a commit computes, in a worktree of its own; the working tree without one."""
    if commit is None:
        return compute(ROOT, only)
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(tree), commit], check=True)
        try:
            return compute(tree, only)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", nargs="?")
    parser.add_argument("--new")
    parser.add_argument("--only", default="", help="names of jobs, by commas")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return work([name for name in args.only.split(",") if name])
    if args.old is None:
        parser.error("give the commit to compare with")
    old, new = computed_at(args.old, args.only), computed_at(args.new, args.only)
    different = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    for name in different:
        print(f"differs: {name}")
    print(f"{len(old.keys() | new.keys()) - len(different)} equal, {len(different)} different")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
