"""The colours of figures, videos, reports and the viewer: Okabe and Ito's (2008), for all eyes.

Some are darkened, so that text in them can be read on white. Policies that are shown together have
the colours of what they are (:mod:`jaxmaze.runs.who`), whatever they are called and in whichever
order they stand.
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
    "dagger": COLOURS[4],
}
"""By what a policy is, or by the name of a workflow's arm."""
SPARE = (3, 4, 5, 2, 1, 0)
"""Places for further ones of a kind: first those that seldom are somebody else's."""


def numbers(whos: Sequence[str]) -> list[int]:
    """The places in ``COLOURS`` of those shown together, each its own while there are enough.

    The first of a known kind has the kind's colour, whoever stands before it, and the next one has
    a spare one; the teacher's is no place, -1.

    Args:
      whos: what each is, as :func:`jaxmaze.runs.who.of` says, or any other name.
    """
    taken = {_place(KNOWN[who]) for who in whos if who in KNOWN}
    found: list[int] = []
    for i, who in enumerate(whos):
        mine = _place(KNOWN[who]) if who in KNOWN else None
        if mine is None or mine in found:
            turned = [(i + k) % len(COLOURS) for k in range(len(COLOURS))]
            order = turned if mine is None else SPARE
            mine = next((n for n in order if n not in taken), turned[0])
        taken.add(mine)
        found.append(mine)
    return found


def _place(colour: str) -> int:
    return COLOURS.index(colour) if colour in COLOURS else -1


def of(whos: Sequence[str]) -> list[str]:
    """The colours of those shown together, by what they are; see :func:`numbers`."""
    return [TEACHER if place < 0 else COLOURS[place] for place in numbers(whos)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``, from 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
