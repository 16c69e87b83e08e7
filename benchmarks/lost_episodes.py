"""Which test episodes the policies of a finished run lose, how they end, and what that costs.

    python benchmarks/lost_episodes.py outputs/results/LunarLander/ppo/pretrained --below=200

A run has several seeds, and all play the same test episodes: so it is seen too whether the same
starts are lost by many, and how good the best seed is at each start. Film one of them with
``jaxmaze video RUN --member=M --seed=S``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
for _path in (str(ROOT), str(ROOT / "benchmarks")):
    if _path not in sys.path:
        sys.path.insert(0, _path)

import sidebyside  # noqa: E402

from benchmarks.results_page import table  # noqa: E402
from jaxmaze.runs import outcomes, run_folder  # noqa: E402

WORST = 10
"""Episodes that are listed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run's folder")
    parser.add_argument("--below", type=float, required=True, help="an episode is lost below it")
    args = parser.parse_args()
    played = outcomes.read_episodes(args.run)
    found = losses(played.returns, played.lengths, args.below)
    for what, x in found.items():
        print(f"{what}: {x:.4g}")
    print("\n" + worst(played, run_folder.summary(args.run)))
    return 0


def losses(returns: np.ndarray, lengths: np.ndarray, below: float) -> dict[str, float]:
    """What lost episodes cost, and what is left without them.

    Args:
      returns, lengths: ``[M, E]`` of the seeds' policies on the same episodes.
      below: an episode with less is lost.
    """
    lost = returns < below
    longest = lengths == lengths.max()
    of_start = lost.sum(0)
    kept = np.where(lost, np.nan, returns)
    return {
        "mean return": float(returns.mean()),
        "percent of episodes that are lost": float(100 * lost.mean()),
        "of these, percent as long as the longest": float(100 * longest[lost].mean())
        if lost.any()
        else 0.0,
        "mean return of the others": float(np.nanmean(kept)),
        "lost episodes of the seed that loses most": int(lost.sum(1).max()),
        "starts that are lost by a seed": int((of_start > 0).sum()),
        "seeds that lose the start that most lose": int(of_start.max()),
        "standard deviation over starts of the median seed's return": float(
            np.median(returns, axis=0).std()
        ),
        "mean over starts of the best seed's return there": float(returns.max(0).mean()),
    }


def worst(played: outcomes.Table, summary: dict[str, Any]) -> str:
    """The lowest returns, as a Markdown table."""
    returns, lengths = played.returns, played.lengths
    order = np.argsort(returns, axis=None)[:WORST]
    members = [entry["seed"] for entry in summary["members"]]
    lines = [
        (str(m), str(members[m]), str(played.seeds[e]), f"{returns[m, e]:.1f}", str(lengths[m, e]))
        for m, e in zip(*np.unravel_index(order, returns.shape), strict=True)
    ]
    return table(("member", "its seed", "the episode's seed", "return", "steps"), lines)


if __name__ == "__main__":
    sys.exit(sidebyside.exit_code(main))
