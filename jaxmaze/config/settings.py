"""All settings of a run, typed and frozen, as used inside the library."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from jaxmaze.config import fields, sections
from jaxmaze.config.fields import Field, field
from jaxmaze.config.sections.bc import BC
from jaxmaze.config.sections.dagger import DAgger
from jaxmaze.config.sections.env import Env
from jaxmaze.config.sections.evaluation import Evaluation
from jaxmaze.config.sections.network import Network
from jaxmaze.config.sections.ppo import PPO
from jaxmaze.config.sections.rollout import Rollout
from jaxmaze.config.sections.tracking import Tracking

NOT_STAGES = ("env", "network", "rollout", "evaluation", "tracking")
"""Sections that are shared by several stages."""


def _found() -> dict[str, type]:
    """The dataclass of each section, by the name of its file."""
    known = {}
    for module in pkgutil.iter_modules(sections.__path__):
        loaded = importlib.import_module(f"{sections.__name__}.{module.name}")
        own = [x for x in vars(loaded).values() if dataclasses.is_dataclass(x)]
        (known[module.name],) = (x for x in own if isinstance(x, type))
    return known


SECTION_CLASSES = _found()
STAGES = ("workflow", *(name for name in SECTION_CLASSES if name not in NOT_STAGES))
"""Possible values of ``config.stage``."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings. Sections that are not listed here are found by the name of their file."""

    stage: str = field("workflow", "what train runs", choices=STAGES)
    seed: int = field(0, "member i has seed + i", low=0, high=2**31 - 1)
    members: int = fields.count(1, "seeds, trained side by side as one program")
    sweep: Mapping[str, tuple[object, ...]] = field({}, "values to try, by field of the stage")
    env: Env = dataclasses.field(default_factory=Env)
    network: Network = dataclasses.field(default_factory=Network)
    rollout: Rollout = dataclasses.field(default_factory=Rollout)
    bc: BC = dataclasses.field(default_factory=BC)
    dagger: DAgger = dataclasses.field(default_factory=DAgger)
    ppo: PPO = dataclasses.field(default_factory=PPO)
    evaluation: Evaluation = dataclasses.field(default_factory=Evaluation)
    tracking: Tracking = dataclasses.field(default_factory=Tracking)
    more: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        # Only called for attributes that are not listed above.
        more = self.__dict__.get("more", {})
        if name not in more:
            raise AttributeError(f"the settings have no {name!r}")
        return more[name]

    def replace(self, section: str = "", **changes: Any) -> Settings:
        """A copy with changed fields of a section, by default of the top level."""
        if not section:
            return dataclasses.replace(self, **changes)
        changed = dataclasses.replace(getattr(self, section), **changes)
        if section in self.more:
            return dataclasses.replace(self, more={**self.more, section: changed})
        return dataclasses.replace(self, **{section: changed})


def _table() -> dict[str, Field]:
    listed = [item.name for item in dataclasses.fields(Settings) if item.name in SECTION_CLASSES]
    names = [*listed, *(name for name in SECTION_CLASSES if name not in listed)]
    return fields.of(Settings) | {
        f"{section}.{name}": found
        for section in names
        for name, found in fields.of(SECTION_CLASSES[section]).items()
    }


FIELDS: dict[str, Field] = _table()
"""All fields by dotted name."""
SECTIONS = sorted(SECTION_CLASSES)


def from_plain(values: Mapping[str, Any]) -> Settings:
    """Settings from the nested values of a complete, validated configuration."""
    parts: dict[str, Any] = {
        name: SECTION_CLASSES[name](**value) if name in SECTION_CLASSES else value
        for name, value in values.items()
    }
    listed = {item.name for item in dataclasses.fields(Settings)}
    more = {name: part for name, part in parts.items() if name not in listed}
    own = {name: part for name, part in parts.items() if name in listed}
    return Settings(**own, more=more)


def to_plain(settings: Settings) -> dict[str, object]:
    """Nested values, the inverse of :func:`from_plain`."""
    parts = _fields_of(settings)
    more = parts.pop("more")
    assert isinstance(more, Mapping)
    return {
        name: _fields_of(part) if name in SECTION_CLASSES else part
        for name, part in (parts | dict(more)).items()
    }


def _fields_of(part: Any) -> dict[str, object]:
    """A dataclass's values by name, not copied, as they may be a user's own objects."""
    return {item.name: getattr(part, item.name) for item in dataclasses.fields(part)}


def check(section: str, settings: Settings) -> None:
    """Check the combination of a section's fields, if its class has a ``check``.

    Raises:
      UserError: one line that names the field and its allowed values.
    """
    part = getattr(settings, section)
    if hasattr(part, "check"):
        part.check(settings)


def get(settings: Any, name: str) -> Any:
    """The value of a field, by dotted name, in settings or in a configuration."""
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


def swept(stage: str) -> tuple[str, ...]:
    """The fields of a stage's section that can be swept."""
    names = fields.of(SECTION_CLASSES[stage]) if stage in SECTION_CLASSES else {}
    return tuple(name for name, found in names.items() if found.swept)


def shared(stage: str) -> tuple[str, ...]:
    """Fields in which runs that train together must agree.

    These determine the common compiled program or the evaluation episodes: all fields that the runs
    read, except those that may differ between members.
    """
    read = ("env", "network", "evaluation", stage)
    of_sections = (
        name
        for name, found in FIELDS.items()
        if name.split(".")[0] in read and not (found.swept or found.own)
    )
    return ("members", *of_sections)
