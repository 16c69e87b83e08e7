"""What is told of runs side by side: comparisons, workflows, sweeps and curves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jaxmaze.core.types import JsonMap
from jaxmaze.core.words import agree, counted
from jaxmaze.errors import UserError
from jaxmaze.reporting import facts as facts_lib
from jaxmaze.reporting import hashes
from jaxmaze.reporting.blocks import Section, Table, Tile
from jaxmaze.reporting.charts import Axes, Line, chart, number, true_minus
from jaxmaze.reporting.facts import Facts, evaluations, fitting, spread
from jaxmaze.reporting.handing import handover
from jaxmaze.reporting.story import Story, environment_of, seeds, some, tested
from jaxmaze.runs import curves, palette, report


def arm_lines(arms: Mapping[str, JsonMap]) -> list[Line]:
    """The evaluations of a comparison's arms; runs without steps of their own are levels."""
    longest = max(a["curve"]["env_steps"][-1] for a in arms.values())
    lines = []
    places = palette.numbers([arm.get("who", name) for name, arm in arms.items()])
    for (name, arm), place in zip(arms.items(), places, strict=True):
        c = arm["curve"]
        level = len(c["env_steps"]) == 1
        x = np.array([0, max(longest, 1)] if level else c["env_steps"], float)
        middle, low, high = (
            np.array(c[k] * (2 if level else 1), float) for k in ("iqm", "low", "high")
        )
        each = np.array([m * (2 if level else 1) for m in c["members"]], float)
        few = len(each) < report.FEW_SEEDS
        style = "dashed" if level or name.endswith("_lr0") else ""
        line = Line(name, x, middle, colour=place, style=style)
        if not few:
            line = line._replace(low=low, high=high)
        elif len(each) > 1:
            line = line._replace(each=each)
        lines.append(line)
    return lines


def _table(arms: Mapping[str, JsonMap], choosing: bool) -> Table:
    """The comparison's table, without columns that say nothing."""
    n = next(iter(arms.values()))["episodes"]
    note = f"{n} test {agree(n, 'episode', 'episodes')} a seed, which chose nothing."
    if choosing:
        note = f"{counted(n, 'episode')} a seed, which serve for choosing alone."
    rows = report.rows(arms)
    kept = [i for i in range(len(report.HEADER)) if any(row[i] != "-" for row in rows)]
    header = [report.HEADER[i] for i in kept]
    if report.HEADER[5] in header:
        note += " Dip: the largest drop below the start."
    if report.HEADER[6] in header:
        note += (
            " Steps to beat teacher: until the returns of all seeds are above the teacher's "
            "(95 % interval, twice in a row); in brackets, the first and the last seed alone."
        )
    return Table(
        "", header, [[row[0], *(true_minus(row[i]) for i in kept[1:])] for row in rows], note
    )


def _compared(arms: Mapping[str, JsonMap], choosing: bool = False) -> list[Section]:
    """The table and the curves of several runs."""
    first = next(iter(arms.values()))
    levels = report.teacher_levels(arms)
    one = ["teacher in these episodes"] if len(levels) == 1 else [who for _, who in levels]
    taught = [(who, level) for who, (level, _) in zip(one, levels, strict=True)]
    axes = Axes("environment steps a seed", "return", taught)
    trained = any(len(a["curve"]["env_steps"]) > 1 for a in arms.values())
    lines = arm_lines(arms) if trained else []  # else there are no steps to draw returns against
    few = len(first["curve"]["members"]) < report.FEW_SEEDS
    shown = "thin lines: each seed" if few else "band: 95 % interval"
    counts = sorted({a["curve"]["episodes"] for a in arms.values()})
    same = ", the same for all" if len(counts) == 1 else ""
    played = (
        f"{' or '.join(map(str, counts))} {agree(counts[-1], 'episode', 'episodes')} an "
        f"evaluation{same}"
    )
    note = f"IQM over seeds; {shown}. {played}."
    drawn = chart("Return during training", lines, axes, note, wide=True)
    near = [line for line in lines if line.name.startswith("pretrained")]
    close = (
        chart("Close up: what begins with the clone", near, axes)
        if len(near) < len(lines) and near
        else None
    )
    rows = [
        (
            name,
            str(m["seed"]),
            spread(m["evaluation"]),
            number(m["evaluation"]["min"]),
            number(m["evaluation"]["max"]),
            "-" if "last" not in m else spread(m["last"]),
        )
        for name, arm in arms.items()
        for m in arm["members"]
    ]
    each = Table(
        "", ("arm", "seed", "return: mean ± std", "min", "max", "at the end"), rows, left=(0,)
    )
    return [
        Section("Result", some(_table(arms, choosing), drawn, close)),
        Section("Each seed", [each]),
    ]


def _gain_tiles(summary: JsonMap) -> list[Tile]:
    taught = (summary.get("teacher") or {}).get("evaluation")
    return (
        [Tile("teacher", spread(taught), counted(taught["episodes"], "episode"))] if taught else []
    )


