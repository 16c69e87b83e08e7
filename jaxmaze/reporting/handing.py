"""The handover from a clone to PPO: audit, dip, drift from the clone, exploration."""

from __future__ import annotations

from collections.abc import Mapping

from jaxmaze.core.types import JsonMap
from jaxmaze.core.words import counted
from jaxmaze.reporting.blocks import Block, Section, Table
from jaxmaze.reporting.charts import Axes, number
from jaxmaze.reporting.facts import Facts, curve, dips_of, series

UNIT = "environment steps a seed"


def handover(drawn: Mapping[str, Facts], tuned: Facts) -> list[Section]:
    """The section on the handover; none if the run did not start from another's policies.

    Args:
      drawn: the runs whose curves are drawn, by name.
      tuned: the run that took the policies over.
    """
    if tuned.setting("ppo.init_from") is None:
        return []
    audit: JsonMap = tuned.summary.get("audit", {})
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
    blocks: list[Block | None] = [
        Table("", ("", ""), rows, left=(0, 1)),
        curve(
            drawn,
            "train",
            "ppo/clone_kl",
            "Drift: distance of the policy from the clone",
            Axes(UNIT, "KL, nats"),
        ),
        curve(
            drawn, "train", "ppo/entropy", "Exploration: entropy of the policy", Axes(UNIT, "nats")
        )
        if len(drawn) > 1
        else None,
    ]
    return [Section("The handover from the clone", [b for b in blocks if b is not None])]


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
