"""What is told of a run, and what is told of every kind of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxmaze.core.words import counted
from jaxmaze.reporting import facts as facts_lib
from jaxmaze.reporting.blocks import Block, Section, Tile
from jaxmaze.reporting.facts import Facts, estimate, spread


class Story(NamedTuple):
    """What is told of a run."""

    about: str
    tiles: list[Tile]
    sections: list[Section]


def some(*blocks: Block | None) -> list[Block]:
    """Those that there are."""
    return [block for block in blocks if block is not None]


def environment_of(facts: Facts) -> str:
    """What the environment is called."""
    return str(facts.setting("env.id") or facts.setting("env.make") or "recorded data alone")


def tested(facts: Facts, label: str = "return") -> list[Tile]:
    """The evaluation that a run is judged by."""
    block = facts.summary.get("evaluation")
    if not block:
        return []
    count = len(facts.members) or 1
    what = counted(block["episodes"] // count, "episode")
    what = f"{count} seeds x {what}" if count > 1 else what
    tiles = [Tile(label, spread(block), f"mean ± std over {what}")]
    if count > 1:
        returns = facts.returns()
        if returns is not None:
            _, _, interval = estimate(returns).partition(" ")
            value, _, rest = interval.partition(" ")
            tiles.append(Tile("IQM over seeds", value, f"95 % interval {rest}"))
    return tiles


def seeds(facts: Facts, dips: np.ndarray | None = None) -> list[Section]:
    """The table of seeds, where there are several."""
    table = facts_lib.seeds_table(facts, dips)
    return [] if table is None else [Section("Each seed", [table])]
