"""What is told of each kind of run: the figures that are read first, and the sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from jaxmaze.core.types import JsonMap
from jaxmaze.errors import UserError
from jaxmaze.reporting import facts as facts_lib
from jaxmaze.reporting.blocks import Block, Section, Table, Tile
from jaxmaze.reporting.charts import Axes, Line, chart, number
from jaxmaze.reporting.facts import COLOURS, Facts, curve, estimate, evaluations, spread
from jaxmaze.reporting.handing import handover
from jaxmaze.runs import curves, outcomes, report


class Story(NamedTuple):
    """What is told of a run."""

    about: str
    tiles: list[Tile]
    sections: list[Section]


def _some(*blocks: Block | None) -> list[Block]:
    return [block for block in blocks if block is not None]


def _environment(facts: Facts) -> str:
    return str(facts.setting("env.id") or facts.setting("env.make") or "recorded data alone")


def _tested(facts: Facts, label: str = "return") -> list[Tile]:
    """The evaluation that a run is judged by."""
    block = facts.summary.get("evaluation")
    if not block:
        return []
    count = len(facts.members) or 1
    what = f"{count} seeds x {block['episodes'] // count}" if count > 1 else f"{block['episodes']}"
    tiles = [Tile(label, spread(block), f"mean ± std over {what} episodes")]
    if count > 1:
        returns = facts.returns()
        if returns is not None:
            _, _, interval = estimate(returns).partition(" ")
            value, _, rest = interval.partition(" ")
            tiles.append(Tile("IQM over seeds", value, f"95 % interval {rest}"))
    return tiles


def _seeds(facts: Facts, dips: np.ndarray | None = None) -> list[Section]:
    table = facts_lib.seeds_table(facts, dips)
    return [] if table is None else [Section("Each seed", [table])]


def _rollout(facts: Facts) -> Story:
    policy = str(facts.setting("rollout.policy"))
    block = facts.summary.get("evaluation", {})
    tiles = _tested(facts)
    if block:
        tiles.append(
            Tile(
                "steps an episode",
                number(block["mean_step_count"]),
                f"{facts.summary['env_steps']:,} in all",
            )
        )
    sections = []
    try:
        table = outcomes.read_episodes(facts.run)
        returns, lengths = table.returns[0], table.lengths[0]
        x = np.arange(1, len(returns) + 1)
        drawn = chart(
            "Return of each episode, from the lowest to the highest",
            [Line("", x, np.sort(returns), style="dots")],
            Axes("episodes", "return", [("mean", float(returns.mean()))]),
            wide=True,
        )
        rows = [
            (name, *(number(float(f(v))) for f in (np.mean, np.std, np.min, np.median, np.max)))
            for name, v in (("return", returns), ("steps", lengths))
        ]
        found = Table("", ("", "mean", "std", "min", "median", "max"), rows)
        sections.append(Section("Episodes", _some(drawn, found)))
    except UserError:
        pass
    return Story(f"{policy} played {_environment(facts)}.", tiles, sections)


def _bc(facts: Facts) -> Story:
    data = facts.summary.get("data", {})
    tiles = _tested(facts, "clone's return")
    if data:
        tiles.append(
            Tile(
                "cloned from",
                f"{data['episodes']:,} episodes",
                f"{data['steps']:,} steps of {data.get('policy', 'unknown')}",
            )
        )
    losses = []
    names = (
        ("train", "imitation/policy_loss", "training", ""),
        ("eval", "imitation/policy_loss", "held-out episodes", ""),
        ("train", "refit/policy_loss", "refit on all episodes", "dashed"),
    )
    for i, (split, name, shown, style) in enumerate(names):
        found = facts_lib.series(facts, split, name)
        if found is not None:
            losses.append(Line(shown, found[0], facts_lib.mean_of(found[1]), colour=i, style=style))
    drawn = [
        evaluations(facts, "epochs"),
        chart("Loss", losses, Axes("epochs", "nats"), "Mean over seeds."),
        curve(
            {"": facts},
            "eval",
            "imitation/discrete_accuracy",
            "Actions of the teacher that the clone would take",
            Axes("epochs", "share of steps"),
            "Held-out episodes.",
        ),
        curve(
            {"": facts},
            "train",
            "imitation/policy_entropy",
            "Entropy of the clone's actions",
            Axes("epochs", "nats"),
        ),
    ]
    sections = [Section("Training", _some(*drawn)), *_seeds(facts)]
    return Story(f"Clones of recorded episodes of {_environment(facts)}.", tiles, sections)


def _dagger(facts: Facts) -> Story:
    tiles = _tested(facts, "clone's return")
    if "labels" in facts.summary:
        tiles.append(
            Tile("asked of the teacher", f"{facts.summary['labels']:,.0f} labels", "a seed")
        )
    unit = "labels a seed"
    drawn = [
        evaluations(facts, unit),
        curve(
            {"": facts},
            "train",
            "dagger/agreement",
            "Steps at which clone and teacher agreed",
            Axes(unit, "share of steps"),
        ),
        curve({"": facts}, "train", "imitation/policy_loss", "Loss", Axes(unit, "nats")),
    ]
    sections = [Section("Training", _some(*drawn)), *_seeds(facts)]
    teacher = facts.setting("dagger.policy") or facts.setting("rollout.policy")
    return Story(f"Clones of {teacher} in {_environment(facts)}, by DAgger.", tiles, sections)


def _ppo(facts: Facts) -> Story:
    unit = "environment steps a seed"
    tiles = _tested(facts)
    dips = facts_lib.dips_of(facts)
    if "env_steps" in facts.summary:
        each = facts.summary["members"][0]["env_steps"]
        tiles.append(
            Tile("environment steps", f"{each:,}", f"a seed; {facts.summary['env_steps']:,} in all")
        )
    one = {"": facts}
    drawn = [
        evaluations(facts, unit),
        curve(
            one,
            "train",
            facts_lib.RETURN,
            "Return of the episodes trained on",
            Axes(unit, "return"),
        ),
        curve(
            one, "train", "ppo/entropy", "Exploration: entropy of the policy", Axes(unit, "nats")
        ),
        curve(one, "train", "ppo/approx_kl", "Size of an update", Axes(unit, "KL, nats")),
        curve(
            one,
            "train",
            "ppo/explained_variance",
            "Variance of returns that the critic explains",
            Axes(unit, "share"),
        ),
    ]
    start = facts.setting("ppo.init_from")
    sections = [Section("Training", _some(*drawn)), *handover(one, facts), *_seeds(facts, dips)]
    timing = facts.summary.get("timing")
    if timing:
        rows = [
            (part, number(t["first"]), number(t["rest"]), f"{t['count']:,}")
            for part, t in timing.items()
        ]
        table = Table(
            "",
            ("part", "first time, s", "all others, s", "how many"),
            rows,
            "The first time includes compiling.",
        )
        sections.append(Section("Where the time went", [table]))
    how = "from scratch" if start is None else f"from {start}"
    return Story(f"PPO in {_environment(facts)}, {how}.", tiles, sections)


def arm_lines(arms: Mapping[str, JsonMap]) -> list[Line]:
    """The evaluations of a comparison's arms; runs without steps of their own are levels."""
    longest = max(a["curve"]["env_steps"][-1] for a in arms.values())
    lines = []
    for i, (name, arm) in enumerate(arms.items()):
        c = arm["curve"]
        level = len(c["env_steps"]) == 1
        x = np.array([0, max(longest, 1)] if level else c["env_steps"], float)
        middle, low, high = (
            np.array(c[k] * (2 if level else 1), float) for k in ("iqm", "low", "high")
        )
        each = np.array([m * (2 if level else 1) for m in c["members"]], float)
        few = len(each) < report.FEW_SEEDS
        style = "dashed" if level or name.endswith("_lr0") else ""
        line = Line(name, x, middle, colour=COLOURS.get(name, i), style=style)
        if not few:
            line = line._replace(low=low, high=high)
        elif len(each) > 1:
            line = line._replace(each=each)
        lines.append(line)
    return lines


