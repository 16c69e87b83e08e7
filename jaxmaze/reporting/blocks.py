"""What a report is made of: plain values, which the page's template lays out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeAlias

from markupsafe import Markup


class Tile(NamedTuple):
    """A figure that is read first."""

    label: str
    value: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; the first column and those in ``left`` are left-aligned, the others right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    left: Sequence[int] = (0,)
    form: ClassVar[str] = "table"


class Key(NamedTuple):
    """What a line in a chart stands for; ``style`` are its CSS classes."""

    name: str
    style: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """A drawing; ``narrow`` is drawn instead on small screens, if there is one."""

    title: str
    drawing: Markup
    keys: Sequence[Key] = ()
    note: str = ""
    narrow: Markup | None = None
    form: ClassVar[str] = "chart"


@dataclasses.dataclass(frozen=True)
class Code:
    """Text to be copied."""

    title: str
    text: str
    note: str = ""
    form: ClassVar[str] = "code"


@dataclasses.dataclass(frozen=True)
class Notes:
    """Lines that were printed while the run went on."""

    lines: Sequence[str]
    form: ClassVar[str] = "notes"


@dataclasses.dataclass(frozen=True)
class Links:
    """Names and relative addresses of files."""

    files: Sequence[tuple[str, str]]
    form: ClassVar[str] = "links"


@dataclasses.dataclass(frozen=True)
class Film:
    """A video or a moving picture: a name, and an address or the data themselves."""

    name: str
    address: str
    moving_picture: bool = False
    form: ClassVar[str] = "film"


Block: TypeAlias = Table | Chart | Code | Notes | Links | Film


class Section(NamedTuple):
    """A titled part of the page."""

    title: str
    blocks: Sequence[Block]
    intro: str = ""


class Page(NamedTuple):
    """A whole report.

    Attributes:
      title: the run's name.
      kind: what kind of run it is.
      about: one sentence: what was run, and what came out.
      state: what is to be said if it is not finished; empty if it is.
      tiles: the figures that are read first.
      sections: the rest.
      foot: where the page comes from.
    """

    title: str
    kind: str
    about: str
    state: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    foot: str
