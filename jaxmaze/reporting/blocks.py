"""What a report is made of: plain values, which the page's template lays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from markupsafe import Markup


class Tile(NamedTuple):
    """A figure that is read first."""

    label: str
    value: str
    note: str = ""


class Table(NamedTuple):
    """A table; the first column and those in ``left`` are left-aligned, the others right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    left: Sequence[int] = (0,)
    form = "table"


class Key(NamedTuple):
    """What a line in a chart stands for; ``style`` are its CSS classes."""

    name: str
    style: str


class Chart(NamedTuple):
    """A drawing; ``narrow`` is drawn instead on small screens, if there is one."""

    title: str
    drawing: Markup
    keys: Sequence[Key] = ()
    note: str = ""
    narrow: Markup | None = None
    form = "chart"


class Code(NamedTuple):
    """Text to be copied."""

    title: str
    text: str
    note: str = ""
    form = "code"


class Notes(NamedTuple):
    """Lines that were printed while the run went on."""

    lines: Sequence[str]
    form = "notes"


class Links(NamedTuple):
    """Names and relative addresses of files."""

    files: Sequence[tuple[str, str]]
    form = "links"


class Film(NamedTuple):
    """A video or a moving picture: a name, and an address or the data themselves."""

    name: str
    address: str
    moving_picture: bool = False
    form = "film"


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