def compare(facts: Facts) -> Story:
    """Runs compared."""
    arms = facts.summary.get("arms")
    if not arms:
        return Story("A comparison.", [], [])
    tiles = [
        Tile(
            name,
            fitting(a["iqm"], a["iqm_high"] - a["iqm_low"]),
            f"95 % interval [{number(a['iqm_low'])}, {number(a['iqm_high'])}]",
        )
        for name, a in arms.items()
    ][:4]
    result, each = _compared(arms)
    runs = {name: run for name, run in hashes.compared(facts).items() if run.kind == "ppo"}
    sections = [result, *handover(runs, runs), each]
    return Story(
        f"{counted(len(arms), 'run')} compared: {', '.join(arms)}.",
        tiles + _gain_tiles(facts.summary),
        sections,
    )


def _parts(facts: Facts, names: tuple[str, ...]) -> dict[str, Facts]:
    """Runs below a folder that can be read."""
    found = {}
    for name in names:
        try:
            found[name.rpartition("/")[2]] = facts_lib.read(facts.run / name)
        except UserError:
            continue
    return found


def workflow(facts: Facts) -> Story:
    """A workflow: recorded, cloned, fine-tuned, compared."""
    who = f"{facts.setting('rollout.policy')} in {environment_of(facts)}"
    about = f"{who}: recorded, cloned, fine-tuned by PPO, compared."
    parts = _parts(facts, ("ppo/pretrained", "ppo/from_scratch"))
    s = facts.summary
    if not s:
        sections = [
            Section("Fine-tuning so far", some(evaluations(f, "environment steps a seed")))
            for f in parts.values()
        ]
        return Story(about, [], [x for x in sections if x.blocks])
    gain = s["gain_on_clone"]
    tiles = [
        *_gain_tiles(s),
        Tile(
            "clone", spread(s["clone"]["evaluation"]), counted(len(s["clone"]["members"]), "seed")
        ),
        Tile("fine-tuned", spread(s["evaluation"]), counted(len(facts.members), "seed")),
        Tile(
            "gain on the clone",
            fitting(gain["iqm"], gain["iqm_high"] - gain["iqm_low"]),
            f"95 % interval [{number(gain['iqm_low'])}, {number(gain['iqm_high'])}], same episodes",
        ),
    ]
    result, seeds = _compared(s["arms"])
    ours = parts.get("pretrained")
    mid = [] if ours is None else handover(parts, {"": ours})
    return Story(about, tiles, [result, *mid, seeds])


def sweep(facts: Facts) -> Story:
    """The points of a sweep."""
    s = facts.summary
    about = f"A sweep of {facts.setting('stage')} in {environment_of(facts)}."
    if not s:
        return Story(about, [], [])
    tiles = [
        Tile("best point", s["best"].replace(",", ", "), "by episodes that serve for nothing else"),
        *tested(facts, "its return"),
    ]
    rows = [(name, spread(p["evaluation"])) for name, p in s["points"].items()]
    table = Table(
        "Mean returns in these episodes, by which the best point is chosen",
        ("point", "return: mean ± std"),
        rows,
        "The best point alone plays the test episodes.",
    )
    result, _ = _compared(s["arms"], choosing=True)
    return Story(about, tiles, [result._replace(blocks=[*result.blocks, table]), *seeds(facts)])


def efficiency(facts: Facts) -> Story:
    """Returns of clones by the number of episodes."""
    s = facts.summary
    about = f"Clones against the number of recorded episodes of {environment_of(facts)}."
    if not s:
        return Story(about, [], [])
    points = s["points"]
    x = np.array([p["episodes"] for p in points], float)
    y, low, high = (np.array([p[k] for p in points], float) for k in ("iqm", "iqm_low", "iqm_high"))
    (place,) = palette.numbers(["clone"])
    lines = [Line("clones: IQM, band: 95 % interval", x, y, low, high, colour=place)]
    draws = [(p["episodes"], r) for p in points for r in p["of_draws"]]
    if len(draws) > len(points):
        a, b = np.array(draws, float).T
        lines.append(Line("each draw", a, b, colour=place, style="dots"))
    level = s["teacher"]["evaluation"]["mean"]
    log = bool(x.max() >= 10 * x.min())
    axes = Axes(
        "recorded episodes", "return on the test episodes", [("teacher, as recorded", level)], log
    )
    drawn = chart("Return against recorded episodes", lines, axes, wide=True)
    table = Table("", curves.HEADER, curves.rows(points))
    best = points[-1]
    intro = f"Clones of {counted(best['episodes'], 'episode', ',')}, the first draw."
    each = [section._replace(intro=intro) for section in seeds(facts)]
    tiles = [
        Tile("teacher, as recorded", spread(s["teacher"]["evaluation"])),
        Tile(
            f"clones of {counted(best['episodes'], 'episode', ',')}",
            number(best["iqm"]),
            f"95 % interval [{number(best['iqm_low'])}, {number(best['iqm_high'])}]",
        ),
    ]
    return Story(about, tiles, [Section("Result", some(drawn, table)), *each])
