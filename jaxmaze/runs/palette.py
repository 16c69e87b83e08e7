"""The colours of figures and videos: Okabe and Ito's (2008), told apart by all eyes.

Some are darkened, so that text in them can be read on white. Who is shown has the same colour
everywhere, the report's charts included.
"""

from __future__ import annotations

TEACHER = "#000000"
COLOURS = ("#0072b2", "#d55e00", "#007a58", "#aa4083", "#8a6d00", "#3d7fb0")
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


def of(name: str, number: int) -> str:
    """The colour of what has this name, and this number among those shown."""
    return KNOWN.get(name, COLOURS[number % len(COLOURS)])


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``, from 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
