"""Whether runs that are put side by side are of one environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxmaze.errors import UserError
from jaxmaze.runs import run_folder


def check(environments: Mapping[str, str], hint: str) -> None:
    """Check that there is only one environment.

    Two are the same if they have the same name. Their arguments and wrappers may differ: policies
    are compared on variants of one environment, or as they see it in one way or another.

    Args:
      environments: the name of each run's or data set's environment, by what it is called; empty
        where it is not known.
      hint: what to do instead.

    Raises:
      UserError: if there are several.
    """
    known = {name: found for name, found in environments.items() if found}
    if not known:
        return
    first, here = next(iter(known.items()))
    for name, there in known.items():
        if _bare(there) != _bare(here):
            raise UserError(
                f"{first} and {name} are of different environments, {here} and {there}; {hint}"
            )


def check_runs(runs: Sequence[Path], hint: str) -> None:
    """The same of runs, by their folders; those that cannot be read are left to others."""
    check({str(run): _of_run(run) for run in runs if (run / run_folder.CONFIG).is_file()}, hint)


def _of_run(run: Path) -> str:
    section = run_folder.read_config(run).get("config", {}).get("env", {})
    return str(section.get("id") or section.get("make") or "")


def _bare(name: str) -> str:
    """A name without the module that registers it, as gymnasium's specifications have it."""
    return re.sub(r"[^\w.-]+", "_", name.rpartition(":")[2])
