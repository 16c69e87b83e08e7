"""What is told of each kind of run: the figures that are read first, and the sections."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jaxmaze.core.words import counted
from jaxmaze.errors import UserError
from jaxmaze.reporting import facts as facts_lib
from jaxmaze.reporting import inspected, together
from jaxmaze.reporting.blocks import Section, Table, Tile
from jaxmaze.reporting.charts import Axes, Line, chart, number
from jaxmaze.reporting.facts import Facts, curve, evaluations
from jaxmaze.reporting.handing import handover
from jaxmaze.reporting.story import Story, environment_of, seeds, some, tested
from jaxmaze.runs import outcomes


def _rollout(facts: Facts) -> Story:
    policy = str(facts.setting("rollout.policy"))
    block = facts.summary.get("evaluation", {})
    tiles = tested(facts)
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
            Axes("episodes", "return", [("mean", float(returns.mean()))], whole=True),
            wide=True,
        )
        rows = [
            (name, *(number(float(f(v))) for f in (np.mean, np.std, np.min, np.median, np.max)))
            for name, v in (("return", returns), ("steps", lengths))
        ]
        found = Table("", ("", "mean", "std", "min", "median", "max"), rows)
        sections.append(Section("Episodes", some(drawn, found)))
    except UserError:
        pass
    return Story(f"{policy} played {environment_of(facts)}.", tiles, sections)


def _bc(facts: Facts) -> Story:
    data = facts.summary.get("data", {})
    tiles = tested(facts, "clone's return")
    if data:
        tiles.append(
            Tile(
                "cloned from",
                counted(data["episodes"], "episode", ","),
                f"{counted(data['steps'], 'step', ',')} of {data.get('policy', 'unknown')}",
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
    sections = [Section("Training", some(*drawn)), *seeds(facts)]
    return Story(f"Clones of recorded episodes of {environment_of(facts)}.", tiles, sections)


def _dagger(facts: Facts) -> Story:
    tiles = tested(facts, "clone's return")
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
    sections = [Section("Training", some(*drawn)), *seeds(facts)]
    teacher = facts.setting("dagger.policy") or facts.setting("rollout.policy")
    return Story(f"Clones of {teacher} in {environment_of(facts)}, by DAgger.", tiles, sections)


def _ppo(facts: Facts) -> Story:
    unit = "environment steps a seed"
    tiles = tested(facts)
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
    sections = [Section("Training", some(*drawn)), *handover(one, one), *seeds(facts, dips)]
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
    return Story(f"PPO in {environment_of(facts)}, {how}.", tiles, sections)


STORIES: dict[str, Callable[[Facts], Story]] = {
    "rollout": _rollout,
    "bc": _bc,
    "dagger": _dagger,
    "ppo": _ppo,
    "compare": together.compare,
    "workflow": together.workflow,
    "sweep": together.sweep,
    "curve": together.efficiency,
    "inspect": inspected.story,
}
"""By the kind of a run."""
