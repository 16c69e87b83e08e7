"""The figure of the handover's ablation: one column an environment.

    python benchmarks/handover_figure.py FOLDER FOLDER ... --output=docs/handover.png

Each folder holds the ``handover.json`` that ``benchmarks/handover.py`` wrote. Above, evaluation
returns on the way; below, what every variant gained on its clone, with a 95 % interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxmaze.runs import report, run_folder

CURVES = {"default": "C0", "blind critic": "C3", "burn-in 5": "C2", "from scratch": "C1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    results = [run_folder.read_json(folder / "handover.json") for folder in args.folders]
    report.save(draw(results), args.output)
    print(args.output)


def draw(results: list[dict[str, Any]]) -> Figure:
    """Curves above, gains below."""
    fig = Figure(figsize=(4.2 * len(results), 7), layout="constrained")
    FigureCanvasAgg(fig)
    grid = fig.subplots(2, len(results), squeeze=False, height_ratios=(1, 1))
    rows = [n for n in results[0]["variants"] if n != "from scratch"]
    for i, result in enumerate(results):
        above, below = grid[0, i], grid[1, i]
        for name, colour in CURVES.items():
            if name in result["variants"]:
                curve = result["variants"][name]["curve"]
                steps = [s / 1000 for s in curve["env_steps"]]
                above.plot(steps, curve["iqm"], color=colour, label=name)
        level = result["variants"]["default"]["curve"]["teacher"]  # on the curves' own episodes
        above.axhline(level, color="black", ls="--", lw=1, label="teacher")
        members = result["arguments"]["members"]
        above.set(title=f"{result['environment']}, {members} seeds", xlabel="1000 env steps a seed")
        above.set_xlim(left=0)
        # From scratch begins far below; what the others do is what is to be seen.
        tuned = [v["curve"]["iqm"] for n, v in result["variants"].items() if n != "from scratch"]
        low, high = min(map(min, tuned)), max(map(max, tuned))
        above.set_ylim(low - 0.7 * (high - low), high + 0.3 * (high - low))
        for y, name in enumerate(rows):
            if name not in result["variants"]:
                continue
            t = result["variants"][name]
            colour = CURVES.get(name, "C7")
            gain = t["gain_on_clone"]
            below.plot([gain["iqm_low"], gain["iqm_high"]], [y, y], color=colour, lw=3, alpha=0.5)
            below.plot(gain["iqm"], y, "o", color=colour)
        below.axvline(0, color="grey", ls=":", lw=1)
        below.set_yticks(range(len(rows)), rows if i == 0 else [""] * len(rows))
        below.set_ylim(len(rows) - 0.5, -0.5)
        below.set_xlabel("gain on the clone, 95 %")
        for axes in (above, below):
            axes.grid(alpha=0.3)
    grid[0, 0].set_ylabel("evaluation return, IQM")
    grid[0, 0].legend(loc="lower right", fontsize=8)
    return fig


if __name__ == "__main__":
    main()
