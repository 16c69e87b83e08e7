"""The pictures of a video: policies side by side, with what each has earned so far."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxmaze.envs.filming import Take
from jaxmaze.runs import palette

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

COLUMNS = 4
"""Most policies in a row."""
ALONE, BESIDE = 640, 320
"""Default width of a picture: alone, and beside others."""
LEAST = 96
"""Smallest width of a picture whose text can be read."""
GAP = 8
INK, PAPER, FAINT, LINE = (20, 20, 20), (255, 255, 255), (110, 110, 110), (190, 190, 190)


class Pictures:
    """Keeps an environment's pictures small: scaled to one width, and compressed without loss."""

    def __init__(self, width: int):
        self._width = width
        self.size = (width, width)

    def keep(self, picture: np.ndarray) -> bytes:
        """What is kept of a picture ``[H, W, 3]``."""
        from PIL import Image

        image = Image.fromarray(np.ascontiguousarray(picture))
        self.size = self._width, max(1, round(image.height * self._width / image.width))
        smaller = image.width >= self._width
        how = Image.Resampling.BILINEAR if smaller else Image.Resampling.NEAREST
        return zlib.compress(image.resize(self.size, how).tobytes(), 1)

    def get(self, kept: bytes) -> Image:
        """The picture."""
        from PIL import Image

        data = zlib.decompress(kept)
        return Image.frombytes("RGB", (self._width, len(data) // self._width // 3), data)


class Panel(NamedTuple):
    """A policy's part of the video.

    Attributes:
      label: what it is called.
      take: its episode.
      pictures: how its pictures are kept.
      who: what it is, which says its colour; its label if that is not known.
    """

    label: str
    take: Take
    pictures: Pictures
    who: str = ""


def panel_width(width: int | None, count: int) -> int:
    """The width of each of ``count`` pictures in a video of that width."""
    columns = min(count, COLUMNS)
    if width is None:
        return ALONE if count == 1 else BESIDE
    return (width - (columns + 1) * GAP) // columns


@functools.cache
def _font(size: int, bold: bool = False) -> FreeTypeFont:
    # The one that comes with matplotlib, so that pictures are the same everywhere.
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


class Sheet:
    """Draws the video's pictures.

    Attributes:
      count: how many there are, until the last policy's episode is over.
    """

    def __init__(self, panels: Sequence[Panel], about: str):
        """``about`` stands below all pictures."""
        self._panels, self._about = panels, about
        self.count = 1 + max(p.take.length for p in panels)
        self._width = panels[0].pictures.size[0]
        self._height = max(p.pictures.size[1] for p in panels)
        self._colours = palette.of([p.who or p.label for p in panels])
        self._text = min(max(self._width // 21, 9), 24)
        self._line = self._text * 3 // 2
        columns = min(len(panels), COLUMNS)
        rows = -(-len(panels) // COLUMNS)
        cell = 2 * self._line + GAP // 2 + self._height + GAP
        width, height = columns * (self._width + GAP) + GAP, rows * cell + self._line + GAP
        self._columns, self._cell = columns, cell
        self._size = width + width % 2, height + height % 2

    def at(self, step: int) -> np.ndarray:
        """The picture ``[H, W, 3]`` at a step; policies that are done stay at their end."""
        from PIL import Image, ImageDraw

        image = Image.new("RGB", self._size, PAPER)
        draw = ImageDraw.Draw(image)
        for i in range(len(self._panels)):
            row, column = divmod(i, self._columns)
            self._panel(
                image, draw, i, (GAP + column * (self._width + GAP), row * self._cell), step
            )
        self._write(draw, (GAP, self._size[1] - self._line - GAP // 2), self._about, FAINT, None)
        return np.asarray(image)

    def _panel(
        self, image: Image, draw: ImageDraw, number: int, at: tuple[int, int], step: int
    ) -> None:
        label, take, pictures, _ = self._panels[number]
        x, y = at
        now = min(step, take.length)
        colour = palette.rgb(self._colours[number])
        y += GAP // 2
        steps = f"step {now}"
        room = self._width - _font(self._text).getlength(steps) - GAP
        self._write(draw, (x, y), label, colour, room, bold=True)
        draw.text((x + self._width, y), steps, fill=INK, font=_font(self._text), anchor="ra")
        self._write(draw, (x, y + self._line), said(take, step), INK, self._width)
        y += 2 * self._line
        picture = pictures.get(take.pictures[now])
        y += (self._height - picture.height) // 2
        image.paste(picture, (x, y))
        # Around it, so that a white picture ends somewhere.
        draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=LINE)

    def _write(
        self,
        draw: ImageDraw,
        at: tuple[int, int],
        text: str,
        colour: tuple[int, int, int],
        room: float | None,
        bold: bool = False,
    ) -> None:
        """Write a text, cut to its room; by default to the sheet's width."""
        font = _font(self._text, bold)
        room = self._size[0] - 2 * GAP if room is None else room
        if font.getlength(text) > room:
            while text and font.getlength(text + "…") > room:
                text = text[:-1]
            text += "…"
        draw.text(at, text, fill=colour, font=font)


def said(take: Take, step: int) -> str:
    """What is written of an episode at a step."""
    value = round(float(take.returns[min(step, take.length)]), 1) + 0.0  # no -0.0
    earned = f"return {value:.1f}"
    if step < take.length:
        return earned
    return f"{earned}, cut off" if take.end == "cut off" else f"done, {earned} ({take.end})"
