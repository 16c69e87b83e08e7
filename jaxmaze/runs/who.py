"""What the policy of a run is, in one word; it has the same colour wherever it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jaxmaze.core.types import JsonMap
from jaxmaze.errors import UserError
from jaxmaze.runs import run_folder

TEACHER, CLONE, DAGGER, TUNED, SCRATCH, RANDOM = (
    "teacher",
    "clone",
    "dagger",
    "fine-tuned",
    "from scratch",
    "random",
)
BY_KIND = {"bc": CLONE, "curve": CLONE, "dagger": DAGGER, "workflow": TUNED}
"""Those that PPO did not make, by the kind of their run; a workflow hands over the fine-tuned."""


def of_run(run: Path) -> str:
    """What the policy is that a run hands over.

    Raises:
      UserError: if it is not a run's folder.
    """
    return of(run_folder.read_config(run))


def of(about: JsonMap) -> str:
    """The same, from the content of a run's config.json; its kind if that is another."""
    kind = str(about.get("kind"))
    if kind == "sweep":
        kind = str(_setting(about, "stage"))
    if kind == "rollout":
        return _played(about)
    if kind == "ppo":
        return _trained(about)
    return BY_KIND.get(kind, kind)


def _played(about: JsonMap) -> str:
    """A rollout is its teacher's, unless it says that it is of another run, or of nobody."""
    policy = str(_setting(about, "rollout", "policy"))
    if policy == RANDOM:
        return RANDOM
    try:
        found = run_folder.read_config(Path(policy))
    except UserError:  # a name, or a run that has gone
        return TEACHER
    return TEACHER if found["kind"] == "rollout" else of(found)


def _trained(about: JsonMap) -> str:
    """PPO's, which with a learning rate of 0 stay what they began as."""
    still = _setting(about, "ppo", "learning_rate") == 0
    if _setting(about, "ppo", "init_from"):
        return CLONE if still else TUNED
    return RANDOM if still else SCRATCH


def _setting(about: JsonMap, *names: str) -> object:
    found: object = about.get("config")
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
