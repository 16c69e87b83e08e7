"""Clones of Stable-Baselines3's experts, from what Minari's collector recorded of them.

    python benchmarks/experts.py [--envs=CartPole-v1,Pendulum-v1] [--members=5] [--out=FILE]

The expert is trained and recorded in a venv of its own (``peers/expert.py``); jaxmaze clones the
Minari data set as it lies there. Scores are normalised: 0 is a random policy, 1 the expert, both on
100 episodes; the clones on 100 test episodes each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from sidebyside import PEERS, VENVS, last_json, peer_python, report

ENVS = ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "Hopper-v5")


def expert(env: str, episodes: int) -> tuple[Path, dict]:
    """The data set of an expert, recorded once, and its figures."""
    folder = VENVS / "recorded" / f"{env}-{episodes}"
    figures = folder / "expert.json"
    if not figures.exists():
        command = [peer_python("experts"), str(PEERS / "expert.py"), f"--env={env}"]
        found = last_json([*command, f"--episodes={episodes}", f"--out={folder}"])
        figures.write_text(json.dumps(found))
    name = env.split("-")[0].lower()
    return folder / "minari" / name / "expert-v0", json.loads(figures.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", default=",".join(ENVS))
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    import jaxmaze
    from jaxmaze import cli

    cli.prepare()
    rows = []
    for env in args.envs.split(","):
        data, about = expert(env, args.episodes)
        config = {
            "env": {"id": env},
            "members": args.members,
            "evaluation": {"episodes": 100},
            "bc": {"eval_every": 0},
        }
        with tempfile.TemporaryDirectory() as folder:
            clone = jaxmaze.clone(config, data, Path(folder) / "clone").summary
        span = about["expert"] - about["random"]
        each = [m["evaluation"]["mean"] for m in clone["members"]]
        scores = [(mean - about["random"]) / span for mean in each]
        rows.append(
            [
                env,
                about["algorithm"],
                f"{about['random']:.1f}",
                f"{about['expert']:.1f}",
                f"{sum(each) / len(each):.1f}",
                f"{sum(scores) / len(scores):.3f}",
                f"{min(scores):.3f}",
                f"{max(scores):.3f}",
            ]
        )
        print(*rows[-1], flush=True)
    figures = ("random", "expert's return", "clone's", "score", "worst seed", "best seed")
    header = ["environment", "expert", *figures]
    report(f"Clones of {args.episodes} recorded episodes", header, rows, args.out)


if __name__ == "__main__":
    main()
