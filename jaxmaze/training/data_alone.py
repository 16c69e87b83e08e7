"""Cloning without an environment: spaces from the data, validation instead of evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from jaxmaze.config import Settings
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Json
from jaxmaze.core.words import counted
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.runs import console, metrics, sources, trajectories
from jaxmaze.training import evaluation


def describe(config: Settings) -> environment.EnvInfo:
    """The configured environment; without one, the description in ``bc.data``.

    Raises:
      UserError: if the environment cannot be made, the data cannot be read, or either has a space
        that is not supported.
    """
    if config.env.named:
        return environment.describe(environment.EnvConfig.of(config.env), console.say)
    if config.bc.data is None:
        raise UserError("config.bc.data is not set; it must be a folder with recorded episodes")
    console.say(
        "no environment is set: spaces are the data's, and clones are validated, not played"
    )
    return trajectories.info_of(sources.locate(sources.names_of(config.bc.data)[0]))


def open_evaluator(
    config: Settings, info: environment.EnvInfo, networks: Networks, members: Sequence[int]
) -> AbstractContextManager[evaluation.Evaluator | None]:
    """The evaluator that plays episodes; None without an environment."""
    if not info.exists:
        return contextlib.nullcontext()
    return evaluation.open_evaluator(config, info, networks, members)


def add_validation(summary: Json, run: Path) -> None:
    """Add ``validation`` in place of ``evaluation``: each member's figures at its best epoch.

    Nothing is added without held-out episodes. The figures are of the policies before the refit,
    because refitted clones have been trained on the held-out episodes too.

    Args:
      summary: of a run that is about to finish; changed in place.
      run: its folder.
    """
    logged = {x["step"]: x for x in metrics.read(run) if x["split"] == "eval"}
    prefix = "imitation/"
    for m, member in enumerate(summary["members"]):
        line = logged.get(member["best_epoch"], {})
        means = {k: x for k, x in line.items() if k.startswith(prefix)}
        each = {k: line.get("members", {}).get(k, [x])[m] for k, x in means.items()}
        if each:
            member["validation"] = {k.removeprefix(prefix): float(x) for k, x in each.items()}
    found = [member["validation"] for member in summary["members"] if "validation" in member]
    if found:
        names = found[0]
        summary["validation"] = {n: sum(x[n] for x in found) / len(found) for n in names}


def show(summary: Json) -> None:
    """Print the clones' figures on held-out episodes."""
    figures = summary.get("validation")
    if not figures:
        console.say("clone: no episodes were held out or played, so nothing tells how good it is")
        return
    agreement = [f"{n} {x:.4f}" for n, x in figures.items() if not n.startswith("policy_")]
    shown = ", ".join((f"validation loss {figures['policy_loss']:.4f}", *agreement))
    console.say(
        f"clone: {shown}; mean of {counted(len(summary['members']), 'member')} on held-out episodes"
    )
