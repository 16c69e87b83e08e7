"""The colours of figures, videos, reports and the viewer: Okabe and Ito's (2008), for all eyes.

Some are darkened, so that text in them can be read on white. Who is shown has the same colour
everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

TEACHER = "#000000"
COLOURS = ("#0072b2", "#d55e00", "#007a58", "#aa4083", "#8a6d00", "#3d7fb0")
ON_DARK = ("#56b4e9", "#f0a04b", "#3cc79a", "#e39bc8", "#e6d44a", "#9fb9ff")
"""The same on a dark page."""
KNOWN = {
    "teacher": TEACHER,
    "pretrained": COLOURS[0],
    "fine-tuned": COLOURS[0],
    "from_scratch": COLOURS[1],
    "from scratch": COLOURS[1],
    "pretrained_lr0": COLOURS[2],
    "clone": COLOURS[2],
    "random_lr0": COLOURS[3],
    "random": COLOURS[3],
}
"""Those whose name says who they are."""


def numbers(names: Sequence[str]) -> list[int]:
    """The places in ``COLOURS`` of those shown together, each its own while there are enough.

    A known name has its own colour, whoever stands before it; the teacher's is no place, -1.
    """
    known = {name: _place(KNOWN[name]) for name in names if name in KNOWN}
    taken, found = set(known.values()), []
    for i, name in enumerate(names):
        order = [(i + k) % len(COLOURS) for k in range(len(COLOURS))]
        place = known.get(name, next((n for n in order if n not in taken), order[0]))
        taken.add(place)
        found.append(place)
    return found


def _place(colour: str) -> int:
    return COLOURS.index(colour) if colour in COLOURS else -1


def of(names: Sequence[str]) -> list[str]:
    """The colours of those shown together, by their names."""
    return [TEACHER if place < 0 else COLOURS[place] for place in numbers(names)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``, from 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
