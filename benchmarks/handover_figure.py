"""The figure of the handover's ablation: one column an environment.

    python benchmarks/handover_figure.py FOLDER FOLDER ... --output=docs/handover.png

Each folder holds the ``handover.json`` that ``benchmarks/handover.py`` wrote. Above, evaluation
returns on the way; below, what every variant gained on its clone, with a 95 % interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxmaze.runs import palette, run_folder, style

BLUE, ORANGE, GREEN, PURPLE, *_ = palette.COLOURS
CURVES = {"default": BLUE, "blind critic": PURPLE, "burn-in 5": GREEN, "from scratch": ORANGE}
SCRATCH = "from scratch"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    results = [run_folder.read_json(folder / "handover.json") for folder in args.folders]
    style.save(draw(results), args.output, table(results))
    print(args.output)


def draw(results: list[dict[str, Any]]) -> Figure:
    """Curves above, gains below."""
    rows = [n for n in results[0]["variants"] if n != SCRATCH]
    with style.styled():
        fig, grid = style.new(2, len(results), (max(4.6 * len(results), 6.5), 7.5))
        for i, result in enumerate(results):
            _curves(grid[0, i], result)
            _gains(grid[1, i], result, rows, i == 0)
        grid[0, 0].set_ylabel("evaluation return")
        seeds = " or ".join(str(n) for n in sorted({r["arguments"]["members"] for r in results}))
        style.caption(
            fig,
            f"Above: interquartile mean over {seeds} seeds, returns of the same episodes; dashed: "
            "the teacher's mean in them. From scratch begins far below. Below: what each variant "
            "gained on its clone at the end, on the same test episodes, with a 95 % interval over "
            "seeds and episodes.",
        )
    return fig


def _curves(axes: Axes, result: dict[str, Any]) -> None:
    variants = result["variants"]
    # From scratch begins far below; what the others do is what is to be seen.
    tuned = [v["curve"]["iqm"] for n, v in variants.items() if n != SCRATCH]
    low, high = min(map(min, tuned)), max(map(max, tuned))
    labels = []
    for name, colour in CURVES.items():
        if name in variants:
            curve = variants[name]["curve"]
            axes.plot(curve["env_steps"], curve["iqm"], color=colour)
            labels.append(style.Label(name, curve["iqm"][-1], colour))
    level = variants["default"]["curve"]["teacher"]  # on the curves' own episodes
    axes.axhline(level, color=palette.TEACHER, ls="--", lw=1.2)
    labels.append(style.Label("teacher", level, palette.TEACHER))
    axes.set_title(result["environment"])
    axes.set(xlabel="environment steps a seed", xlim=(0, curve["env_steps"][-1]))
    axes.set_ylim(low - 0.7 * (high - low), high + 0.3 * (high - low))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    style.name_lines(axes, labels)


def _gains(axes: Axes, result: dict[str, Any], rows: list[str], named: bool) -> None:
    for y, name in enumerate(rows):
        if name in result["variants"]:
            gain, colour = result["variants"][name]["gain_on_clone"], CURVES.get(name, "#555555")
            axes.plot([gain["iqm_low"], gain["iqm_high"]], [y, y], color=colour, lw=3, alpha=0.5)
            axes.plot(gain["iqm"], y, "o", color=colour)
    axes.axvline(0, color="black", ls=":", lw=1)
    axes.set_yticks(range(len(rows)), rows if named else [""] * len(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("gain in return on the clone")


def table(results: list[dict[str, Any]]) -> style.Table:
    """The gains, and the curves' last values."""
    rows = [
        (
            result["environment"],
            name,
            v["curve"]["iqm"][-1],
            *(v["gain_on_clone"][k] for k in ("iqm", "iqm_low", "iqm_high")),
        )
        for result in results
        for name, v in result["variants"].items()
        if "gain_on_clone" in v
    ]
    return style.Table(("environment", "variant", "last", "gain", "low", "high"), rows)


if __name__ == "__main__":
    main()
