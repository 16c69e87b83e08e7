"""What commands print: progress bars, tables and single lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import rich.box
import rich.console
import rich.markup
import rich.progress
import rich.table

console = rich.console.Console(highlight=False)
if not console.is_terminal:
    console.width = 160  # a file or a pipe has no width of its own; tables should not be cut at 80


class Progress(Protocol):
    """Something that work can be reported to."""

    def advance(self, steps: int = 1) -> None:
        """``steps`` more of the total are done."""

    def note(self, text: str) -> None:
        """Show a short text behind the bar."""


class _Bar:
    def __init__(self, progress: rich.progress.Progress, task: rich.progress.TaskID):
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


@contextmanager
def progress(description: str, total: int) -> Iterator[Progress]:
    """A progress bar over ``total`` steps, with time gone and time left."""
    columns = (
        rich.progress.TextColumn("{task.description:<14}"),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.fields[note]}"),
    )
    with rich.progress.Progress(*columns, console=console) as bars:
        yield _Bar(bars, bars.add_task(description, total=total, note=""))


@contextmanager
def hushed() -> Iterator[None]:
    """Print nothing for a while: what each of many runs has to say would hide the whole."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def escape(text: str) -> str:
    """Text for a table's cell, in which square brackets would be read as colours."""
    return rich.markup.escape(text)


def say(text: str) -> None:
    """Print a line as it is: neither wrapped nor coloured."""
    console.print(text, markup=False, soft_wrap=True)


def table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> None:
    """Print a table; the columns in ``left`` are left-aligned, the others right."""
    t = rich.table.Table(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for i, name in enumerate(header):
        t.add_column(name, justify="left" if i in left else "right", no_wrap=i == 0)
    for row in rows:
        t.add_row(*row)
    console.print(t)
