"""The handover from a clone to PPO: audit, dip, drift from the clone, exploration."""

from __future__ import annotations

from collections.abc import Mapping

from jaxmaze.core.types import JsonMap
from jaxmaze.core.words import counted
from jaxmaze.reporting.blocks import Block, Section, Table
from jaxmaze.reporting.charts import Axes, number
from jaxmaze.reporting.facts import Facts, curve, dips_of, series

UNIT = "environment steps a seed"


def handover(drawn: Mapping[str, Facts], tuned: Mapping[str, Facts]) -> list[Section]:
    """The section on the handover; none if no run started from another's policies.

    Args:
      drawn: the runs whose curves are drawn, by name.
      tuned: the runs that are told of: those that took policies over, by name.
    """
    tuned = {name: run for name, run in tuned.items() if began_from_a_clone(run)}
    if not tuned:
        return []
    blocks: list[Block | None] = [
        Table(name, ("", ""), _rows(run), left=(0, 1)) for name, run in tuned.items()
    ]
    axes = Axes(UNIT, "KL, nats")
    drift = "Drift: distance of the policy from the clone"
    blocks.append(curve(drawn, "train", "ppo/clone_kl", drift, axes))
    if len(drawn) > 1:
        spread = "Exploration: entropy of the policy"
        blocks.append(curve(drawn, "train", "ppo/entropy", spread, Axes(UNIT, "nats")))
    return [Section("The handover from the clone", [b for b in blocks if b is not None])]


def began_from_a_clone(run: Facts) -> bool:
    """Whether PPO took over the policies of another run."""
    return run.kind == "ppo" and run.setting("ppo.init_from") is not None


def _rows(tuned: Facts) -> list[tuple[str, str]]:
    """The audit, the dip, and the exploration at the start."""
    audit: JsonMap = tuned.summary.get("audit") or {}
    rows = [(name, value) for name, value in _audit(audit).items() if value]
    dips = dips_of(tuned)
    if dips is not None:
        rows.append(
            (
                "dip: largest drop below the start",
                f"{number(float(dips.mean()))} on average, {number(float(dips.max()))} at worst",
            )
        )
    for name, shown in (
        ("temperature", "temperature at the start"),
        ("entropy", "entropy at the start"),
    ):
        found = series(tuned, "train", f"handover/{name}")
        if found is not None:
            rows.append((shown, ", ".join(number(float(v)) for v in found[1][:, 0])))
    return rows


def _audit(audit: JsonMap) -> dict[str, str]:
    """The audit's figures in words."""
    if not audit:
        return {}
    verdict = audit.get("difference") or "none: the policies taken over are those of the clone"
    found = {
        "difference found by the audit": str(verdict),
        "taken over from": str(audit.get("origin", "")),
    }
    if audit.get("states"):
        gap = number(float(audit["max_log_prob_difference"]))
        found["log-probabilities"] = (
            f"differ by {gap} at most, in {counted(audit['states'], 'state', ',')}"
        )
    if "clone_return" in audit:
        found["mean return, clone's and ours"] = (
            f"{number(audit['clone_return'])} and {number(audit['return'])} "
            f"on the same {counted(audit['episodes'], 'episode')}"
        )
    return found