def _compared(arms: Mapping[str, JsonMap]) -> list[Section]:
    """The table and the curves of several runs."""
    first = next(iter(arms.values()))
    levels = sorted({a["curve"]["teacher"] for a in arms.values()} - {None})
    taught = [("teacher in these episodes", level) for level in levels]
    axes = Axes("environment steps a seed", "return", taught)
    trained = any(len(a["curve"]["env_steps"]) > 1 for a in arms.values())
    lines = arm_lines(arms) if trained else []  # else there are no steps to draw returns against
    few = len(first["curve"]["members"]) < report.FEW_SEEDS
    shown = "thin lines: each seed" if few else "band: 95 % interval"
    played = f"{first['curve']['episodes']} episodes an evaluation, the same for all"
    note = f"IQM over seeds; {shown}. {played}."
    drawn = chart("Return during training", lines, axes, note, wide=True)
    near = [line for line in lines if line.name.startswith("pretrained")]
    close = (
        chart("Close up: what begins with the clone", near, axes)
        if len(near) < len(lines) and near
        else None
    )
    table = Table(
        "",
        report.HEADER,
        report.rows(arms),
        f"{first['episodes']} test episodes a seed, which chose nothing. "
        "Dip: the largest drop below the start.",
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
    return [Section("Result", _some(table, drawn, close)), Section("Each seed", [each])]


def _gain_tiles(summary: JsonMap) -> list[Tile]:
    taught = (summary.get("teacher") or {}).get("evaluation")
    return [Tile("teacher", spread(taught), f"{taught['episodes']} episodes")] if taught else []


def _compare(facts: Facts) -> Story:
    arms = facts.summary.get("arms")
    if not arms:
        return Story("A comparison.", [], [])
    tiles = [
        Tile(
            name,
            number(a["iqm"]),
            f"95 % interval [{number(a['iqm_low'])}, {number(a['iqm_high'])}]",
        )
        for name, a in arms.items()
    ][:4]
    sections = _compared(arms)
    return Story(
        f"{len(arms)} runs compared: {', '.join(arms)}.",
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


def _workflow(facts: Facts) -> Story:
    who = f"{facts.setting('rollout.policy')} in {_environment(facts)}"
    about = f"{who}: recorded, cloned, fine-tuned by PPO, compared."
    parts = _parts(facts, ("ppo/pretrained", "ppo/from_scratch"))
    s = facts.summary
    if not s:
        sections = [
            Section("Fine-tuning so far", _some(evaluations(f, "environment steps a seed")))
            for f in parts.values()
        ]
        return Story(about, [], [x for x in sections if x.blocks])
    gain = s["gain_on_clone"]
    tiles = [
        *_gain_tiles(s),
        Tile("clone", spread(s["clone"]["evaluation"]), f"{len(s['clone']['members'])} seeds"),
        Tile("fine-tuned", spread(s["evaluation"]), f"{len(facts.members)} seeds"),
        Tile(
            "gain on the clone",
            number(gain["iqm"]),
            f"95 % interval [{number(gain['iqm_low'])}, {number(gain['iqm_high'])}], same episodes",
        ),
    ]
    result, seeds = _compared(s["arms"])
    ours = parts.get("pretrained")
    mid = [] if ours is None else handover(parts, ours)
    return Story(about, tiles, [result, *mid, seeds])


def _sweep(facts: Facts) -> Story:
    s = facts.summary
    about = f"A sweep of {facts.setting('stage')} in {_environment(facts)}."
    if not s:
        return Story(about, [], [])
    tiles = [
        Tile("best point", s["best"], "by episodes that serve for nothing else"),
        *_tested(facts, "its return"),
    ]
    rows = [(name, spread(p["evaluation"])) for name, p in s["points"].items()]
    table = Table(
        "All points, as they were judged",
        ("point", "return: mean ± std"),
        rows,
        "Only the best point plays the test episodes.",
    )
    result, _ = _compared(s["arms"])
    return Story(about, tiles, [result._replace(blocks=[*result.blocks, table]), *_seeds(facts)])


def _curve(facts: Facts) -> Story:
    s = facts.summary
    about = f"Clones against the number of recorded episodes of {_environment(facts)}."
    if not s:
        return Story(about, [], [])
    points = s["points"]
    x = np.array([p["episodes"] for p in points], float)
    y, low, high = (np.array([p[k] for p in points], float) for k in ("iqm", "iqm_low", "iqm_high"))
    lines = [Line("clones: IQM, band: 95 % interval", x, y, low, high)]
    draws = [(p["episodes"], r) for p in points for r in p["of_draws"]]
    if len(draws) > len(points):
        a, b = np.array(draws, float).T
        lines.append(Line("each draw", a, b, colour=0, style="dots"))
    level = s["teacher"]["evaluation"]["mean"]
    log = bool(x.max() >= 10 * x.min())
    axes = Axes(
        "recorded episodes", "return on the test episodes", [("teacher, as recorded", level)], log
    )
    drawn = chart("Return against recorded episodes", lines, axes, wide=True)
    table = Table("", curves.HEADER, curves.rows(points))
    best = points[-1]
    tiles = [
        Tile("teacher, as recorded", spread(s["teacher"]["evaluation"])),
        Tile(
            f"clones of {best['episodes']:,} episodes",
            number(best["iqm"]),
            f"95 % interval [{number(best['iqm_low'])}, {number(best['iqm_high'])}]",
        ),
    ]
    return Story(about, tiles, [Section("Result", _some(drawn, table)), *_seeds(facts)])


def _inspect(facts: Facts) -> Story:
    s = facts.summary
    rows = [(name, c["verdict"], c["says"]) for name, c in s.get("checks", {}).items()]
    table = Table("", ("check", "verdict", "what it means"), rows, left=(0, 1, 2))
    tiles = [Tile("verdict", s["verdict"])] if s else []
    return Story(
        f"Recorded episodes in {facts.about.get('data')}, inspected.",
        tiles,
        [Section("Checks", [table])],
    )


STORIES: dict[str, Callable[[Facts], Story]] = {
    "rollout": _rollout,
    "bc": _bc,
    "dagger": _dagger,
    "ppo": _ppo,
    "compare": _compare,
    "workflow": _workflow,
    "sweep": _sweep,
    "curve": _curve,
    "inspect": _inspect,
}
"""By the kind of a run."""
