"""Tables on a console: what is in a cell is text, and figures are never broken."""

from __future__ import annotations

import re
from collections.abc import Sequence

import rich.box
import rich.console
import rich.table
import rich.text

Cell = str | rich.text.Text
PARTS = re.compile(r"\[[^\]]*\]|\S+ / \S+|\S+")
"""What stays on one line where it is narrow: an interval in brackets, a pair, or a word."""
AROUND = 3
"""What a column takes beside its text."""


def _width(text: str) -> int:
    return max((rich.text.Text(line).cell_len for line in text.splitlines()), default=0)


def _folded(text: str, width: int) -> str:
    """A text on several lines of ``width`` at most, as far as its parts are no longer."""
    lines: list[str] = []
    for part in PARTS.findall(text):
        if lines and len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return "\n".join(lines)


def _longest(text: str) -> int:
    return max(map(len, PARTS.findall(text)), default=0)


class Grid:
    """A table that is folded, and left without some columns, until it fits."""

    def __init__(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        left: Sequence[int] = (0,),
        spare: Sequence[int] = (),
    ):
        """As :func:`jaxmaze.runs.console.table`."""
        self._header, self._rows = list(header), [list(row) for row in rows]
        self._left, self._spare = set(left), list(spare)
        self._shown = list(range(len(header)))

    def fitted(self, title: str, console: rich.console.Console) -> rich.table.Table:
        """The table in the console's width."""
        if not self._fits(console):
            self._fold_header()
        if not self._fits(console):
            self._fold_figures()
        while self._spare and not self._fits(console):
            self._shown.remove(self._spare.pop(0))
        table = self._drawn()
        table.title, table.title_justify = rich.text.Text(title), "left"
        gone = [n for i, n in enumerate(self._header) if i not in self._shown]
        if gone:
            names = ", ".join(" ".join(name.split()) for name in gone)
            text = f"a wider terminal shows: {names}"
            table.caption, table.caption_justify = rich.text.Text(text), "left"
        return table

    def _fits(self, console: rich.console.Console) -> bool:
        width = sum(self._least(i) + AROUND for i in self._shown) + 1
        return width <= console.width

    def _least(self, column: int) -> int:
        """The least width of a column in which nothing is cut, and no figure broken."""
        cells = [self._plain(row[column]) for row in self._rows]
        if column == 0 or column not in self._left:
            return max(_width(self._header[column]), *map(_width, cells), 0)
        return max(_longest(text) for text in (self._header[column], *cells))

    def _fold_header(self) -> None:
        for i, name in enumerate(self._header):
            cells = [_width(self._plain(row[i])) for row in self._rows]
            self._header[i] = _folded(name, max([_longest(name), *cells]))

    def _fold_figures(self) -> None:
        """Put the interval of each figure on a line of its own."""
        for i, name in enumerate(self._header):
            if i in self._left:
                continue
            width = max([_longest(name), *(_longest(self._plain(row[i])) for row in self._rows)])
            self._header[i] = _folded(name, width)
            for row in self._rows:
                if isinstance(row[i], str):
                    row[i] = _folded(self._plain(row[i]), width)

    @staticmethod
    def _plain(cell: Cell) -> str:
        return cell if isinstance(cell, str) else cell.plain

    def _drawn(self) -> rich.table.Table:
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
        for i in self._shown:
            text = i in self._left
            table.add_column(
                rich.text.Text(self._header[i]),
                justify="left" if text else "right",
                no_wrap=i == 0 or not text,
            )
        for row in self._rows:
            cells = (row[i] for i in self._shown)
            table.add_row(*(rich.text.Text(x) if isinstance(x, str) else x for x in cells))
        return table
