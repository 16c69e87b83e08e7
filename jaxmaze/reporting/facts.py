"""What a run's folder says, read once; nothing of it is trusted to be whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmaze.config import FIELDS
from jaxmaze.core.types import JsonMap
from jaxmaze.core.words import counted
from jaxmaze.errors import UserError
from jaxmaze.reporting.blocks import Chart, Table
from jaxmaze.reporting.charts import Axes, Line, chart, number
from jaxmaze.runs import history, intervals, metrics, outcomes, palette, report, run_folder, who

RETURN = "rollout_stats/reward/mean"


class Facts(NamedTuple):
    """What a run's folder says.

    Attributes:
      run: the folder.
      about: config.json.
      summary: summary.json; empty if the run is not finished.
      lines: metrics.jsonl.
      history: of its starts.
    """

    run: Path
    about: JsonMap
    summary: JsonMap
    lines: Sequence[JsonMap]
    history: Sequence[JsonMap]

    @property
    def kind(self) -> str:
        """What kind of run it is."""
        return str(self.about["kind"])

    @property
    def members(self) -> Sequence[JsonMap]:
        """The summary's block of each seed."""
        return self.summary.get("members", ())

    def setting(self, name: str) -> object:
        """The value of a field, by dotted name; its default if the run does not have it."""
        found: object = self.about.get("config", {})
        for part in name.split("."):
            if not isinstance(found, Mapping) or part not in found:
                return FIELDS[name].default
            found = found[part]
        return found

    def returns(self, policy: str = outcomes.BEST) -> np.ndarray | None:
        """Returns ``[M, E]`` in the episodes that a finished run reports; None without any."""
        try:
            return outcomes.read_episodes(self.run, policy).returns if self.summary else None
        except UserError:
            return None


def read(run: Path) -> Facts:
    """Read a run's folder.

    Raises:
      UserError: if it is not one.
    """
    about = run_folder.read_config(run)
    summary = run_folder.summary(run) if run_folder.finished(run) else {}
    return Facts(run, about, summary, metrics.read(run), history.read(run))


def series(facts: Facts, split: str, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps ``[P]`` and each member's values ``[M, P]`` of a metric; None if it was not logged."""
    found = [x for x in facts.lines if x["split"] == split and name in x]
    rows = [x.get("members", {}).get(name, [x[name]]) for x in found]
    count = max(map(len, rows), default=0)
    if not count:
        return None
    values = [
        row if len(row) == count else [x[name]] * count for row, x in zip(rows, found, strict=True)
    ]
    return np.array([x["step"] for x in found], float), np.array(values, float).T


def mean_of(values: np.ndarray) -> np.ndarray:
    """The mean over members ``[P]`` of ``[M, P]``, NaN where none has a value."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def curve(
    runs: Mapping[str, Facts], split: str, name: str, title: str, axes: Axes, note: str = ""
) -> Chart | None:
    """A metric of one or several runs: a line each, and thin ones for their seeds."""
    lines = []
    # Of one run alone there is nobody to be told from.
    whos = [who.of(f.about) for f in runs.values()] if len(runs) > 1 else list(runs)
    places = palette.numbers(whos)
    for (run, facts), place in zip(runs.items(), places, strict=True):
        found = series(facts, split, name)
        if found is not None:
            x, each = found
            thin = each if len(each) > 1 else None
            lines.append(Line(run, x, mean_of(each), each=thin, colour=place))
    return chart(title, lines, axes, note)


def evaluations(facts: Facts, unit: str) -> Chart | None:
    """Returns of the evaluations during training, with intervals over seeds or a line for each."""
    found = series(facts, "eval", RETURN)
    if found is None or len(found[0]) < 2:
        return None
    x, each = found
    at = [intervals.estimate(values[np.isfinite(values)]) for values in each.T]
    middle, low, high = (np.array([e[i] for e in at]) for i in range(3))
    count = next((len(line["returns"][0]) for line in facts.lines if line.get("returns")), None)
    played = (
        "" if count is None else f", {counted(count, 'episode')} each that serve for choosing alone"
    )
    if len(each) < report.FEW_SEEDS:
        line = Line("mean over seeds", x, middle, each=each if len(each) > 1 else None)
        note = (
            f"Thin lines: the {len(each)} seeds{played}." if len(each) > 1 else f"One seed{played}."
        )
    else:
        line = Line("IQM over seeds", x, middle, low, high)
        note = f"Interquartile mean over {len(each)} seeds; band: 95 % interval{played}."
    levels = [("at the start", float(middle[0]))] if x[0] == 0 else []
    axes = Axes(unit, "return", levels)
    return chart("Return during training", [line], axes, note, wide=True)


def spread(block: JsonMap | None) -> str:
    """Mean and standard deviation of an evaluation; of the mean, the digits that the spread has."""
    if not block:
        return "-"
    return f"{fitting(block['mean'], block['std'])} ± {number(block['std'])}"


def fitting(x: float, spread: float) -> str:
    """A number with no more digits than one of the size of its spread has."""
    if 0 < spread < math.inf and math.isfinite(x):
        x = round(x, max(0, 2 - math.floor(math.log10(spread)))) + 0.0  # not -0
    return number(x)


def estimate(returns: np.ndarray | None) -> str:
    """The interquartile mean over seeds with its interval."""
    if returns is None:
        return ""
    found = intervals.estimate(returns)
    return f"IQM {number(found.value)} [{number(found.low)}, {number(found.high)}]"


def seeds_table(facts: Facts, dips: np.ndarray | None = None) -> Table | None:
    """One row per seed."""
    members = facts.members
    if not members or "evaluation" not in members[0]:
        return None
    chosen = next(
        (k for k in ("env_steps", "labels", "epoch") if k in members[0].get("selection", {})), ""
    )
    columns = {
        "return: mean ± std": lambda m: spread(m["evaluation"]),
        "median": lambda m: number(m["evaluation"]["median"]),
        "min": lambda m: number(m["evaluation"]["min"]),
        "max": lambda m: number(m["evaluation"]["max"]),
        "steps an episode": lambda m: number(m["evaluation"]["mean_step_count"]),
    }
    if "last" in members[0]:
        columns["at the end"] = lambda m: spread(m["last"])
    if "best_epoch" in members[0]:
        columns["best epoch"] = lambda m: f"{m['best_epoch']:,}"
    if chosen:
        name = {
            "env_steps": "chosen at step",
            "labels": "chosen at label",
            "epoch": "chosen at epoch",
        }
        columns[name[chosen]] = lambda m: f"{m['selection'][chosen]:,}"
    rows = [(str(m["seed"]), *(cell(m) for cell in columns.values())) for m in members]
    header = ("seed", *columns)
    if dips is not None and len(dips) == len(rows):
        header = (*header, "dip")
        rows = [(*row, number(float(dip))) for row, dip in zip(rows, dips, strict=True)]
    count = members[0]["evaluation"]["episodes"]
    return Table("", header, rows, f"{counted(count, 'episode')} a seed, the same for all.")


def dips_of(facts: Facts) -> np.ndarray | None:
    """Each seed's largest drop below its first evaluation."""
    found = report.curve_of(facts.lines, np.zeros(0))
    return None if found is None else report.dips(found)
